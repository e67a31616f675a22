"""Bodies that do not fit their queue, kept in S3 while a short message stands for them.

The claim check pattern, as Amazon's extended client for SQS has it. The object is deleted after the
message; give the bucket a lifecycle rule for what is left of purged and dead-lettered messages.
"""

import json
import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from celery.utils.log import get_logger

from celery_sqs._aws.client import Account, CallFailed, error_code, make_client
from celery_sqs._broker.codec import dumps
from celery_sqs.errors import UnreadableMessage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = get_logger(__name__)

MARKER = "celery-sqs-s3"
"""Member of a message that stands for another; its value is the bucket and the key."""


class LargeMessages:
    """Stores, fetches and deletes bodies in one bucket; without one, it does none of it."""

    def __init__(self, account: Account, bucket: str | None, prefix: str) -> None:
        self._account = account
        self._bucket = bucket
        self._prefix = prefix

    @property
    def enabled(self) -> bool:
        return self._bucket is not None

    @staticmethod
    def is_claim(text: str) -> bool:
        """Whether a message stands for a body in S3."""
        return MARKER in text[:40]

    def claim(self, text: str, eta: object = None) -> tuple[str, Callable[[], None]]:
        """The message that stands for a body, and what puts that body into the bucket."""
        assert self._bucket is not None
        key = f"{self._prefix}/{uuid.uuid4()}"
        claim = {MARKER: [self._bucket, key]}
        short = dumps({**claim, "headers": {"eta": eta}} if isinstance(eta, str) else claim)
        return short, partial(self._put, key, text.encode())

    def _put(self, key: str, body: bytes) -> None:
        self._s3().put_object(Bucket=str(self._bucket), Key=key, Body=body)

    def fetch(self, text: str) -> str:
        """The body itself; ``text`` when it is no claim. Raises botocore's errors.

        Raises :class:`.errors.UnreadableMessage` for a claim to what is not ours or is gone.
        """
        key = self._claimed(text)
        if key is None:
            return text
        try:
            found = self._s3().get_object(Bucket=str(self._bucket), Key=key)
            return found["Body"].read().decode()
        except CallFailed as error:
            if error_code(error) in ("NoSuchKey", "NoSuchBucket"):
                raise UnreadableMessage(f"its body {key} is gone") from error
            raise
        except UnicodeDecodeError as error:
            raise UnreadableMessage(f"its body {key} is no text") from error

    def deletion(self, text: str) -> Callable[[], None] | None:
        """What deletes the body of a message, if it has one in the bucket."""
        key = self._claimed(text, strict=False)
        if key is None:
            return None

        def delete() -> None:
            try:
                self._s3().delete_object(Bucket=str(self._bucket), Key=key)
            except CallFailed as error:
                logger.warning("left to the bucket's lifecycle: %s: %r", key, error)

        return delete

    def _claimed(self, text: str, *, strict: bool = True) -> str | None:
        """The key that a message stands for. A message must not name any object it likes."""
        if not self.is_claim(text):
            return None
        try:
            bucket, key = json.loads(text)[MARKER]
        except (KeyError, TypeError, ValueError):
            return None
        if bucket == self._bucket and str(key).startswith(f"{self._prefix}/"):
            return str(key)
        if strict:
            raise UnreadableMessage("its body is in a bucket that is not large_message_bucket")
        return None

    def _s3(self) -> "S3Client":
        return make_client("s3", self._account)
