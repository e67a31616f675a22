"""Chords over a result store, counted so that a task delivered twice counts once.

Each header task that has ended, well or badly, adds its mark to the chord's set of marks. Whoever
finds the set complete claims the chord by a conditional write, reads the header's results, sends
the body and marks the chord as done. The holder of a claim may die: then whoever else finds the set
complete, first of all the redelivered task of the dead holder, waits until the chord is done or the
claim has run out, and takes the next claim. A holder that needs long renews its claim, and one that
was frozen looks before it sends whether another has taken over. If the body is sent twice all the
same (its sender died, or was frozen, between that look and its last mark), one copy runs: see
:mod:`.chord_bodies`.

Marks: ``size/<n>``, ``part/<task>``, ``more/<task>`` for a task added to a running chord,
``generated`` for a header that is a generator, ``at/<index>/<task>`` for a part of such a one,
``claim/<n>`` for the n-th claim, ``alive/<n>/<k>`` for its k-th renewal, ``done``. See
:mod:`celery_sqs._stores.driver`.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from celery import states
from celery.canvas import maybe_signature
from celery.exceptions import ChordError
from celery.result import GroupResult
from celery.utils.functional import _regen as regen_type

from celery_sqs import _runtime
from celery_sqs._results.chord_bodies import copy_counts, number_copy, revoke_copies
from celery_sqs._stores.store import Meta, ResultStore

logger = logging.getLogger(__name__)

CLAIM_LASTS = 15.0
"""Seconds a claim is respected after its last renewal, of which there are three in that time.
Measured by whoever waits, so that clocks need not agree."""
RENEWALS = 3
CLAIM_POLL = 0.5
MAX_CLAIMS = 8
GENERATED = "generated"
DIGEST = 12
"""Hexadecimal digits that stand for a task id in a mark: among 10,000 parts two are alike with a
probability of 2e-7."""
DEFAULT_JOIN_TIMEOUT = 3.0
JOIN_POLL = 0.1


class Chords:
    """The chords of one application. ``fail``: Celery's ``chord_error_from_stack``."""

    def __init__(self, app: Any, store: ResultStore, fail: Callable[..., Any]) -> None:
        self._app = app
        self._store = store
        self._fail = fail

    def start(self, group_id: str, parts: Sequence[Any]) -> None:
        """Remembers the header's tasks in their order, before any of them is sent.

        Those of a generator are sent as it yields them, and say themselves who they are. A frozen
        chord may be applied again: that is a new run, and what the last one left is gone.
        """
        driver = self._store.driver
        driver.clear(group_id)
        if isinstance(parts, regen_type):
            driver.add(group_id, GENERATED)
        else:
            header = self._app.GroupResult(group_id, list(parts))
            self._store.backend._save_group(group_id, header)

    def set_size(self, group_id: str, size: int) -> None:
        """Says how many parts there are, before the last of them is sent."""
        driver, mark = self._store.driver, f"size/{size}"
        marks = driver.add(group_id, mark)
        driver.remove(group_id, [m for m in marks if m.startswith("size/") and m != mark])

    def add_to_chord(self, group_id: str, result: Any) -> None:
        """One part more; called by a part that has not returned yet."""
        saved = self._store.backend._restore_group(group_id)
        if saved is not None and result.id not in {part.id for part in saved["result"].results}:
            saved["result"].add(result)
            self._store.backend._save_group(group_id, saved["result"])
        self._store.driver.add(group_id, f"more/{_short(result.id)}")

    def part_returned(self, task_id: str, group_id: str, body: Any, index: int | None) -> None:
        """A header task has ended and its result is stored.

        ``body`` is the request's ``chord``, ``index`` its ``group_index``.
        """
        mark = f"part/{_short(task_id)}"
        marks = self._store.driver.add(group_id, mark)
        if GENERATED in marks:
            mark = f"at/{index or 0}/{task_id}"
            marks = self._store.driver.add(group_id, mark)
        if "done" in marks:  # a copy that comes after everything
            self._store.driver.remove(group_id, [mark])
        elif is_complete(marks):
            body = maybe_signature(body, app=self._app)
            try:
                claim = self._claim(group_id)
            except ChordError as error:
                logger.exception("chord %s failed", group_id)
                self._fail(body, error)
                return
            if claim:
                self._finish(group_id, claim, body)

    def _claim(self, group_id: str) -> int:
        """The number of the claim that is this caller's, or 0 when the chord is done by another.

        Raises :class:`celery.exceptions.ChordError` when all claims have run out.
        """
        driver = self._store.driver
        for number in range(1, MAX_CLAIMS + 1):
            if driver.create(group_id, f"claim/{number}"):
                return number
            if self._is_done_soon(group_id, number):
                return 0
        raise ChordError(f"{MAX_CLAIMS} workers died while they sent the body")

    def _is_done_soon(self, group_id: str, claim: int) -> bool:
        """Waits until the chord is done or this claim has run out."""
        deadline, renewals = 0.0, -1
        while True:
            marks = self._store.driver.marks(group_id)
            seen = sum(mark.startswith(f"alive/{claim}/") for mark in marks)
            if seen != renewals:
                deadline, renewals = time.monotonic() + CLAIM_LASTS, seen
            if "done" in marks or not is_complete(marks):
                return True
            if f"claim/{claim + 1}" in marks:
                return False
            if time.monotonic() >= deadline:
                logger.warning("chord %s: claim %d ran out", group_id, claim)
                return False
            time.sleep(CLAIM_POLL)

    def _finish(self, group_id: str, claim: int, body: Any) -> None:
        """Sends the body, or fails it when a header task has failed."""
        if not self._is_sent(group_id, claim, body):
            with self._renewing(group_id, claim):
                if not self._send_joined(group_id, claim, body):
                    return
        marks = self._store.driver.add(group_id, "done")
        self._store.driver.remove(group_id, marks - {"done"})
        self._store.backend._delete_group(group_id)

    def _send_joined(self, group_id: str, claim: int, body: Any) -> bool:
        """False when this was too slow, and another has taken over."""
        try:
            results = self._join(group_id)
        except ChordError as error:
            logger.exception("chord %s failed", group_id)
            self._fail(body, error)
        except Exception as error:
            logger.exception("chord %s: its results cannot be read", group_id)
            self._fail(body, ChordError(f"Join error: {error!r}"))
        else:
            if f"claim/{claim + 1}" in self._store.driver.marks(group_id):
                return False
            number_copy(body, group_id, claim)
            self._send(group_id, body, results)
            return copy_counts(self._store.driver, group_id, claim)
        return True

    @contextmanager
    def _renewing(self, group_id: str, claim: int) -> Iterator[None]:
        """Says from a thread that the holder lives; most chords are done before its first word."""
        ended = threading.Event()

        def renew() -> None:
            for number in count(1):
                if ended.wait(CLAIM_LASTS / RENEWALS):
                    return
                try:
                    self._store.driver.add(group_id, f"alive/{claim}/{number}")
                except Exception as error:  # noqa: BLE001 - the store may be back at the next
                    logger.warning("chord %s: claim not renewed: %r", group_id, error)

        thread = _runtime.start_thread(renew, "chord-claim")
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _is_sent(self, group_id: str, claim: int, body: Any) -> bool:
        """Whether the holder of an earlier claim had sent the body before it died; if that is not
        known, what it may have sent is revoked."""
        if claim == 1:
            return False
        if body.id and self._store.read(body.id)["status"] != states.PENDING:
            return True
        return not revoke_copies(self._store.driver, group_id, claim)

    def _send(self, group_id: str, body: Any, results: list[Any]) -> None:
        try:
            self._app.amqp._retry_publish(body.delay, results)
        except Exception as error:
            logger.exception("chord %s: its body cannot be sent", group_id)
            self._fail(body, ChordError(f"Callback error: {error!r}"))

    def _join(self, group_id: str) -> list[Any]:
        """The header's results, nested as the header is.

        Raises :class:`celery.exceptions.ChordError` for the first that failed.
        """
        header = self._header(group_id)
        ids = list(dict.fromkeys(_task_ids(header)))
        metas = dict(zip(ids, self._read_all(ids), strict=True))
        return [_value(part, metas) for part in header.results]

    def _header(self, group_id: str) -> GroupResult:
        saved = self._store.backend._restore_group(group_id)
        if saved is not None:
            return saved["result"]
        found = [mark.split("/", 2) for mark in self._store.driver.marks(group_id)]
        parts = sorted((int(each[1]), each[2]) for each in found if each[0] == "at")
        if not parts:
            raise ChordError(f"GroupResult {group_id} no longer exists")
        return self._app.GroupResult(group_id, [self._app.AsyncResult(id_) for _, id_ in parts])

    def _read_all(self, ids: list[str]) -> list[Meta]:
        timeout = self._app.conf.result_chord_join_timeout or DEFAULT_JOIN_TIMEOUT
        deadline = time.monotonic() + timeout
        while True:
            metas = self._store.read_many(ids)
            missing = sum(meta["status"] not in states.READY_STATES for meta in metas)
            if not missing:
                return metas
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{missing} of {len(ids)} results are missing")
            time.sleep(JOIN_POLL)


def is_complete(marks: set[str]) -> bool:
    """Whether every part of the chord has returned."""
    sizes = [int(mark.removeprefix("size/")) for mark in marks if mark.startswith("size/")]
    kind = "at/" if GENERATED in marks else "part/"
    parts = sum(mark.startswith(kind) for mark in marks)
    more = sum(mark.startswith("more/") for mark in marks)
    return bool(sizes) and parts >= max(sizes) + more


def _short(task_id: str) -> str:
    return hashlib.sha256(task_id.encode()).hexdigest()[:DIGEST]


def _task_ids(result: Any) -> Iterator[str]:
    if isinstance(result, GroupResult):
        for part in result.results:
            yield from _task_ids(part)
    else:
        yield result.id


def _value(result: Any, metas: dict[str, Meta]) -> Any:
    if isinstance(result, GroupResult):
        return [_value(part, metas) for part in result.results]
    meta = metas[result.id]
    if meta["status"] in states.PROPAGATE_STATES:
        error = ChordError(f"Dependency {result.id} raised {meta['result']!r}")
        cause = meta["result"]
        raise error from (cause if isinstance(cause, BaseException) else None)
    return meta["result"]
