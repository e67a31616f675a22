"""The controller's journal as the web tier reads it, held against the controller's own writer."""

import json

import pytest

from autoscale import decisions, fleet, lease, state
from webapp.pages import aws_readings, decision_log, status
from webapp.pages.decisions import read, words


def line(**fields: object) -> bytes:
    return json.dumps({"step": "a-1", "at": 100.0, "need": 0, "target": 0, **fields}).encode()


def written() -> decisions.Decision:
    return decisions.Decision(
        step="a-1", at=100.0, visible=7, in_flight=2, outstanding=9, bound="exact", waiting=9,
        accepted=9.0, machines={"running": 3, "ready": 1, "stopped": 2}, unconfirmed=0, need=4,
        target=4, terms={"reason": "cap"}, limits={"cap": 4, "slo": 60.0}, launch=1,
        stop=("i-1",), done={"launch": "InsufficientInstanceCapacity"}, ran={"i-1": 20.0},
        not_more="the cap is reached",
    )  # fmt: skip


def test_what_the_controller_writes_is_read() -> None:
    (step,) = read(written().to_json().encode())
    assert (step.at, step.visible, step.in_flight, step.waiting) == (100.0, 7, 2, 9)
    assert step.machines == {"running": 3, "ready": 1, "stopped": 2}
    assert step.changes == {"launch": 1, "stop": 1}
    assert step.failures == {"launch": "InsufficientInstanceCapacity"}
    assert (step.limits["slo"], step.ran) == (60.0, (20.0,))


def test_both_mean_the_same_names() -> None:
    assert state.PREFIX + decisions.PREFIX == decision_log.PREFIX
    assert state.PREFIX + lease.NAME == status.LEASE
    assert fleet.MEMBER_TAG == aws_readings.MEMBER_TAG


@pytest.mark.parametrize(
    "broken", [b"{", b"[]", b"null", b'{"at": "x"}', b'{"at": 1}', b"\xff", line(start=3)]
)
def test_a_line_that_is_no_step_is_left_out(broken: bytes) -> None:
    assert [step.at for step in read(broken + b"\n" + line())] == [100.0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"launch": 2, "waiting": 1, "need": 2, "terms": {"reason": "hedge"}},
            "Launched 2 machines. 1 photo to do, so 2 machines are needed: one slow boot alone "
            "would be too late.",
        ),
        (
            {
                "start": ["i-1"], "waiting": 30, "need": 1, "not_more": "1 are enough",
                "terms": {"reason": "backlog", "backlog": 9},
            },
            "Started 1 machine. 30 photos to do, so 1 machine is needed: 9 would still wait when a "
            "new one is up.",
        ),
        (
            {"stop": ["i-1", "i-2"], "waiting": 0},
            "Stopped 2 machines. No photo to do, so no machine is needed: nothing is left to do.",
        ),
        (
            {
                "launch": 1, "waiting": 99, "need": 4, "terms": {"reason": "cap"},
                "limits": {"cap": 4}, "not_more": "the cap is reached",
                "done": {"launch": "no capacity"},
            },
            "Could not launch 1 machine (no capacity). 99 photos to do, so 4 machines are needed: "
            "more would help, but the cap is 4. Not more: the cap is reached.",
        ),
    ],
)  # fmt: skip
def test_a_step_is_told_in_words(fields: dict[str, object], said: str) -> None:
    (step,) = read(line(**fields))
    assert words(step) == said
