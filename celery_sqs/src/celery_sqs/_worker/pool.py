"""Celery's prefork pool: children report results with outcomes, and it stops without losing any.

A child does not send the result of its task: it comes with the outcome, in one message of the pipe
to the parent, which sends it (:mod:`.sender`) before it acknowledges the task's message.

At shutdown Celery forgets the jobs no child has accepted yet. For a job that a child is about to
accept this is wrong twice: it runs here and, handed back, elsewhere as well; and the child, whose
result nobody takes, waits 30 s before it exits (billiard's ``_ensure_messages_consumed``). So the
acceptances under way are awaited first; they take milliseconds.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from celery.concurrency import prefork
from celery.utils.log import get_logger
from kombu.asynchronous import get_event_loop

from celery_sqs._results.sender import Result, capture_results, enqueue
from celery_sqs._worker import bootsteps

logger = get_logger(__name__)

ACCEPT_SECONDS = 2.0
"""A child may take to accept a job that was written to it."""
TURN_SECONDS = 0.02
"""Of one turn of the event loop."""


class TaskPool(prefork.TaskPool):
    """Installs itself with the transport wherever the prefork pool is wanted."""

    def on_start(self) -> None:
        super().on_start()
        self.flush = self._flush  # Celery sets this attribute here too

    def apply_async(
        self,
        target: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Has a child run a task. Celery's request gives its own ``callback`` for the outcome."""
        options["callback"] = partial(_ended, options.get("callback"))
        return super().apply_async(capture_results, (target, *(args or ())), kwargs, **options)

    def _flush(self) -> None:
        """Called by Celery when a worker stops and when it has lost its connection."""
        if bootsteps.stopping():
            try:
                self._await_acceptances()
            except Exception:
                # Whatever a callback of the event loop raises, the worker must stop all the same.
                logger.exception("while awaiting acceptances")
        self._pool.flush()

    def _await_acceptances(self) -> None:
        hub = get_event_loop()
        if hub is None:
            return
        self._pool.outbound_buffer.clear()  # what is not written yet is handed back
        deadline = time.monotonic() + ACCEPT_SECONDS
        while self._on_its_way() and time.monotonic() < deadline:
            hub.call_later(TURN_SECONDS, _wake)
            hub.run_once()

    def _on_its_way(self) -> bool:
        """Whether a child has been given a job and has not said yet that it took it."""
        jobs: list[Any] = list(self._pool._cache.values())
        return any(job._write_to is not None and not job._accepted for job in jobs)


def _ended(callback: Callable[[Any], None] | None, outcome: tuple[Any, list[Result]]) -> None:
    """In the parent: the results first, so that the message is acknowledged after them."""
    value, results = outcome
    for result in results:
        enqueue(result)
    if callback is not None:
        callback(value)


def _wake() -> None:
    """Ends a turn of the event loop."""
