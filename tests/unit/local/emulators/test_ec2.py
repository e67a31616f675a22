"""The state of an emulated instance is a question of time."""

from local.emulators.ec2 import Transition, state_at


def test_a_state_in_between_lasts_until_it_is_due() -> None:
    booting = Transition("pending", "running", due=10.0)
    assert state_at(booting, 9.9) == "pending"
    assert state_at(booting, 10.0) == "running"
