"""The controller's journal as the web tier reads it, held against the controller's own writer."""

import json

import pytest

from autoscale import fleet
from facerec_tasks.control_schemas import Decision, read_decisions
from webapp.pages import aws_readings
from webapp.pages.decisions import summary


def line(**fields: object) -> bytes:
    return json.dumps({"step": "a-1", "at": 100.0, "need": 0, "target": 0, **fields}).encode()


def written() -> Decision:
    return Decision(
        step="a-1", at=100.0, visible=7, in_flight=2, outstanding=9, bound="exact", waiting=9,
        accepted=9.0, machines={"running": 3, "ready": 1, "stopped": 2}, unconfirmed=0, need=4,
        target=4, terms={"reason": "cap"}, limits={"cap": 4, "slo": 60.0}, launch=1,
        stop=("i-1",), done={"launch": "InsufficientInstanceCapacity"}, ran={"i-1": 20.0},
        not_more="the cap is reached",
    )  # fmt: skip


def test_decision_round_trip_decisions() -> None:
    (step,) = read_decisions(written().to_json().encode())
    assert (step.at, step.visible, step.in_flight, step.waiting) == (100.0, 7, 2, 9)
    assert step.machines == {"running": 3, "ready": 1, "stopped": 2}
    assert step.changes == {"launch": 1, "stop": 1}
    assert step.failures == {"launch": "InsufficientInstanceCapacity"}
    assert (step.limits["slo"], step.ran) == (60.0, {"i-1": 20.0})


def test_fleet_tag_matches_the_controllers() -> None:
    assert fleet.MEMBER_TAG == aws_readings.MEMBER_TAG


@pytest.mark.parametrize(
    "broken", [b"{", b"[]", b"null", b'{"at": "x"}', b'{"at": 1}', b"\xff", line(start=3)]
)
def test_broken_decision_lines_are_skipped(broken: bytes) -> None:
    assert [step.at for step in read_decisions(broken + b"\n" + line())] == [100.0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"launch": 2, "waiting": 1, "need": 2, "terms": {"reason": "hedge"}},
            "Launched 2 new machines. 1 photo is waiting, 2 machines are needed: no machine is "
            "running, and the slowest boot alone would miss 0 s, so two start.",
        ),
        (
            {
                "start": ["i-1"], "waiting": 30, "need": 1, "not_more": "1 machine is enough",
                "terms": {"reason": "backlog", "backlog": 9},
            },
            "Started i-1. 30 photos are waiting, 1 machine is needed: photos expected to wait when "
            "a new machine is ready: 9; a machine does 0.00 a second.",
        ),
        (
            {"stop": ["i-1", "i-2"], "waiting": 0},
            "Stopped i-1 and i-2. No photo is waiting, no machine is needed: "
            "there is nothing to do.",
        ),
        (
            {
                "launch": 1, "waiting": 99, "need": 4, "terms": {"reason": "cap"},
                "limits": {"cap": 4}, "not_more": "the cap is reached",
                "done": {"launch": "no capacity"},
            },
            "Could not launch 1 machine (no capacity). 99 photos are waiting, 4 machines "
            "are needed: more would help, but the limit of machines is 4. "
            "Not more: the cap is reached.",
        ),
    ],
)  # fmt: skip
def test_decision_summary(fields: dict[str, object], said: str) -> None:
    (step,) = read_decisions(line(**fields))
    assert summary(step) == said
