"""Which workers to start and which to stop."""

from local.processes.worker_host import WorkerChanges, plan


def test_every_running_machine_gets_a_worker_in_the_order_of_their_names() -> None:
    running = {"i-b": "app-tier-instance-1", "i-a": "app-tier-instance-2"}
    assert plan(running, {}) == WorkerChanges(start=("i-b", "i-a"), stop=())


def test_a_machine_with_a_worker_is_left_alone() -> None:
    assert plan({"i-a": "x"}, {"i-a": False}) == WorkerChanges(start=(), stop=())


def test_worker_host_stops_the_worker_of_a_stopped_machine_once() -> None:
    assert plan({}, {"i-a": False, "i-b": True}) == WorkerChanges(start=(), stop=("i-a",))


def test_a_machine_started_again_waits_until_its_old_worker_has_ended() -> None:
    assert plan({"i-a": "x"}, {"i-a": True}) == WorkerChanges(start=(), stop=())
    assert plan({"i-a": "x"}, {}) == WorkerChanges(start=("i-a",), stop=())
