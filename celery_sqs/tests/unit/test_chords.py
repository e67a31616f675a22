"""Chords count each part once and send their body once, whoever dies or is delivered twice."""

import random
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, chain, group
from celery.exceptions import ChordError
from celery.utils.functional import regen
from celery_sqs._results import chords as module
from celery_sqs._results.chord_bodies import is_revoked, number_copy, revoke_copies
from celery_sqs._results.chords import Chords
from celery_sqs._stores.store import ResultStore

GROUP = "chord-1"


class Recorder:
    """A chord whose bodies are recorded instead of sent."""

    def __init__(self, folder: Path, parts: int) -> None:
        self.app = Celery("chords", broker="memory://", set_as_current=False)
        self.store = ResultStore(self.app, f"file://{folder}")
        self.parts = [f"part-{number}" for number in range(parts)]
        self.failed: list[Exception] = []
        self.chords = Chords(self.app, self.store, lambda body, error: self.failed.append(error))
        self.body: Any = self.app.signature("total", task_id="body-1")
        self.chords.start(GROUP, list(map(self.app.AsyncResult, self.parts)))
        self.chords.set_size(GROUP, parts)

    @property
    def bodies(self) -> int:
        """How many were sent and not received."""
        with self.app.connection_for_read() as connection:
            queue = connection.default_channel.queue_declare("celery")
            return int(queue.message_count)

    def counted(self) -> list[bool]:
        """Receives all bodies; for each, whether it is run."""
        found: list[bool] = []
        backend = SimpleNamespace(store=self.store)
        with self.app.connection_for_read() as connection:
            while (message := connection.default_channel.basic_get("celery")) is not None:
                found.append(not is_revoked(backend, message.headers))
                message.ack()
        return found

    def end(self, part: str, index: int = 0) -> None:
        """A worker ends a part and says so."""
        self.store.write(part, {"status": "SUCCESS", "result": 1}, first=True)
        self.chords.part_returned(part, GROUP, dict(self.body), index)


@pytest.fixture(autouse=True)
def _short_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLAIM_LASTS", 0.6)
    monkeypatch.setattr(module, "CLAIM_POLL", 0.01)


@pytest.fixture
def recorder(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    made = Recorder(tmp_path, getattr(request, "param", 3))
    with made.app.connection_for_write() as connection:
        connection.default_channel.queue_declare("celery")
        connection.default_channel.queue_purge("celery")
        yield made


@pytest.mark.parametrize("recorder", [300], indirect=True)
def test_idempotency_of_counting_parts(recorder: Recorder) -> None:
    deliveries = recorder.parts * 2
    random.Random(1).shuffle(deliveries)
    for part in deliveries:
        recorder.end(part)
    assert recorder.bodies == 1
    assert recorder.store.driver.marks(GROUP) == {"done"}


def test_a_claim_without_a_holder_is_taken_over(recorder: Recorder) -> None:
    recorder.store.driver.create(GROUP, "claim/1")
    for part in recorder.parts:
        recorder.end(part)
    assert recorder.bodies == 1


def test_a_slow_holder_keeps_its_claim(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, claims = threading.Event(), []
    read_many = recorder.store.read_many

    def slow(ids: list[str]) -> Any:
        reading.set()
        threading.Event().wait(2.0)  # three times as long as a claim lasts
        claims.extend(mark for mark in recorder.store.driver.marks(GROUP) if "claim" in mark)
        return read_many(ids)

    monkeypatch.setattr(recorder.store, "read_many", slow)
    for part in recorder.parts[:-1]:
        recorder.end(part)
    holder = threading.Thread(target=recorder.end, args=(recorder.parts[-1],))
    holder.start()
    assert reading.wait(10)
    recorder.end(recorder.parts[0])  # delivered again: waits for the holder
    holder.join()
    assert claims == ["claim/1"]
    assert recorder.bodies == 1


def test_a_holder_that_was_overtaken_sends_nothing(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_many = recorder.store.read_many

    def overtaken(ids: list[str]) -> Any:
        recorder.store.driver.create(GROUP, "claim/2")
        return read_many(ids)

    monkeypatch.setattr(recorder.store, "read_many", overtaken)
    for part in recorder.parts:
        recorder.end(part)
    assert recorder.bodies == 0


def _die_after_sending(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(*_: Any) -> bool:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(module, "copy_counts", dying)
        for part in recorder.parts[:-1]:
            recorder.end(part)
        with pytest.raises(SystemExit):
            recorder.end(recorder.parts[-1])


def test_a_body_sent_by_a_dead_holder_is_sent_again_and_runs_once(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _die_after_sending(recorder, monkeypatch)
    recorder.end(recorder.parts[-1])
    assert recorder.bodies == 2
    assert recorder.counted() == [False, True]


def test_a_body_that_runs_is_not_sent_again(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _die_after_sending(recorder, monkeypatch)
    assert recorder.counted() == [True]
    recorder.end(recorder.parts[-1])
    assert recorder.bodies == 0
    assert recorder.store.driver.marks(GROUP) == {"done"}


def test_a_holder_frozen_while_it_sends_does_not_end_the_chord(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frozen(*args: Any) -> None:
        recorder.store.driver.create(GROUP, "claim/2")  # by another, who dies before it sends
        revoke_copies(recorder.store.driver, GROUP, 2)
        number_copy(*args)

    monkeypatch.setattr(module, "number_copy", frozen)
    for part in recorder.parts:
        recorder.end(part)
    assert recorder.counted() == [False]
    monkeypatch.setattr(module, "number_copy", number_copy)
    recorder.end(recorder.parts[0])
    assert recorder.counted() == [True]


@pytest.mark.parametrize("kind", ["chain", "group"])
def test_copies_of_a_body_of_several_tasks(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    tasks = [recorder.app.signature("total"), recorder.app.signature("total")]
    recorder.body = chain(*tasks) if kind == "chain" else group(tasks)
    _die_after_sending(recorder, monkeypatch)
    recorder.end(recorder.parts[-1])
    # of a group, a dead holder may have sent a part: all of its copies run
    assert recorder.counted() == ([False, True] if kind == "chain" else [True] * 4)


def test_when_every_holder_dies_the_body_fails(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLAIM_LASTS", 0.0)
    for number in range(1, module.MAX_CLAIMS + 1):
        recorder.store.driver.create(GROUP, f"claim/{number}")
    for part in recorder.parts:
        recorder.end(part)
    assert isinstance(recorder.failed[0], ChordError)


def test_a_header_that_is_a_generator_is_not_unrolled(recorder: Recorder) -> None:
    yielded: list[str] = []

    def generate() -> Any:
        for part in recorder.parts:
            yielded.append(part)
            yield recorder.app.AsyncResult("not-the-one-that-is-sent")

    recorder.chords.start(GROUP, regen(generate()))
    assert yielded == []
    for number, part in enumerate(recorder.parts[:-1]):
        recorder.end(part, index=number)
    recorder.chords.set_size(GROUP, 3)
    for _ in range(2):
        recorder.end(recorder.parts[-1], index=2)
    assert recorder.bodies == 1
    assert recorder.failed == []
