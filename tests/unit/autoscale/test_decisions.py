"""What is kept of every step."""

import json
from dataclasses import replace

import pytest

from autoscale.decisions import CHUNK, Decision, DecisionLog, latest, read, read_last, record
from autoscale.model import Demand, FleetSnapshot, Machine, PolicyState, ScalingLimits
from autoscale.policy import decide
from autoscale.readings import StepReadings
from autoscale.signals import InFlightReading, QueueLengths
from facerec_tasks.control_schemas import ProcessReport
from facerec_tasks.errors import Unavailable
from tests.memory_state import MemoryStateStore

NOW = 1_800_000_000.0


def decision(step: str = "run-1", at: float = NOW, waiting: int = 9) -> Decision:
    demand = Demand(waiting, waiting, float(waiting), "exact")
    machines = (Machine("i-1", "running", at - 100, 1, at - 90, ready=True, busy=True),)
    limits = ScalingLimits(cap=15)
    plan = decide(FleetSnapshot(demand, machines, PolicyState()), limits, at)
    process = ProcessReport("web-0", "e", at - 100, 4 + waiting, 4, waiting)
    requests, counts = InFlightReading(at, (process,)), QueueLengths(at, 8, 1)
    seen = StepReadings(requests, counts, machines, demand)
    return record(step, at, seen, machines, 0, plan, limits, {"stop": ["i-1"]})


def test_decision_round_trips_through_json() -> None:
    line = decision().to_json()
    assert "\n" not in line
    again = Decision.from_json(line)
    assert again.to_json() == line
    assert again.machines == {"running": 1, "ready": 1, "busy": 1}
    assert again.ran == {"i-1": 90.0}


@pytest.mark.parametrize("line", ["", "7", "{}", '{"step": "x"}'])
def test_malformed_decision_is_rejected(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  json's own or ours
        Decision.from_json(line)


def test_decision_fields_of_a_newer_version_are_ignored() -> None:
    fields = json.loads(decision().to_json()) | {"new": 1}
    assert Decision.from_json(json.dumps(fields)).step == "run-1"


def test_decision_log_batches_writes_and_flushes_changes() -> None:
    state = MemoryStateStore()
    log = DecisionLog(state, "run")
    log.add(decision("run-1"), NOW, within=10.0)
    assert state.objects == {}
    log.add(decision("run-2"), NOW + 2, within=0.0)
    assert [d.step for d in read(state)] == ["run-1", "run-2"]
    last = latest(state)
    assert last is not None
    assert last.step == "run-2"


def test_decision_log_object_keys_by_day() -> None:
    state = MemoryStateStore()
    log = DecisionLog(state, "run")
    for n in range(10):
        at = NOW + n * CHUNK / 2
        log.add(decision(f"run-{n}", at), at, within=0.0)
    names = state.names("decisions/2027-01-15/")
    assert len(names) == 5
    assert [d.step for d in read(state, "2027-01-15")] == [f"run-{n}" for n in range(10)]
    assert list(read(state, "2027-01-16")) == []
    assert [d.step for d in read_last(state, 3)] == ["run-7", "run-8", "run-9"]


def test_decision_log_retries_a_failed_write(monkeypatch: pytest.MonkeyPatch) -> None:
    state = MemoryStateStore()
    log = DecisionLog(state, "run")
    with monkeypatch.context() as broken:

        def fail(*_: object, **__: object) -> str:
            raise Unavailable("S3 is down")

        broken.setattr(state, "put", fail)
        with pytest.raises(Unavailable):
            log.add(decision("run-1"), NOW, within=0.0)
    log.add(replace(decision("run-2"), at=NOW + 2), NOW + 2, within=0.0)
    assert [d.step for d in read(state)] == ["run-1", "run-2"]
