"""The response queue of a client process: chosen by machine and slot, never shared, reused.

A slot is a file lock on this machine, so two processes never hold the same one and a killed one
frees it. Slot 0 of one machine uses the base name; all others ``<base>-<machine>-<slot>``. Which
machine has the base name is a tag on that queue, renewed while it is used: a machine that is gone
loses it after :data:`ABANDONED_AFTER`.
"""

import fcntl
import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from celery_sqs._aws.queues import (
    ABANDONED_AFTER,
    MAX_QUEUE_NAME,
    OWNER_TAG,
    RESPONSE_QUEUE_ATTRIBUTES,
    SEEN_TAG,
    ensure_queue,
    read_tags,
)
from celery_sqs.errors import NoFreeSlot

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_SLOTS = 64
SETTLE = 0.5
"""Seconds after which a claim of the base name is read again: of two at once, the later stays."""
_SUFFIX_LENGTH = 6
_SLOT_LENGTH = 2


class ProcessSlot:
    """One number of this machine, held by a file lock until :meth:`release` or the process ends."""

    def __init__(self, directory: Path, base: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for number in range(MAX_SLOTS):
            held = _lock(directory / f"{base}-{number}.lock")
            if held is not None:
                self.number = number
                self._held: int | None = held
                return
        raise NoFreeSlot(f"{MAX_SLOTS} processes hold {directory}/{base}-*.lock")

    def release(self) -> None:
        """Frees the number. In a forked child: closes its copy only, the parent keeps the lock."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _lock(path: Path) -> int | None:
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


class ResponseQueue:
    """The queue that results of this process's tasks are sent to.

    Every method that calls AWS may raise its error.

    Raises :class:`NoFreeSlot` when made; the queue itself is found or created by :meth:`open`.
    """

    def __init__(
        self, client: Callable[[], "SQSClient"], *, base: str, machine: str, state_dir: Path
    ) -> None:
        self._client = client
        self._base = base
        self._machine = machine
        self._slot = ProcessSlot(state_dir, base)
        self._recreated = False
        self.name = ""
        self.url = ""

    def open(self) -> None:
        """Finds the queue this process may use, creates it if need be, and marks it as in use."""
        if self._slot.number == 0 and self._claim_base():
            return
        self._use(own_name(self._base, self._machine, self._slot.number))

    def _claim_base(self) -> bool:
        client = self._client()
        url = ensure_queue(client, self._base, attributes=RESPONSE_QUEUE_ATTRIBUTES)
        tags = read_tags(client, url)
        if not is_free(tags, self._machine, time.time()):
            return False
        client.tag_queue(QueueUrl=url, Tags=self._tags())
        if tags.get(OWNER_TAG) != self._machine:
            time.sleep(SETTLE)
            if read_tags(client, url).get(OWNER_TAG) != self._machine:
                return False
        self.name, self.url = self._base, url
        return True

    def _use(self, name: str) -> None:
        url = ensure_queue(
            self._client(), name, attributes=RESPONSE_QUEUE_ATTRIBUTES, tags=self._tags()
        )
        self.name, self.url = name, url
        self.renew()

    def _tags(self) -> dict[str, str]:
        return {OWNER_TAG: self._machine, SEEN_TAG: str(int(time.time()))}

    def renew(self) -> None:
        """Says that the queue is in use; without it the queue counts as abandoned one day."""
        self._client().tag_queue(QueueUrl=self.url, Tags=self._tags())

    def recreate(self) -> None:
        """Takes a new name with a suffix: AWS refuses the name of a deleted queue for 60 s."""
        name = own_name(self._base, self._machine, self._slot.number)
        self._use(f"{name}-{uuid.uuid4().hex[:_SUFFIX_LENGTH]}")
        self._recreated = True

    def close(self) -> None:
        """Frees the slot; gives the base name back, deletes a queue with a suffix."""
        try:
            if self._recreated:
                self._client().delete_queue(QueueUrl=self.url)
            elif self.url and self.name == self._base:
                self._client().tag_queue(
                    QueueUrl=self.url, Tags={OWNER_TAG: self._machine, SEEN_TAG: "0"}
                )
        finally:
            self._slot.release()

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's slot without freeing it."""
        self._slot.release()


def is_free(tags: dict[str, str], machine: str, now: float) -> bool:
    """Whether a machine may take a queue with these tags: its own, nobody's or an abandoned one."""
    owner, seen = tags.get(OWNER_TAG), tags.get(SEEN_TAG, "0")
    if owner in (None, machine):
        return True
    return not seen.isdigit() or now - int(seen) > ABANDONED_AFTER


def own_name(base: str, machine: str, slot: int) -> str:
    """``<base>-<machine>-<slot>`` in SQS's alphabet, short enough to take a suffix.

    A machine name that must be changed keeps a digest of the original: two never become one.
    """
    room = MAX_QUEUE_NAME - len(base) - _SLOT_LENGTH - _SUFFIX_LENGTH - 3
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", machine)
    if plain != machine or len(plain) > room:
        digest = hashlib.sha256(machine.encode()).hexdigest()[:8]
        plain = f"{plain[: max(0, room - 9)]}-{digest}"
    return f"{base}-{plain}-{slot}"
