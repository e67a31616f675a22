"""What the controller relies on, of the fake fleet and of EC2 as far as it can be emulated."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from autoscale.fleet import Ec2Fleet, Fleet
from autoscale.image import IMAGE
from autoscale.model import Machine
from facerec_tasks import aws
from facerec_tasks.settings import Settings
from tests.fake_fleet import FakeFleet

Wait = Callable[..., None]
NAMED: Any = {"Name": "name", "Values": [IMAGE]}


@pytest.fixture(params=["fake", "ec2"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    if request.param == "fake":
        yield FakeFleet(time.time, pending=0.2, stopping=0.2)
        return
    settings: Settings = request.getfixturevalue("resources")
    yield Ec2Fleet(settings)


def find(fleet: Fleet, machine_id: str) -> Machine:
    return next(m for m in fleet.describe() if m.id == machine_id)


def token() -> str:
    return uuid.uuid4().hex


def test_describe_empty_fleet(fleet: Fleet) -> None:
    assert fleet.describe() == []


def test_launched_machines_carry_their_token(fleet: Fleet) -> None:
    asked = token()
    ids = fleet.launch(3, asked)
    assert len(set(ids)) == 3
    found = fleet.describe()
    assert {m.id for m in found} == set(ids)
    assert {m.token for m in found} == {asked}
    assert {m.number for m in found} == {None}
    assert all(m.live and abs(m.since - time.time()) < 10 for m in found)


def test_client_token_launches_once(fleet: Fleet) -> None:
    asked = token()
    first = fleet.launch(2, asked)
    assert sorted(fleet.launch(2, asked)) == sorted(first)
    assert len(fleet.describe()) == 2


def test_machine_lifecycle(fleet: Fleet, eventually: Wait) -> None:
    (one,) = fleet.launch(1, token())
    eventually(lambda: find(fleet, one).state == "running")
    assert fleet.stop([one]) == [one]
    stopping = find(fleet, one)
    assert stopping.state in ("stopping", "stopped")
    assert stopping.stop_requested_at is not None
    assert abs(stopping.stop_requested_at - time.time()) < 10
    eventually(lambda: find(fleet, one).state == "stopped")
    assert fleet.start([one]) == [one]
    assert find(fleet, one).live
    eventually(lambda: find(fleet, one).state == "running")
    assert fleet.terminate([one]) == [one]
    eventually(lambda: find(fleet, one).state == "terminated")


def test_batched_call_accepts_machines_in_the_right_state(fleet: Fleet, eventually: Wait) -> None:
    ended, stopped = fleet.launch(2, token())
    eventually(lambda: all(m.state == "running" for m in fleet.describe()))
    fleet.stop([stopped])
    fleet.terminate([ended])
    eventually(lambda: find(fleet, stopped).state == "stopped")
    assert fleet.start([ended, stopped]) == [stopped]


def test_pending_machine_cannot_be_stopped(fleet: Fleet) -> None:
    (one,) = fleet.launch(1, token())
    assert fleet.stop([one]) == []
    assert fleet.terminate([one]) == [one]


def test_name_may_be_set_again(fleet: Fleet) -> None:
    (one,) = fleet.launch(1, token())
    fleet.name(one, 7)
    fleet.name(one, 7)
    assert find(fleet, one).number == 7


def test_machines_of_another_image_are_outdated(
    fleet: Fleet, private_endpoint: str, request: pytest.FixtureRequest
) -> None:
    (before,) = fleet.launch(1, token())
    assert not find(fleet, before).outdated
    if isinstance(fleet, FakeFleet):
        fleet.image += 1
    else:
        settings: Settings = request.getfixturevalue("resources")
        ec2 = aws.client(settings, "ec2")
        (image,) = ec2.describe_images(Owners=["self"], Filters=[NAMED])["Images"]
        ec2.deregister_image(ImageId=image["ImageId"])
        fleet = Ec2Fleet(settings)  # what it knew of the image is some seconds old
        assert not find(fleet, before).outdated, "between two images nothing is known"
        ec2.register_image(Name=IMAGE, Architecture="x86_64", RootDeviceName="/dev/xvda")
        fleet = Ec2Fleet(settings)
    (after,) = fleet.launch(1, token())
    assert find(fleet, before).outdated
    assert not find(fleet, after).outdated
