"""Where results go: the response queue's name in ``reply_to`` of messages and embedded signatures.

Celery puts a thread's id there, the *placeholder*, also into tasks chained to a message, which
workers send on. A client replaces it by its queue and opens a slot for each of these results. A
worker hands the address of the running task on to the task that takes its place
(``raise self.replace(sig)``): whatever it sends or embeds under the running task's own id.
"""

from collections.abc import Callable, Iterator
from typing import Any

from kombu.utils.uuid import uuid

CALLBACKS = ("callbacks", "link")
"""Members that hold callbacks: of a message's embedded part, and of a signature's options."""


def address_for_client(
    embedded: dict[str, Any], placeholder: str, queue: str, expect: Callable[[str], object]
) -> None:
    """Addresses all that is embedded in a message of this process; ``expect`` opens a slot.

    Callbacks get their ids here: otherwise the worker gives them one that nobody waits for.
    """
    for holder, name in _callback_lists(embedded):
        holder[name] = [_with_id(callback, placeholder) for callback in holder[name]]
    for options in _options(embedded):
        if options.get("reply_to") == placeholder:
            options["reply_to"] = queue
            if options.get("task_id"):
                expect(options["task_id"])


def address_for_replacement(
    properties: dict[str, Any], embedded: Any, task_id: str, *, replaced: str, queue: str
) -> None:
    """In a worker: whatever has the id of the task that runs replaces it, and answers for it."""
    if task_id == replaced:
        properties["reply_to"] = queue
    for options in _options(embedded):
        if options.get("task_id") == replaced:
            options["reply_to"] = queue


def _options(embedded: Any) -> Iterator[dict[str, Any]]:
    """The options of every signature inside."""
    for inner in _dicts(embedded):
        if "reply_to" in inner or "task_id" in inner:
            yield inner


def _callback_lists(embedded: Any) -> Iterator[tuple[dict[str, Any], str]]:
    for inner in _dicts(embedded):
        for name in CALLBACKS:
            if isinstance(inner.get(name), list | tuple) and inner[name]:
                yield inner, name


def _dicts(embedded: Any) -> Iterator[dict[str, Any]]:
    if isinstance(embedded, list | tuple):
        for inner in embedded:
            yield from _dicts(inner)
    elif isinstance(embedded, dict):
        yield embedded
        for inner in embedded.values():
            yield from _dicts(inner)


def _with_id(callback: Any, placeholder: str) -> Any:
    """A copy: the caller may link the same signature to other tasks, whose callback is another."""
    options = callback.get("options") if isinstance(callback, dict) else None
    if options is None or options.get("task_id"):
        return callback
    copy = callback.clone() if hasattr(callback, "clone") else dict(callback)
    copy["options"] = {**copy["options"], "task_id": uuid(), "reply_to": placeholder}
    return copy
