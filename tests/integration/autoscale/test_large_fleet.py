"""Fleets far above the default cap."""

import random
from collections.abc import Callable, Iterator

import pytest

from autoscale.fleet import Ec2Fleet
from autoscale.model import ScalingLimits
from autoscale.simulation.environment import Environment
from autoscale.simulation.policy_adapter import PolicyAdapter
from autoscale.simulation.simulator import Simulation
from autoscale.simulation.traces import poisson
from facerec_tasks.settings import Settings
from local.processes.child import Child
from local.processes.service import ServiceSpec
from local.processes.worker_host import WorkerHost, running_machines

from .conftest import WebTier

MACHINES = 200


@pytest.mark.soak
def test_fleet_of_a_thousand_in_simulated_time() -> None:
    environment = Environment(cap=1000, keeps_stopped=False)
    limits = ScalingLimits(cap=1000, boot=environment.boot_mean, boot_worst=60.0, reuse=False)
    rng = random.Random(0)
    arrivals = poisson(lambda t: 3000 * min(1.0, t / 120), 240, 3000, rng)
    result = Simulation(arrivals, PolicyAdapter(limits), environment, 0).run()
    assert result.tasks > 500_000
    assert 700 < result.peak <= 1000
    assert result.late < 0.001 * result.tasks
    work = result.tasks * environment.service / environment.processes
    assert result.billed < 1.6 * work


class IdleHost(WorkerHost):
    """Machines whose process does nothing, all started at once."""

    def step(self) -> None:
        for machine, name in running_machines(self._settings).items():
            if machine not in self._hosts:
                self._boot(machine, name)
        super().step()

    def _spec(self, machine: str, name: str) -> ServiceSpec:
        return ServiceSpec(machine, ("sleep", "3600"), {}, self._logs / "idle.log")


@pytest.fixture
def hosted(resources: Settings) -> Iterator[IdleHost]:
    host = IdleHost(resources)
    yield host
    host.end(5.0)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_hundred_machines_as_processes_come_and_go(
    resources: Settings,
    controller: Callable[..., Child],
    web_tier: WebTier,
    hosted: IdleHost,
    eventually: Callable[..., None],
) -> None:
    (resources.state_dir / "logs").mkdir(parents=True, exist_ok=True)
    controller(FACEREC_MAX_INSTANCES=str(MACHINES))
    web_tier.burst(3 * MACHINES)
    fleet, most = Ec2Fleet(resources), 0

    def processes(wanted: int) -> Callable[[], bool]:
        def reached() -> bool:
            nonlocal most
            if wanted:  # requests that stand still for a minute are taken for lost
                web_tier.burst(1)
            hosted.step()
            most = max(most, hosted.count)
            return hosted.count == wanted

        return reached

    eventually(processes(MACHINES), within=400)
    eventually(lambda: numbers(fleet) == list(range(1, MACHINES + 1)), within=200, every=1.0)
    web_tier.outstanding = 0
    eventually(processes(0), within=200)
    assert most == MACHINES


def numbers(fleet: Ec2Fleet) -> list[int]:
    return sorted(m.number for m in fleet.describe() if m.live and m.number)
