"""The two Lambda functions on this machine: their buckets, notifications and processes.

``python -m local.emulators.video_functions [VIDEO...]`` runs them beside ``facerec up``:
for these videos, or until SIGTERM or SIGINT.
"""

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from facerec_tasks import logs
from facerec_tasks.aws import client
from facerec_tasks.settings import Settings, get_settings
from local.emulators.lambda_runtime import Function
from local.emulators.lambda_service import RETRIES, LambdaService
from local.emulators.resources import ensure_bucket
from local.processes.discovery import discover
from local.processes.shutdown import ShutdownRequested, end_on_signals
from serverless.record import Records
from serverless.uploads import VideoUpload

SPLITTING, RECOGNITION = "video-splitting", "face-recognition"
HANDLERS = {
    SPLITTING: "serverless.video_splitting.handler",
    RECOGNITION: "serverless.face_recognition.handler",
}
TIMEOUT = 900.0
"""Seconds of both, as in serverless/template.yaml."""
ANSWER_TIMEOUT = 900.0
"""Seconds to wait for one video's answer."""


def functions(environment: dict[str, str] | None = None) -> tuple[Function, ...]:
    """Both, as processes of this Python."""
    return tuple(
        Function(
            name,
            (sys.executable, "-m", "awslambdaric", handler),
            TIMEOUT,
            environment=environment or {},
        )
        for name, handler in HANDLERS.items()
    )


def dead_letter_queue(settings: Settings) -> str:
    return f"{settings.id}-video-dlq"


def event_queue(settings: Settings) -> str:
    """Stands in for Lambda's own queue, which emulators of S3 cannot reach."""
    return f"{settings.id}-video-events"


def create_resources(settings: Settings) -> None:
    """Creates what is missing: three buckets, two queues, the notifications of the first bucket."""
    s3, sqs = client(settings, "s3"), client(settings, "sqs")
    for bucket in (settings.video_bucket, settings.frame_bucket, settings.video_name_bucket):
        ensure_bucket(settings, bucket)
    sqs.create_queue(QueueName=dead_letter_queue(settings))
    url = sqs.create_queue(QueueName=event_queue(settings))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    s3.put_bucket_notification_configuration(
        Bucket=settings.video_bucket,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn["QueueArn"], "Events": ["s3:ObjectCreated:*"]}]
        },
    )


@contextmanager
def video_functions(
    settings: Settings, folder: Path, retries: tuple[float, ...] = RETRIES
) -> Iterator[LambdaService]:
    """Runs both, started by what lands in the input bucket."""
    create_resources(settings)
    service = LambdaService(
        functions(),
        folder,
        settings,
        dead_letters=dead_letter_queue(settings),
        retries=retries,
    )
    with service:
        service.listen(event_queue(settings), SPLITTING)
        yield service


def answers(settings: Settings, videos: Sequence[Path]) -> Iterator[str]:
    """Puts videos into the input bucket and gives a line for each, as the functions answer.

    Raises :class:`TimeoutError`.
    """
    s3 = client(settings, "s3")
    for video in videos:
        with video.open("rb") as file:
            version = s3.put_object(Bucket=settings.video_bucket, Key=video.name, Body=file)
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while (text := _answer(settings, video.name, version["VersionId"])) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{video.name}: no answer within {ANSWER_TIMEOUT:.0f} s")
            time.sleep(0.1)
        yield f"{video.stem}:{text}"


def _answer(settings: Settings, key: str, version: str) -> str | None:
    record = Records(settings).find(VideoUpload(key).name)
    if record is None or record.upload.version != version:
        return None
    return record.text or f"refused: {record.code}: {record.detail}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m local.emulators.video_functions", description=__doc__
    )
    parser.add_argument("videos", nargs="*", type=Path, help="put these, say who is on them, end")
    options = parser.parse_args()
    if discover() is None:
        print("no `facerec up` runs in this folder", file=sys.stderr)
        return 1
    end_on_signals()
    settings = get_settings()
    logs.configure("lambda")
    folder = settings.state_dir / "lambda"
    with suppress(ShutdownRequested), video_functions(settings, folder):
        if options.videos:
            for line in answers(settings, options.videos):
                print(line, flush=True)
            return 0
        print(f"ready: put videos into {settings.video_bucket}; logs in {folder}", flush=True)
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
