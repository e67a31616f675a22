"""Whom to believe alive, busy, dead."""

from autoscale.health import (
    DEATHS,
    DISTRUST_SECONDS,
    FRESH,
    SILENT,
    SURE,
    UNANSWERED_STEPS,
    HealthMonitor,
    PollResult,
    WorkerStatus,
    _machine,
    _status,
)
from autoscale.model import Machine

A = Machine("i-a", "running", since=100.0, number=1)
B = Machine("i-b", "running", since=100.0, number=2)


def heard(at: float, **words: WorkerStatus) -> PollResult:
    return PollResult(at, {name.replace("_", "-"): word for name, word in words.items()})


def test_machine_is_ready_once_its_worker_answers_ping() -> None:
    liveness = HealthMonitor(began=0.0)
    assert liveness.judge([A], [], 101.0)[0].ready is None, "nobody was asked"
    assert liveness.judge([A], [heard(102.0)], 103.0)[0].ready is False
    up = liveness.judge([A], [heard(110.0, i_a=WorkerStatus())], 111.0)[0]
    assert (up.ready, up.up_since) == (True, 110.0)
    assert liveness.booted("i-a") == 10.0


def test_boot_before_controller_start_is_not_learned() -> None:
    liveness = HealthMonitor(began=105.0)
    liveness.judge([A], [heard(110.0, i_a=WorkerStatus())], 111.0)
    assert liveness.booted("i-a") is None


def test_boot_time_is_measured_again_after_a_restart_of_the_machine() -> None:
    liveness = HealthMonitor(began=0.0)
    liveness.judge([A], [heard(110.0, i_a=WorkerStatus())], 111.0)
    again = Machine("i-a", "running", since=500.0, number=1)
    assert liveness.judge([again], [heard(505.0)], 506.0)[0].ready is False


def test_silent_worker_is_never_idle() -> None:
    liveness = HealthMonitor(began=0.0)
    rounds = [heard(110.0, i_a=WorkerStatus(active=0), i_b=WorkerStatus(active=2))]
    assert [m.busy for m in liveness.judge([A, B], rounds, 111.0)] == [False, True]
    assert [m.busy for m in liveness.judge([A, B], [], 110.0 + FRESH)] == [None, None]
    assert liveness.judge([A, B], [heard(130.0, i_a=WorkerStatus())], 130.0)[0].busy is None


def test_silent_worker_is_dead_while_others_answer() -> None:
    liveness = HealthMonitor(began=0.0)
    liveness.judge([A, B], [heard(110.0, i_a=WorkerStatus(), i_b=WorkerStatus())], 110.0)
    later = 110.0 + SILENT + 5
    missed = [heard(later - n, i_b=WorkerStatus()) for n in range(SURE)]
    assert [m.ready for m in liveness.judge([A, B], missed[1:], later)] == [True, True]
    seen = liveness.judge([A, B], missed[:1], later)
    assert [m.ready for m in seen] == [False, True]


def test_no_worker_is_dead_when_all_are_silent() -> None:
    liveness = HealthMonitor(began=0.0)
    liveness.judge([A, B], [heard(110.0, i_a=WorkerStatus(), i_b=WorkerStatus())], 110.0)
    later = 110.0 + SILENT + 5
    silence = [heard(later)] * SURE
    assert [m.ready for m in liveness.judge([A, B], silence, later)] == [None, None]


def test_silence_is_ignored_while_tasks_are_answered() -> None:
    liveness = HealthMonitor(began=0.0)
    for step in range(UNANSWERED_STEPS):
        assert liveness.judge([A], [heard(110.0 + step)], 110.0 + step)[0].ready is False
        liveness.progressed(110.0 + step)
    assert liveness.judge([A], [heard(120.0)], 120.0)[0].ready is None
    assert (
        liveness.judge([A], [heard(121.0 + DISTRUST_SECONDS)], 121.0 + DISTRUST_SECONDS)[0].ready
        is False
    )


def test_crash_looping_worker_makes_machine_faulty() -> None:
    liveness = HealthMonitor(began=0.0)
    for death in range(DEATHS + 1):
        now = 110.0 + 15 * death
        seen = liveness.judge([A], [heard(now, i_a=WorkerStatus(pid=1000 + death))], now)[0]
        assert seen.faulty == (death >= DEATHS)
    rested = liveness.judge([A], [heard(900.0, i_a=WorkerStatus(pid=1003))], 900.0)[0]
    assert not rested.faulty


def test_worker_is_matched_by_instance_id_or_name() -> None:
    liveness = HealthMonitor(began=0.0)
    words = {
        _machine("celery@app-tier-instance-1"): WorkerStatus(),
        _machine("x@i-b"): WorkerStatus(),
    }
    seen = liveness.judge([A, B], [PollResult(110.0, words)], 110.0)
    assert [m.ready for m in seen] == [True, True]


def test_malformed_inspect_reply_only_proves_liveness() -> None:
    assert _status("n", None, None) == WorkerStatus(node="n")
    assert _status("n", {"error": "x"}, {"error": "y"}) == WorkerStatus(node="n")
    assert _status("n", {"pid": 7, "pool": {"max-concurrency": 2}}, [{}]) == WorkerStatus(
        7, 2, 1, "n"
    )


def test_worker_that_was_not_asked_is_not_silent() -> None:
    monitor = HealthMonitor(began=0.0)
    monitor.judge([A, B], [heard(110.0, i_a=WorkerStatus(), i_b=WorkerStatus())], 110.0)
    others = [PollResult(300.0 + n, {"i-b": WorkerStatus()}, frozenset({"i-b"})) for n in range(4)]
    assert [m.ready for m in monitor.judge([A, B], others, 304.0)] == [True, True]


def test_nodes_are_those_that_workers_gave() -> None:
    monitor = HealthMonitor(began=0.0)
    monitor.judge([A, B], [heard(110.0, i_b=WorkerStatus(node="w@i-b"))], 110.0)
    assert monitor.nodes() == {"i-b": "w@i-b"}
