"""Replies to commands: who asks, and the queue of each that asks.

Celery names a reply queue after the thread that asks and the address of an object it makes for the
call, so almost every call has a queue of its own: three calls of AWS, and a name that nobody uses
again. Here a thread has one reply queue as long as it lives, and leaves it to the next thread. A
process has as many as threads have asked at the same time; they are deleted at its exit, and swept
if it was killed. Names are not used again by another process: SQS refuses a deleted one for 60 s.
"""

import json
import threading
import uuid
from typing import Any

JSON = "application/json"


class ReplyQueue:
    """What one thread has while it lives: the name of its queue, and what it asked last."""

    def __init__(self, left: list[str]) -> None:
        self._left = left
        self.ticket: str | None = None
        try:
            self.name = left.pop()
        except IndexError:
            self.name = str(uuid.uuid4())

    def __del__(self) -> None:
        self._left.append(self.name)


class ReplyQueuePool(threading.local):
    """The seats of a process's threads."""

    _left: list[str]
    _queue: ReplyQueue | None = None

    def __init__(self, left: list[str]) -> None:
        """``left``: names of threads that have ended; the same list for all threads."""
        self._left = left

    def queue(self, queue: str) -> str:
        """This thread's name for a reply queue that Celery calls ``<id>.reply.<...>.pidbox``."""
        return f"{self._acquire().name}.{queue.partition('.')[2]}"

    def address(self, message: dict[str, Any]) -> None:
        """Writes this thread's queue into a command that wants replies."""
        command = json.loads(message["body"]) if message.get("content-type") == JSON else None
        if isinstance(command, dict) and isinstance(command.get("reply_to"), dict):
            seat = self._acquire()
            seat.ticket = command.get("ticket")
            command["reply_to"]["routing_key"] = seat.name
            message["body"] = json.dumps(command)

    def expects(self, message: dict[str, Any]) -> bool:
        """Whether a reply is to what this thread asked last; kombu would keep others for ever."""
        return (message.get("headers") or {}).get("ticket") == self._acquire().ticket

    def lost(self) -> None:
        """This thread's queue is gone: its name may not be used for 60 s."""
        self._acquire().name = str(uuid.uuid4())

    def _acquire(self) -> ReplyQueue:
        if self._queue is None:
            self._queue = ReplyQueue(self._left)
        return self._queue
