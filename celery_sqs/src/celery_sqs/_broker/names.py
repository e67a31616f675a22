"""Legal SQS names of queues (pure)."""

import hashlib
import re

from kombu.transport.SQS import CHARS_REPLACE_TABLE

from celery_sqs._aws.queues import MAX_QUEUE_NAME

FIFO = ".fifo"
_KEPT_END = re.compile(r"(-[^-]*-pidbox)?(\.fifo)?$")


def legal_name(name: str) -> str:
    """A legal SQS name of at most 80 characters; a long one is told apart by a digest.

    The end ``-<namespace>-pidbox`` stays: IAM policies match control and reply queues by it.
    """
    base, fifo = split_fifo(name)
    legal = base.translate(CHARS_REPLACE_TABLE) + fifo
    if len(legal) <= MAX_QUEUE_NAME:
        return legal
    kept = _KEPT_END.search(legal)
    ending = f"-{hashlib.sha256(name.encode()).hexdigest()[:16]}{kept.group() if kept else ''}"
    return legal[: MAX_QUEUE_NAME - len(ending)] + ending


def process_queue_name(namespace: str, queue: str) -> str:
    """SQS name of a queue that belongs to a process, such as a worker's control queue."""
    return legal_name(f"{namespace}-{queue}")


def split_fifo(name: str) -> tuple[str, str]:
    """The name and its suffix, if it is that of a FIFO queue."""
    return (name.removesuffix(FIFO), FIFO) if name.endswith(FIFO) else (name, "")
