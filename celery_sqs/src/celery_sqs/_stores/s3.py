"""S3: a mark is an empty object, created by a conditional PUT where only one may win."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError
from kombu.utils.encoding import bytes_to_str

from celery_sqs._aws.client import error_code

READERS = 16
DELETED_AT_ONCE = 1000
"""https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"""
DECIDED = "decided/"
"""Begins the names of decisions among those of marks."""
LOST = ("PreconditionFailed", "ConditionalRequestConflict")
"""Codes with which S3 refuses ``If-None-Match: *``: it is there, or is being written."""


class S3Driver:
    """Around :class:`celery.backends.s3.S3Backend`, in its bucket and below its base path."""

    def __init__(self, backend: Any, prefix: str) -> None:
        self._client = backend._s3_resource.meta.client
        self._bucket = backend.bucket_name
        self._base = backend.base_path or ""
        self._prefix = f"{self._base}{prefix}"

    def read_many(self, keys: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(self._read, keys))

    def _read(self, key: Any) -> bytes | None:
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=self._base + bytes_to_str(key))
        except self._client.exceptions.NoSuchKey:
            return None
        return bytes(found["Body"].read())

    def add(self, chord: str, mark: str) -> set[str]:
        self._client.put_object(Bucket=self._bucket, Key=self._key(chord, mark))
        return self.marks(chord)

    def create(self, chord: str, mark: str, body: bytes = b"") -> bool:
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=self._key(chord, mark), Body=body, IfNoneMatch="*"
            )
        except ClientError as error:
            if error_code(error) not in LOST:
                raise
            return False
        return True

    def marks(self, chord: str) -> set[str]:
        return {name for name in self._names(chord) if not name.startswith(DECIDED)}

    def _names(self, chord: str) -> set[str]:
        prefix = self._key(chord, "")
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        return {
            each["Key"].removeprefix(prefix) for page in pages for each in page.get("Contents", ())
        }

    def remove(self, chord: str, marks: Iterable[str]) -> None:
        keys = [{"Key": self._key(chord, mark)} for mark in marks]
        for first in range(0, len(keys), DELETED_AT_ONCE):
            batch = keys[first : first + DELETED_AT_ONCE]
            self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True}
            )

    def decide(self, chord: str, question: str, answer: str) -> str:
        name = DECIDED + question
        while not self.create(chord, name, answer.encode()):
            found = self._read(self._key(chord, name).removeprefix(self._base))
            if found is not None:  # else it is being written
                return found.decode()
        return answer

    def clear(self, chord: str) -> None:
        self.remove(chord, self._names(chord))

    def _key(self, chord: str, mark: str) -> str:
        return f"{self._prefix}{chord}/{mark}"
