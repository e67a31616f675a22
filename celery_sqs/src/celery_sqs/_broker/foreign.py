"""Messages that neither Celery nor kombu has written: S3 events, SNS envelopes and the like."""

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.utils.imports import symbol_by_name

from celery_sqs._broker import codec
from celery_sqs._broker.envelope import Envelope
from celery_sqs.errors import UnreadableMessage

if TYPE_CHECKING:
    from celery_sqs._broker.held_messages import HeldMessage

NAMESPACE = uuid.UUID("6f3c1a52-1f0e-4f7a-9d0c-0f5a3c1b7e55")
"""Of the task ids made of message ids: a redelivered message is the same task."""

Decode = Callable[[str, str], Any]
"""Called with the body and the name of the queue; returns None or a signature."""


def task_of(path: str | None, text: str, message: "HeldMessage") -> Envelope:
    """The task that a foreign message is, if the application's function at ``path`` says so.

    The function is called with the body and the queue's name, in the worker's event loop. It
    returns a Celery signature, or None for a message that it does not know either. Raises
    :class:`.errors.UnreadableMessage` when it is no task.
    """
    if path is None:
        raise UnreadableMessage("foreign: written neither by Celery nor by kombu")
    decode: Decode = symbol_by_name(path)
    try:
        signature = decode(text, message.queue)
    except Exception as error:
        raise UnreadableMessage(f"{path} raised {error!r}") from error
    if signature is None:
        raise UnreadableMessage(f"foreign, and not known to {path}")
    options = signature.get("options") or {}
    task = {
        codec.MARKER: codec.VERSION,
        "t": signature["task"],
        "i": options.get("task_id") or str(uuid.uuid5(NAMESPACE, message.message_id)),
        "a": list(signature.get("args") or ()),
        "k": dict(signature.get("kwargs") or {}),
        "h": {"ignore_result": True},
    }
    return codec.decode(json.dumps(task), message.queue)
