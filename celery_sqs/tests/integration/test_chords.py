"""Chords with real prefork workers, which die at every step of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError
from celery.result import AsyncResult, GroupResult

STEPS = ("count", "claim", "join", "send", "sent", "done")
TIMEOUT = 60
LARGE = 262_144


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the sample application and its workers: results, and a store of them."""
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("SAMPLE_ANSWERS", "1")
    monkeypatch.setenv("SAMPLE_STORE", f"file://{tmp_path / 'store'}")
    monkeypatch.setenv("SAMPLE_OPTIONS", json.dumps({"max_message_size": LARGE}))


@pytest.fixture
def stored(sample: Any) -> Any:
    """The sample application; a chord's messages need more than 1 KiB."""
    url = sample.sqs.get_queue_url(QueueName=sample.queue)["QueueUrl"]
    sample.sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": str(LARGE)})
    return sample


def _add(stored: Any, *numbers: int) -> Any:
    return stored.app.signature("sample.add", numbers)


@pytest.mark.parametrize("step", STEPS)
def test_a_chord_survives_the_death_of_its_last_part(
    stored: Any, step: str, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    stored.start("-c2", SAMPLE_CHORD_KILL=step, SAMPLE_CHORD_KILLED=str(tmp_path / "killed"))
    body = stored.app.signature("sample.total")
    result = chord([_add(stored, n, n) for n in range(4)], body).delay()
    assert result.get(timeout=TIMEOUT) == 12
    assert (tmp_path / "killed").exists(), "nothing was killed"
    eventually(stored.empty, within=30)
    assert len(stored.notes("total", result.id)) == 1


def test_a_body_sent_twice_because_its_queue_is_long_runs_once(
    stored: Any, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Its sender dies, and it has not begun when another takes over."""
    later = f"{stored.queue}-later"
    stored.sqs.create_queue(QueueName=later)
    stored.start("-c2", SAMPLE_CHORD_KILL="sent", SAMPLE_CHORD_KILLED=str(tmp_path / "killed"))
    body = stored.app.signature("sample.total").set(queue=later)
    result = chord([_add(stored, n, n) for n in range(4)], body).delay()
    eventually(lambda: stored.counts(later).total == 2, within=TIMEOUT)
    assert (tmp_path / "killed").exists()
    worker = stored.start("-c2", "-Q", later)
    assert result.get(timeout=TIMEOUT) == 12
    eventually(lambda: stored.empty(later), within=30)
    assert len(stored.notes("total", result.id)) == 1
    assert "another copy of this chord's body" in worker.output


def test_what_canvas_promises(stored: Any) -> None:
    stored.start("-c2")
    total = stored.app.signature("sample.total")
    assert chain(group(_add(stored, n, 1) for n in range(3)), total).delay().get(TIMEOUT) == 6
    replaced = stored.app.signature("sample.replaced", (5,)).delay()
    assert replaced.get(timeout=TIMEOUT) == 10
    linked = stored.app.signature("sample.add", (1, 2)).apply_async(link=_add(stored, 10))
    assert linked.get(timeout=TIMEOUT) == 3
    assert linked.children[0].get(timeout=TIMEOUT) == 13
    many = group(_add(stored, n, 0) for n in range(5)).delay()
    assert sorted(meta["result"] for _, meta in many.iter_native()) == [0, 1, 2, 3, 4]
    assert many.join_native(timeout=TIMEOUT) == [0, 1, 2, 3, 4]
    many.save()
    assert GroupResult.restore(many.id, app=stored.app).get(timeout=TIMEOUT) == [0, 1, 2, 3, 4]
    failing = chord([_add(stored, 1, 1), stored.app.signature("sample.fail", ("x",))], total)
    failed = failing.delay()
    with pytest.raises(ValueError, match="x"):  # Celery looks at the header first
        failed.get(timeout=TIMEOUT)
    with pytest.raises(ChordError, match="ValueError"):
        AsyncResult(failed.id, app=stored.app).get(timeout=TIMEOUT)


def test_any_process_reads_results_and_states(stored: Any, eventually: Callable[..., None]) -> None:
    stored.start()
    result = stored.app.signature("sample.progress").delay()
    code = f"""
import time, json
from celery.result import AsyncResult
result, seen = AsyncResult({result.id!r}, app=app), []
while not result.ready():
    seen.append([result.state, result.info])
    time.sleep(0.05)
note("seen", json.dumps([each for each in seen if each[0] == "PROGRESS"][:1]).replace(" ", ""))
note("got", result.get(timeout=30))
"""
    stored.python(code)
    eventually(lambda: stored.notes("got"), within=TIMEOUT)
    assert stored.notes("got") == [["got", "done"]]
    assert json.loads(stored.notes("seen")[0][1]) == [["PROGRESS", {"at": 1}]]
    assert result.get(timeout=TIMEOUT) == "done"
    assert AsyncResult("never-sent", app=stored.app).state == "PENDING"
