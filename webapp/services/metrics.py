"""Figures for Prometheus, summed over the web processes of this machine.

Each process writes its own files below the state directory; whichever is asked adds them up. So
one process per machine is scraped. Counters of a process that ends stay while another one lives;
when the last one has ended, they begin at 0. ``process_*`` are of the process that is asked.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from time import monotonic
from typing import Any

from celery_sqs import ConsumerHealth, on_client_created
from facerec_tasks.aws import client
from facerec_tasks.settings import Settings

_PATH = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
"""Bounds of every histogram."""
PULSE = 5.0
"""Seconds between two readings of the receiver of answers."""


class WebMetrics:
    """The process's figures. Every method is safe to call from many threads."""

    def __init__(self, directory: Path | None) -> None:
        """``directory`` is that of all web processes of this machine; none: in memory alone."""
        if directory is not None:
            _prepare(directory)
        # Imported here: where the values are kept is settled when it is first imported.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._directory = directory
        own = self._own = CollectorRegistry()
        counter = partial(Counter, registry=own)
        histogram = partial(Histogram, buckets=SECONDS, registry=own)
        gauge = partial(Gauge, multiprocess_mode="livesum", registry=own)
        self.requests = counter(
            "facerec_requests", "Requests answered", ["route", "status", "outcome"]
        )
        self.request_seconds = histogram(
            "facerec_request_seconds", "From the whole request to its answer", ["route"]
        )
        self._stages = histogram(
            "facerec_stage_seconds", "Stages: upload_slot, store, send, answer", ["stage"]
        )
        self.waiting = gauge("facerec_waiting", "Photos with a place")
        self._in_flight = gauge("facerec_requests_in_flight", "Accepted and not answered")
        self._outstanding_old_name = gauge(
            "facerec_ledger_outstanding", "Deprecated: facerec_requests_in_flight"
        )
        self.accepted = counter("facerec_accepted", "Tasks SQS has acknowledged")
        self._receiving = gauge("facerec_receivers_healthy", "Processes that receive answers")
        self._poll_age = gauge(
            "facerec_receiver_poll_age_seconds",
            "Since the last poll of the slowest process",
            multiprocess_mode="livemax",
        )
        self._answers = counter(
            "facerec_receiver_events", "What the receiver of answers did", ["kind"]
        )
        self._aws_calls = counter(
            "facerec_aws_calls", "Calls to AWS", ["service", "operation", "status"]
        )
        self._seen: dict[str, int] = {}
        # Looking the labels up again for each request costs as much as counting it.
        self._requests_of = cache(self.requests.labels)
        self._seconds_of = cache(self.request_seconds.labels)

    def set_in_flight(self, count: int) -> None:
        """Requests that are accepted and not answered."""
        self._in_flight.set(count)
        self._outstanding_old_name.set(count)

    def request(self, route: str, status: int, outcome: str, seconds: float) -> None:
        """A request that has its response."""
        self._requests_of(route, str(status), outcome).inc()
        self._seconds_of(route).observe(seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures one stage of a photo."""
        began = monotonic()
        try:
            yield
        finally:
            self._stages.labels(name).observe(monotonic() - began)

    def count_aws_calls(self, settings: Settings) -> None:
        """Counts every call of the clients this process uses."""
        for one in (client(settings, "s3"), client(settings, "sqs")):
            self._count_calls_of(one)
        on_client_created(self._count_calls_of)

    def _count_calls_of(self, one: Any) -> None:
        one.meta.events.register("after-call", self._aws_answered)
        one.meta.events.register("after-call-error", self._aws_failed)

    def _aws_answered(self, event_name: str, http_response: Any, **_: Any) -> None:
        service, operation = event_name.split(".")[1:]
        self._aws_calls.labels(service, operation, str(http_response.status_code)).inc()

    def _aws_failed(self, event_name: str, **_: Any) -> None:
        service, operation = event_name.split(".")[1:]
        self._aws_calls.labels(service, operation, "no answer").inc()

    def watch(self, health: Callable[[], ConsumerHealth]) -> None:
        """Reads the receiver's health now and then, in a thread of its own, for ever."""

        def pulse() -> None:
            while True:
                self._read(health())
                threading.Event().wait(PULSE)

        threading.Thread(target=pulse, name="metrics", daemon=True).start()

    def _read(self, health: ConsumerHealth) -> None:
        self._receiving.set(health.ok and bool(health.queue))
        self._poll_age.set(health.poll_age or 0.0)
        for kind, count in health.counters.items():
            self._answers.labels(kind).inc(max(0, count - self._seen.get(kind, 0)))
            self._seen[kind] = count

    def text(self) -> tuple[bytes, str]:
        """All processes' figures in Prometheus's text format, and its media type."""
        from prometheus_client import (
            CONTENT_TYPE_LATEST,
            CollectorRegistry,
            ProcessCollector,
            generate_latest,
        )
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = self._own
        if self._directory is not None:
            _forget_the_dead(self._directory)
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._directory))  # type: ignore[no-untyped-call]
        own = CollectorRegistry()
        ProcessCollector(registry=own)
        return generate_latest(registry) + generate_latest(own), CONTENT_TYPE_LATEST


def _prepare(directory: Path) -> None:
    """The directory of the files, empty when no other process of this machine is alive."""
    directory.mkdir(parents=True, exist_ok=True)
    os.environ[_PATH] = str(directory)
    files = list(directory.glob("*.db"))
    if not any(_is_alive(_pid(file)) for file in files):
        for file in files:
            file.unlink(missing_ok=True)


def _forget_the_dead(directory: Path) -> None:
    """What a dead process held at its end is no figure of the present; what it counted is."""
    for file in directory.glob("gauge_live*.db"):
        if not _is_alive(_pid(file)):
            file.unlink(missing_ok=True)


def _pid(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return True
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
