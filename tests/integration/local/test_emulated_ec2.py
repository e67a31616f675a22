"""The emulated EC2 takes its time, and refuses what AWS refuses."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from facerec_tasks import aws
from facerec_tasks.settings import Settings
from local.emulators.resources import WORKER_IMAGE, ensure_image

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef

Wait = Callable[..., None]


class Machines:
    """The emulated EC2 of one test, in few words."""

    def __init__(self, settings: Settings) -> None:
        self.ec2 = aws.client(settings, "ec2")
        self.image = ensure_image(self.ec2, WORKER_IMAGE)
        self.before = self._all()

    def run(self, least: int = 1, most: int = 1, **more: str) -> list[str]:
        more.setdefault("ImageId", self.image)
        answer = self.ec2.run_instances(MinCount=least, MaxCount=most, **more)
        assert {i["State"]["Name"] for i in answer["Instances"]} <= {"pending"}
        return [i["InstanceId"] for i in answer["Instances"]]

    def state(self, machine: str) -> str:
        found = self.ec2.describe_instances(InstanceIds=[machine])
        return found["Reservations"][0]["Instances"][0]["State"]["Name"]

    def listed(self, state: str) -> set[str]:
        """Those of this test in that state, as a filtered listing has them."""
        return self._all({"Name": "instance-state-name", "Values": [state]}) - self.before

    def _all(self, *filters: "FilterTypeDef") -> set[str]:
        found = self.ec2.describe_instances(Filters=filters)
        return {i["InstanceId"] for r in found["Reservations"] for i in r["Instances"]}


@pytest.fixture
def machines(resources: Settings) -> Machines:
    return Machines(resources)


def test_pending_lasts_then_it_runs(machines: Machines, eventually: Wait) -> None:
    (one,) = machines.run()
    assert one in machines.listed("pending")
    eventually(lambda: one in machines.listed("running"), within=10)
    assert one not in machines.listed("pending")
    assert machines.state(one) == "running"


def test_stopping_lasts_and_cannot_be_started_meanwhile(
    machines: Machines, eventually: Wait
) -> None:
    (one,) = machines.run()
    eventually(lambda: machines.state(one) == "running", within=10)
    (change,) = machines.ec2.stop_instances(InstanceIds=[one])["StoppingInstances"]
    assert change["PreviousState"]["Name"] == "running"
    assert change["CurrentState"]["Name"] == "stopping"
    with pytest.raises(ClientError, match=r"IncorrectInstanceState.*cannot be|from which"):
        machines.ec2.start_instances(InstanceIds=[one])
    eventually(lambda: machines.state(one) == "stopped", within=10)
    (change,) = machines.ec2.start_instances(InstanceIds=[one])["StartingInstances"]
    assert change["PreviousState"]["Name"] == "stopped"
    assert change["CurrentState"]["Name"] == "pending"
    assert machines.state(one) == "pending"
    eventually(lambda: machines.state(one) == "running", within=10)


def test_a_request_with_one_that_cannot_start_starts_none(
    machines: Machines, eventually: Wait
) -> None:
    stopped, gone = machines.run(2, 2)
    eventually(lambda: machines.state(stopped) == "running", within=10)
    machines.ec2.stop_instances(InstanceIds=[stopped])
    machines.ec2.terminate_instances(InstanceIds=[gone])
    eventually(lambda: machines.state(stopped) == "stopped", within=10)
    with pytest.raises(ClientError, match="IncorrectInstanceState"):
        machines.ec2.start_instances(InstanceIds=[stopped, gone])
    assert machines.state(stopped) == "stopped"


def test_what_has_never_run_cannot_be_stopped_but_terminated(machines: Machines) -> None:
    (one,) = machines.run()
    with pytest.raises(ClientError, match="never reached the 'running' state"):
        machines.ec2.stop_instances(InstanceIds=[one])
    (change,) = machines.ec2.terminate_instances(InstanceIds=[one])["TerminatingInstances"]
    assert change["PreviousState"]["Name"] == "pending"
    assert change["CurrentState"]["Name"] == "shutting-down"


def test_stopping_twice_and_terminating_twice_change_nothing(
    machines: Machines, eventually: Wait
) -> None:
    (one,) = machines.run()
    eventually(lambda: machines.state(one) == "running", within=10)
    machines.ec2.stop_instances(InstanceIds=[one])
    eventually(lambda: machines.state(one) == "stopped", within=10)
    (change,) = machines.ec2.stop_instances(InstanceIds=[one])["StoppingInstances"]
    assert change["CurrentState"]["Name"] == "stopped"
    machines.ec2.terminate_instances(InstanceIds=[one])
    (change,) = machines.ec2.terminate_instances(InstanceIds=[one])["TerminatingInstances"]
    assert change["CurrentState"]["Name"] == "terminated"
    with pytest.raises(ClientError, match="IncorrectInstanceState"):
        machines.ec2.stop_instances(InstanceIds=[one])


def test_the_same_client_token_launches_once(machines: Machines) -> None:
    first = machines.run(2, 2, ClientToken="token-a")
    again = machines.ec2.run_instances(
        ImageId=machines.image, MinCount=2, MaxCount=2, ClientToken="token-a"
    )
    assert [i["InstanceId"] for i in again["Instances"]] == first
    assert machines.listed("pending") | machines.listed("running") == set(first)
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        machines.run(3, 3, ClientToken="token-a")
    assert set(machines.run(1, 1, ClientToken="token-b")).isdisjoint(first)


def test_it_launches_the_most_that_was_asked_for(machines: Machines) -> None:
    assert len(machines.run(1, 4)) == 4
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        machines.run(3, 2)


def test_an_unknown_image_is_refused(machines: Machines) -> None:
    with pytest.raises(ClientError, match="InvalidAMIID"):
        machines.run(ImageId="ami-12345678901234567")


def test_a_launch_carries_its_tags_from_the_first_moment(machines: Machines) -> None:
    launched = machines.ec2.run_instances(
        ImageId=machines.image,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "app-tier-instance-7"}]}
        ],
    )
    found = machines.ec2.describe_instances(
        Filters=[{"Name": "tag:Name", "Values": ["app-tier-instance-*"]}]
    )
    ids = {i["InstanceId"] for r in found["Reservations"] for i in r["Instances"]}
    assert launched["Instances"][0]["InstanceId"] in ids


def test_a_quick_look_costs_little_with_many_terminated(machines: Machines) -> None:
    for _ in range(5):
        machines.ec2.terminate_instances(InstanceIds=machines.run(20, 20))
    started = time.monotonic()
    assert machines.listed("running") == set()
    assert time.monotonic() - started < 1
