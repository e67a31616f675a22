"""Sends the photos of a workload concurrently and records each outcome."""

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, NewConnectionError

from cli.workload import Workload
from facerec_tasks.backoff import Backoff

CONNECT_TIMEOUT = 10
READ_TIMEOUT = 150
"""Seconds; above the web tier's own deadline, so that its 504 is seen."""

ATTEMPTS = 32
"""Some 60 s in all: longer than the claim of a killed web process on an idempotency key lasts."""
EARLY = 60.0
"""Seconds: a 504 before that comes from a web tier that stops, not from a deadline."""
RETRY_PAUSE, MAX_PAUSE = 0.2, 3.0
"""Seconds."""


@dataclass(frozen=True)
class RequestOutcome:
    """One request and how it went."""

    image: str
    """File name without extension."""
    began: float
    """Seconds since the start of the run."""
    seconds: float
    """Until its answer, from when it was due: what could not go out in time waited, too."""
    status: int
    """HTTP status, or 0 when there was no answer."""
    answer: str
    """What stands after the colon, or the error."""

    @property
    def ok(self) -> bool:
        return self.status == 200


class LoadClient:
    """Posts photos to one address over kept connections."""

    def __init__(self, url: str, at_once: int, api_key: str | None = None) -> None:
        self._url = url
        self._at_once = at_once
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=at_once,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
        )

    def send(self, workload: Workload, done: Callable[[], None]) -> list[RequestOutcome]:
        """Sends everything; every failure is a value. ``done`` is called after each answer."""
        start = time.monotonic()

        def work() -> list[RequestOutcome]:
            sent = []
            while turn := workload.next():
                wait = turn.due - time.monotonic() if turn.due else 0.0
                time.sleep(max(0.0, wait))
                sent.append(self._send(turn.photo, turn.due or time.monotonic(), start))
                done()
            return sent

        with ThreadPoolExecutor(self._at_once) as pool:
            shares = [pool.submit(work) for _ in range(self._at_once)]
            try:
                sent = [one for share in shares for one in share.result()]
            finally:
                workload.end()  # on Ctrl-C the others send nothing more
        return sorted(sent, key=lambda one: one.began)

    def _send(self, photo: Path, began: float, start: float) -> RequestOutcome:
        status, answer = self._post(photo)
        return RequestOutcome(photo.stem, began - start, time.monotonic() - began, status, answer)

    def _post(self, photo: Path) -> tuple[int, str]:
        """One photo until it has its answer: a connection that breaks is no answer, and the
        idempotency key makes the next attempt the same request."""
        fields = {"inputFile": (photo.name, photo.read_bytes(), "application/octet-stream")}
        headers = {**self._headers, "Idempotency-Key": uuid.uuid4().hex}
        pauses = Backoff(RETRY_PAUSE, MAX_PAUSE)
        for attempt in range(1, ATTEMPTS + 1):
            began = time.monotonic()
            try:
                reply = self._pool.request("POST", self._url, fields=fields, headers=headers)
            except HTTPError as error:
                if attempt == ATTEMPTS or isinstance(error, NewConnectionError):
                    return 0, type(error).__name__
            else:
                took = time.monotonic() - began
                if attempt == ATTEMPTS or not _is_restart(reply, took):
                    return self._read(reply)
            time.sleep(pauses.failed(time.monotonic()))
        raise AssertionError("the last attempt returns")

    @staticmethod
    def _read(reply: BaseHTTPResponse) -> tuple[int, str]:
        text = reply.data.decode("utf-8", "replace").strip()
        if reply.status == 200:
            return 200, text.partition(":")[2]  # a name may have a colon, what is before it not
        return reply.status, text.splitlines()[0] if text else str(reply.reason)


def _is_restart(reply: BaseHTTPResponse, seconds: float) -> bool:
    """Whether the same request, sent again, is answered by the web tier's next process."""
    if reply.status == 503:
        return reply.data.startswith(b"stopping")
    return reply.status == 409 or (reply.status == 504 and seconds < EARLY)
