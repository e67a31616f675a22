"""The status page: its readings, and the stream that delivers them."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from flask import Response, request

from facerec_tasks.errors import AwsError
from facerec_tasks.prices import HOURLY
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from webapp.http.errors import retry_later
from webapp.pages.aws_readings import REST, AwsReader, AwsReading, PacedReader
from webapp.pages.decision_log import DecisionHistory
from webapp.pages.sampler import Sampler
from webapp.pages.status_snapshot import SnapshotInputs, render_snapshot
from webapp.services.recent_answers import SLOT, SLOTS
from webapp.services.task_client import TaskClient

WINDOW = SLOT * SLOTS
JOURNAL_EVERY = 4.0
"""Seconds between two looks at the journal, which the controller writes every ten."""
DECISIONS = 12
"""Latest ones that are told."""
LONGEST_STREAM = 600.0
"""Seconds; then the page connects anew, with the key it has by then."""
PATIENCE = 0.5
"""Seconds after which a stream sees that the process stops."""
ALIVE_EVERY = 10.0
"""Seconds of silence after which a stream shows that it lives, and finds out who left."""
EVENTS = "text/event-stream"


class StatusReader:
    """Looks at everything; for the sampler's one thread."""

    def __init__(self, settings: Settings, task_client: TaskClient) -> None:
        self._settings = settings
        self._in_flight = task_client.in_flight
        self._state = StateBucket(settings)
        self._readings = PacedReader(AwsReader(settings).take)
        self._history = DecisionHistory(self._state)
        self._kept: deque[AwsReading] = deque(maxlen=int(WINDOW / 2) + 10)
        self._journal_at = float("-inf")
        self._journal_fault: tuple[str, ...] = ()
        self._controller_seen: float | None = None

    def look(self, now: float) -> dict[str, Any]:
        """The picture of now, in Unix seconds."""
        self._kept.append(self._readings.take(now, self._in_flight.outstanding))
        resting = self._kept[-1].at_rest
        every = REST if resting else JOURNAL_EVERY
        if now - self._journal_at >= every or not self._history.complete:
            self._read_history(now)
        recent = self._in_flight.recent
        since = now - WINDOW
        return render_snapshot(
            SnapshotInputs(
                now=now,
                readings=[reading for reading in self._kept if reading.at >= since],
                steps=self._history.steps(since - SLOT),
                changes=self._history.changes(DECISIONS),
                slots=recent.slots(now),
                minute=recent.total(now, 60.0),
                window=recent.total(now),
                outstanding=self._in_flight.outstanding,
                controller_seen=self._controller_seen,
                billed=self._history.billed_today(now),
                complete=self._history.complete,
                hourly=self._hourly(),
                instance_type=self._settings.instance_type,
                faults=self._journal_fault,
            )
        )

    def _hourly(self) -> float | None:
        """Dollars; ``None`` where AWS is an emulator, which costs nothing."""
        if self._settings.endpoint_url is not None:
            return None
        return HOURLY.get(self._settings.instance_type)

    def _read_history(self, now: float) -> None:
        self._journal_at = now
        try:
            self._history.refresh(now)
            for entry in self._state.list(layout.CONTROLLER_LEASE):
                self._controller_seen = entry.modified.timestamp()
            self._journal_fault = ()
        except AwsError as error:
            self._journal_fault = (f"The controller's journal cannot be read now: {error}",)


class Status:
    """The view of the live picture."""

    def __init__(self, settings: Settings, task_client: TaskClient) -> None:
        self._task_client = task_client
        self._sampler = Sampler(StatusReader(settings, task_client).look)

    def events(self) -> Response:
        """``GET /status/events``: server-sent events, a whole picture each; JSON: one picture."""
        if EVENTS in request.accept_mimetypes.values():
            stream = self._stream()
            next(stream)  # takes its place, or is refused while a refusal can still be answered
            return Response(stream, content_type=EVENTS, headers={"X-Accel-Buffering": "no"})
        found = self._sampler.after(0, timeout=10.0)
        if found is None:
            raise retry_later("aws-unavailable", "no picture yet; try again")
        return Response(found[1], content_type="application/json")

    def _stream(self) -> Iterator[bytes]:
        until = time.monotonic() + LONGEST_STREAM
        with self._sampler.stream():
            yield b""
            yield b"retry: 2000\n\n"
            number, spoke = 0, time.monotonic()
            while not self._task_client.stopping and time.monotonic() < until:
                found = self._sampler.after(number, timeout=PATIENCE)
                if found is not None:
                    number, picture = found
                    yield b"data: " + picture + b"\n\n"
                elif time.monotonic() - spoke > ALIVE_EVERY:
                    yield b": still here\n\n"
                else:
                    continue
                spoke = time.monotonic()
