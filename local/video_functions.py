"""The two Lambda functions on this machine: their buckets, notifications and processes.

``python -m local.video_functions`` runs them beside ``facerec up`` until SIGTERM or SIGINT.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from botocore.exceptions import ClientError

from facerec_tasks import logs
from facerec_tasks.aws import client
from facerec_tasks.settings import Settings, get_settings
from local.ending import Ended, end_on_signals
from local.lambda_runtime import Function
from local.lambda_service import RETRIES, LambdaService
from local.running import adopt

SPLITTING, RECOGNITION = "video-splitting", "face-recognition"
TIMEOUTS = {SPLITTING: 900.0, RECOGNITION: 900.0}
"""Seconds, as in serverless/template.yaml."""


def functions(environment: dict[str, str] | None = None) -> tuple[Function, Function]:
    """Both, as processes of this Python."""
    return (
        _function(SPLITTING, "serverless.video_splitting.handler", environment),
        _function(RECOGNITION, "serverless.face_recognition.handler", environment),
    )


def _function(name: str, handler: str, environment: dict[str, str] | None) -> Function:
    command = (sys.executable, "-m", "awslambdaric", handler)
    return Function(name, command, TIMEOUTS[name], environment=environment or {})


def dead_letter_queue(settings: Settings) -> str:
    return f"{settings.id}-video-dlq"


def event_queue(settings: Settings) -> str:
    """Stands in for Lambda's own queue, which emulators of S3 cannot reach."""
    return f"{settings.id}-video-events"


def create_resources(settings: Settings) -> None:
    """Creates what is missing: three buckets, two queues, the notifications of the first bucket."""
    s3, sqs = client(settings, "s3"), client(settings, "sqs")
    for bucket in (settings.video_bucket, settings.frame_bucket, settings.video_name_bucket):
        try:
            s3.create_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
                raise
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
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


def main() -> int:
    if adopt() is None:
        print("no `facerec up` runs in this folder", file=sys.stderr)
        return 1
    end_on_signals()
    settings = get_settings()
    logs.configure("lambda")
    folder = settings.state_dir / "lambda"
    with suppress(Ended), video_functions(settings, folder):
        print(f"ready: put videos into {settings.video_bucket}; logs in {folder}", flush=True)
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
