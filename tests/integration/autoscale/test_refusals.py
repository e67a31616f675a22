"""What EC2 refuses, on the embedded AWS: the controller goes on, and says what was refused."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from autoscale.explain import explain
from autoscale.state import StateStore
from facerec_tasks.control_schemas import Decision
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators.ec2_refusals import PATH
from local.processes.child import Child

from .conftest import Watched, WebTier

Start = Callable[..., Child]
Wait = Callable[..., None]
Refuse = Callable[..., None]


@pytest.fixture
def refuse(private_endpoint: str) -> Iterator[Refuse]:
    """``refuse(("StartInstances", "InsufficientInstanceCapacity"), …)`` replaces all rules."""

    def replace_rules(*rules: tuple[str, ...]) -> None:
        names = ("action", "code", "only")
        body = json.dumps([dict(zip(names, rule, strict=False)) for rule in rules])
        answer = urllib3.request("PUT", private_endpoint + PATH, body=body)
        assert answer.status == 204, answer.data

    yield replace_rules
    replace_rules()


@pytest.fixture
def latest(resources: Settings) -> Callable[[], str]:
    """The last decision that was written, in words."""
    state: StateStore = StateBucket(resources, layout.CONTROLLER)

    def words() -> str:
        found = state.find("state.json")
        return explain(Decision.from_json(found.data)) if found else ""

    return words


def stopped_machines(
    controller: Start, web_tier: WebTier, watched: Watched, eventually: Wait, count: int
) -> None:
    """A burst that leaves ``count`` stopped machines."""
    controller()
    web_tier.burst(3 * count)
    eventually(lambda: watched.live == count, within=30)
    web_tier.outstanding = 0
    eventually(lambda: [m.state for m in watched.machines()] == ["stopped"] * count, within=40)


def test_start_refused_for_capacity_launches_instead(
    resources: Settings, controller: Start, web_tier: WebTier, watched: Watched, eventually: Wait,
    refuse: Refuse, latest: Callable[[], str],
) -> None:  # fmt: skip
    stopped_machines(controller, web_tier, watched, eventually, 3)
    old = {m.id for m in watched.machines()}
    refuse(("StartInstances", "InsufficientInstanceCapacity"))
    web_tier.burst(9)
    eventually(lambda: watched.live == 3, within=30)
    assert not old & {m.id for m in watched.machines() if m.live}
    assert watched.most_live <= 15


def test_start_refused_for_one_machine_starts_the_others(
    resources: Settings, controller: Start, web_tier: WebTier, watched: Watched, eventually: Wait,
    refuse: Refuse,
) -> None:  # fmt: skip
    stopped_machines(controller, web_tier, watched, eventually, 3)
    first, *others = sorted(watched.machines(), key=lambda m: m.number or 0)
    refuse(("StartInstances", "InsufficientInstanceCapacity", first.id))
    web_tier.burst(9)
    eventually(lambda: watched.live == 3, within=30)
    live = {m.id for m in watched.machines() if m.live}
    assert {m.id for m in others} < live
    assert first.id not in live


@pytest.mark.parametrize(
    "code", ["InsufficientInstanceCapacity", "VcpuLimitExceeded", "Unsupported"]
)
def test_launch_refused_for_one_type_asks_for_the_next(
    code: str, resources: Settings, controller: Start, web_tier: WebTier, watched: Watched,
    eventually: Wait, refuse: Refuse, ec2: Any,
) -> None:  # fmt: skip
    refuse(("RunInstances", code, "c7i.large"))
    controller(FACEREC_INSTANCE_TYPES='["c7i.large", "m7i.large"]')
    web_tier.burst(9)
    eventually(lambda: watched.live == 3, within=30)
    assert types(ec2, watched) == {"m7i.large"}


def test_spot_refused_falls_back_to_on_demand(
    resources: Settings, controller: Start, web_tier: WebTier, watched: Watched, eventually: Wait,
    refuse: Refuse, ec2: Any,
) -> None:  # fmt: skip
    refuse(("RunInstances", "MaxSpotInstanceCountExceeded", "spot"))
    controller(FACEREC_SPOT="true", FACEREC_FLEET_MODE="terminate")
    web_tier.burst(9)
    eventually(lambda: watched.live == 3, within=30)
    assert not any("InstanceLifecycle" in i for i in instances(ec2))


def test_missing_launch_template_is_explained_and_launches_nothing(
    resources: Settings, controller: Start, web_tier: WebTier, watched: Watched, eventually: Wait,
    ec2: Any, latest: Callable[[], str],
) -> None:  # fmt: skip
    controller(FACEREC_LAUNCH_TEMPLATE="no-such-template")
    web_tier.burst(9)
    eventually(lambda: "no-such-template" in latest(), within=30)
    assert watched.live == 0


def test_refusals_of_everything_are_explained_and_end(
    resources: Settings, controller: Start, web_tier: WebTier, watched: Watched, eventually: Wait,
    refuse: Refuse, latest: Callable[[], str],
) -> None:  # fmt: skip
    refuse(("RunInstances", "VcpuLimitExceeded"))
    controller()
    web_tier.burst(9)
    eventually(lambda: "launch failed (InsufficientCapacity" in latest(), within=30)
    assert "VcpuLimitExceeded" in latest()
    refuse()
    eventually(lambda: watched.live == 3, within=40)


def test_throttling_of_listings_is_named_and_backed_off(
    resources: Settings, controller: Start, web_tier: WebTier, watched: Watched, eventually: Wait,
    refuse: Refuse, latest: Callable[[], str],
) -> None:  # fmt: skip
    process = controller()
    web_tier.burst(9)
    eventually(lambda: watched.live == 3, within=30)
    refuse(("DescribeInstances", "RequestLimitExceeded"))
    eventually(lambda: "DescribeInstances failed" in latest(), within=40)
    words = latest()
    assert "The fleet could not be read" in words
    assert "9 photos to do" in words
    assert "3 running" in words or "3 pending" in words or "running" in words
    assert process.exit_code is None
    refuse()
    eventually(lambda: "DescribeInstances" not in latest(), within=40)


def instances(ec2: Any) -> list[dict[str, Any]]:
    found = ec2.describe_instances()["Reservations"]
    return [i for r in found for i in r["Instances"]]


def types(ec2: Any, watched: Watched) -> set[str]:
    live = {m.id for m in watched.machines() if m.live}
    return {i["InstanceType"] for i in instances(ec2) if i["InstanceId"] in live}


@pytest.fixture
def ec2(resources: Settings) -> Any:
    from facerec_tasks.aws import client

    return client(resources, "ec2")
