"""Listings that are late, and what was asked for since."""

from autoscale.model import Machine
from autoscale.reconciler import SETTLED, StateReconciler

A = Machine("i-a", "running", since=0.0, number=1)


def states(sightings: StateReconciler) -> dict[str, str]:
    return {m.id: m.state for m in sightings.machines}


def test_launch_counts_before_it_is_listed() -> None:
    sightings = StateReconciler()
    sightings.expect(["i-new"], "pending", 100.0, "token")
    assert [(m.id, m.state, m.token) for m in sightings.update([], 101.0)] == [
        ("i-new", "pending", "token")
    ]
    assert sightings.update([], 100.0 + SETTLED) == ()


def test_start_counts_while_listed_as_stopped() -> None:
    sightings = StateReconciler()
    sightings.update([Machine("i-a", "stopped", 0.0)], 99.0)
    sightings.expect(["i-a"], "pending", 100.0)
    late = sightings.update([Machine("i-a", "stopped", 0.0)], 101.0)
    assert (late[0].state, late[0].since) == ("pending", 100.0)


def test_stale_listing_does_not_undo_a_state() -> None:
    sightings = StateReconciler()
    sightings.expect(["i-a"], "stopping", 100.0)
    sightings.update([Machine("i-a", "stopped", 0.0)], 101.0)
    assert sightings.update([A], 102.0)[0].state == "stopping"


def test_machine_missing_from_one_listing_is_kept() -> None:
    sightings = StateReconciler()
    sightings.update([A], 100.0)
    assert [m.id for m in sightings.update([], 100.0 + SETTLED - 1)] == ["i-a"]
    assert sightings.update([], 100.0 + SETTLED) == ()


def test_start_time_outlives_the_expected_state() -> None:
    """EC2 renews the launch time at a start; an emulator may not."""
    sightings = StateReconciler()
    sightings.update([Machine("i-a", "stopped", 0.0)], 99.0)
    sightings.expect(["i-a"], "pending", 100.0)
    for now in (110.0, 150.0, 200.0):
        seen = sightings.update([Machine("i-a", "running", 0.0)], now)
        assert (seen[0].since, seen[0].running_since) == (100.0, 110.0)


def test_running_since_of_a_machine_from_before() -> None:
    assert StateReconciler().update([A], 500.0)[0].running_since == A.since


def test_name_counts_before_it_is_listed() -> None:
    sightings = StateReconciler()
    sightings.update([Machine("i-a", "running", 0.0)], 100.0)
    sightings.named("i-a", 7)
    assert sightings.machines[0].number == 7


def test_foreign_stop_after_our_start_is_believed() -> None:
    sightings = StateReconciler()
    sightings.expect(["i-a"], "pending", 100.0)
    before = Machine("i-a", "stopped", 0.0, stop_requested_at=40.0)
    assert sightings.update([before], 102.0)[0].state == "pending"
    since = Machine("i-a", "stopping", 100.0, stop_requested_at=103.0)
    assert sightings.update([since], 104.0)[0].state == "stopping"
