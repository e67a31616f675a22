"""Reply queues of remote control: one per thread that waits for replies.

Celery names a reply queue after the thread that asks and the address of an object it makes for the
call, so almost every call has a queue of its own: three calls of AWS, and a name that is never used
again. Here a thread keeps one reply queue as long as it lives, and releases it to the next thread.
A process has as many as threads have waited at the same time; they are deleted at its exit, or by
the cleanup if it was killed. Names are not reused by another process: SQS refuses a deleted one for
60 s.
"""

import json
import threading
import uuid
from typing import Any

JSON = "application/json"


class ReplyQueue:
    """What one thread has while it lives: the name of its queue, and its last request's ticket."""

    def __init__(self, released: list[str]) -> None:
        self._released = released
        self.ticket: str | None = None
        try:
            self.name = released.pop()
        except IndexError:
            self.name = str(uuid.uuid4())

    def __del__(self) -> None:
        self._released.append(self.name)


class ReplyQueuePool(threading.local):
    """The reply queues of a process's threads."""

    _released: list[str]
    _queue: ReplyQueue | None = None

    def __init__(self, released: list[str]) -> None:
        """``released``: names of threads that have ended; the same list for all threads."""
        self._released = released

    def queue(self, queue: str) -> str:
        """This thread's name for a reply queue that Celery calls ``<id>.reply.<...>.pidbox``."""
        return f"{self._acquire().name}.{queue.partition('.')[2]}"

    def set_reply_to(self, message: dict[str, Any]) -> None:
        """Writes this thread's queue into a command that wants replies."""
        command = json.loads(message["body"]) if message.get("content-type") == JSON else None
        if isinstance(command, dict) and isinstance(command.get("reply_to"), dict):
            own = self._acquire()
            own.ticket = command.get("ticket")
            command["reply_to"]["routing_key"] = own.name
            message["body"] = json.dumps(command)

    def matches_ticket(self, message: dict[str, Any]) -> bool:
        """Whether a reply is to this thread's last request; kombu would keep others for ever."""
        return (message.get("headers") or {}).get("ticket") == self._acquire().ticket

    def rotate(self) -> None:
        """This thread's queue is gone: its name may not be used for 60 s."""
        self._acquire().name = str(uuid.uuid4())

    def _acquire(self) -> ReplyQueue:
        if self._queue is None:
            self._queue = ReplyQueue(self._released)
        return self._queue
