"""Slots and names of response queues."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from celery_sqs._aws.queues import OWNER_TAG, SEEN_TAG
from celery_sqs._results import response_queue as module
from celery_sqs._results.response_queue import (
    ABANDONED_AFTER,
    NoFreeSlot,
    ProcessSlot,
    is_free,
    own_name,
)
from hypothesis import given
from hypothesis import strategies as st

HOLDER = """
import sys, time
from pathlib import Path
from celery_sqs._results.response_queue import ProcessSlot
print(ProcessSlot(Path(sys.argv[1]), "resp").number, flush=True)
time.sleep(60)
"""
NOW = 1_800_000_000.0


def test_slots_are_never_shared_and_reused_when_free(tmp_path: Path) -> None:
    first, second = ProcessSlot(tmp_path / "new", "resp"), ProcessSlot(tmp_path / "new", "resp")
    assert (first.number, second.number) == (0, 1)
    assert ProcessSlot(tmp_path / "new", "other").number == 0
    first.release()
    assert ProcessSlot(tmp_path / "new", "resp").number == 0


def test_a_killed_process_frees_its_slot(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "0\n"
        held = ProcessSlot(tmp_path, "resp")
        holder.kill()
    assert held.number == 1
    assert ProcessSlot(tmp_path, "resp").number == 0


def test_a_forked_child_does_not_free_its_parents_slot(tmp_path: Path) -> None:
    slot = ProcessSlot(tmp_path, "resp")
    child = os.fork()
    if child == 0:
        slot.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert ProcessSlot(tmp_path, "resp").number == 1


def test_slots_end_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SLOTS", 1)
    held = ProcessSlot(tmp_path, "resp")
    with pytest.raises(NoFreeSlot):
        ProcessSlot(tmp_path, "resp")
    held.release()


@pytest.mark.parametrize(
    ("owner", "age", "free"),
    [
        (None, 0, True),
        ("mine", 0, True),
        ("other", 0, False),
        ("other", ABANDONED_AFTER - 1, False),
        ("other", ABANDONED_AFTER + 1, True),
    ],
)
def test_a_queue_is_free_when_nobody_else_uses_it(
    owner: str | None, age: float, free: bool
) -> None:
    tags = {SEEN_TAG: str(int(NOW - age))} | ({OWNER_TAG: owner} if owner else {})
    assert is_free(tags, "mine", NOW) is free


def test_a_queue_that_was_given_back_is_free() -> None:
    assert is_free({OWNER_TAG: "other", SEEN_TAG: "0"}, "mine", NOW)
    assert is_free({OWNER_TAG: "other"}, "mine", NOW)
    assert is_free({OWNER_TAG: "other", SEEN_TAG: "nonsense"}, "mine", NOW)


def test_the_name_says_machine_and_slot() -> None:
    assert own_name("facerec-resp-queue", "web-1", 3) == "facerec-resp-queue-web-1-3"


@given(st.text(max_size=90), st.text(max_size=90), st.integers(0, 63))
def test_names_are_legal_short_and_never_one_for_two(one: str, two: str, slot: int) -> None:
    base = "x" * 43  # the longest this system makes
    name = own_name(base, one, slot)
    assert len(name) + 7 <= 80
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name)
    assert (own_name(base, two, slot) == name) is (one == two)
