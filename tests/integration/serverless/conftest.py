"""Both Lambda functions as real processes, asking a Runtime API of ours, on the embedded AWS."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from facerec_tasks.aws import client
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller, Sample
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.settings import Settings
from facerec_tasks.storage.people import DEFAULT_ENGINE, People
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators import resources, video_functions
from local.emulators.lambda_service import LambdaService
from local.samples import portraits
from local.samples.videos import Coding, Shot, write

RETRIES = (0.2, 0.4)
"""Seconds; Lambda's are minutes."""
SMALL = Coding(width=320, height=180, rate=10)


@pytest.fixture(autouse=True)
def _on_the_embedded_aws() -> None:
    if "FACEREC_TEST_ENDPOINT" in os.environ:
        pytest.skip("the events of the embedded AWS are as S3's, other emulators' are not")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small videos."""
    folder = tmp_path_factory.mktemp("clips")
    write(
        folder / "two.mp4",
        [Shot(("Grace_Hopper",), 2.0, "pan"), Shot(("Eileen_Collins",), 1.0), Shot((), 0.5)],
        SMALL,
    )
    write(folder / "eileen.mp4", [Shot(("Eileen_Collins",), 1.0)], SMALL)
    write(folder / "nobody.mp4", [Shot((), 1.0)], SMALL)
    write(
        folder / "4k.mp4", [Shot(("Grace_Hopper",), 1.0)], Coding(3840, 2160, rate=2, codec="mpeg4")
    )
    return folder


class Buckets:
    """What a user of the functions does and sees."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.s3 = client(settings, "s3")
        self._sqs = client(settings, "sqs")

    def upload(self, key: str, data: bytes) -> str:
        """Puts a video into the input bucket; returns its version."""
        put = self.s3.put_object(Bucket=self._settings.video_bucket, Key=key, Body=data)
        return put["VersionId"]

    def answers(self) -> dict[str, str]:
        """Everything in the output bucket."""
        bucket = self._settings.video_name_bucket
        keys = self._keys(bucket)
        return {
            key: self.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys
        }

    def versions(self) -> int:
        """Versions and delete marks in the output bucket: what was ever shown."""
        found = self.s3.list_object_versions(Bucket=self._settings.video_name_bucket)
        return len(found.get("Versions", ())) + len(found.get("DeleteMarkers", ()))

    def frames(self) -> list[str]:
        return self._keys(self._settings.frame_bucket)

    def record(self, name: str) -> dict[str, Any]:
        found = self.s3.get_object(Bucket=self._settings.state_bucket, Key=f"videos/{name}.json")
        return json.loads(found["Body"].read())

    def dead_letters(self) -> list[dict[str, Any]]:
        url = self._sqs.get_queue_url(QueueName=video_functions.dead_letter_queue(self._settings))
        found = self._sqs.receive_message(QueueUrl=url["QueueUrl"], VisibilityTimeout=0)
        return [json.loads(message["Body"]) for message in found.get("Messages", ())]

    def events(self) -> list[bytes]:
        """Takes what S3 told since the last time, oldest first."""
        url = self._sqs.get_queue_url(QueueName=video_functions.event_queue(self._settings))
        told = []
        while found := self._sqs.receive_message(
            QueueUrl=url["QueueUrl"], MaxNumberOfMessages=10
        ).get("Messages"):
            for message in found:
                told.append(message["Body"].encode())
                self._sqs.delete_message(
                    QueueUrl=url["QueueUrl"], ReceiptHandle=message["ReceiptHandle"]
                )
        return [event for event in told if b"Records" in event]

    def _keys(self, bucket: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=bucket)
        return [entry["Key"] for entry in found.get("Contents", ())]


@pytest.fixture
def buckets(settings: Settings) -> Buckets:
    """The buckets and queues there are, empty; nobody is enrolled."""
    resources.create_buckets(settings)
    video_functions.create_resources(settings)
    return Buckets(settings)


@pytest.fixture(scope="session")
def sample_people() -> Mapping[str, Sequence[Sample]]:
    gallery = Gallery.empty(DEFAULT_ENGINE)
    batch = Batch(Enroller(Recognizer.load(Path("models"), gallery)), gallery)
    for portrait in portraits.portraits():
        batch.add(portrait.name, portrait.path.read_bytes())
    return batch.samples


@pytest.fixture
def known(
    settings: Settings, buckets: Buckets, sample_people: Mapping[str, Sequence[Sample]]
) -> None:
    """Grace_Hopper and Eileen_Collins are enrolled."""
    People(StateBucket(settings)).add(sample_people)


@pytest.fixture
def service(settings: Settings, buckets: Buckets, tmp_path: Path) -> Iterator[LambdaService]:
    """Both functions; S3's events wait for somebody to hand them over."""
    with LambdaService(
        video_functions.functions(),
        tmp_path,
        settings,
        dead_letters=video_functions.dead_letter_queue(settings),
        retries=RETRIES,
    ) as running:
        yield running


@pytest.fixture
def deliver(
    service: LambdaService, buckets: Buckets, eventually: Callable[..., None]
) -> Callable[..., None]:
    """Hands over what S3 told and waits until nothing runs. ``order`` turns the events about."""

    def hand_over(order: Callable[[list[bytes]], list[bytes]] = list) -> None:
        for event in order(buckets.events()):
            service.send(video_functions.SPLITTING, event)
        eventually(lambda: service.idle, within=60)

    return hand_over
