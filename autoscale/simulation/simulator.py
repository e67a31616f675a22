"""A queue, machines and a controller in simulated time: what would happen, and what would it cost.

Billed are the seconds from ``running`` to the request to stop, at least 60 a running period
(``pending``, ``stopping`` and ``stopped`` are not: https://aws.amazon.com/ec2/pricing/on-demand/).
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from autoscale.keep_alive import LEAST_BILLED
from autoscale.model import InstanceState
from autoscale.simulation.environment import Environment, SimulatedTask, boot_seconds, tasks_of

AFTERWARDS = 1500.0
"""Simulated seconds after the last arrival at which everything is cut off."""


@dataclass(eq=False)
class SimulatedMachine:
    """One simulated machine."""

    id: str
    asked: float
    runs_at: float
    ready_at: float
    """Infinite for a boot that fails."""
    state: InstanceState = "pending"
    busy: int = 0
    draining: bool = False
    idle_since: float = 0.0
    launched: float = 0.0
    """When it was made; ``asked`` is when it was last started."""
    tasks: dict[int, SimulatedTask] = field(default_factory=dict)


class SimulatedPolicy(Protocol):
    """A policy as the simulator calls it."""

    period: float
    """Seconds between two ticks."""
    foresees: bool
    """True for the clairvoyant: its boots take exactly the mean and never fail."""

    def begin(self, simulation: "Simulation", arrivals: Sequence[float]) -> None:
        """Called once; only the clairvoyant may look at the arrivals."""

    def tick(self, simulation: "Simulation") -> None:
        """Launches and stops."""


@dataclass(frozen=True)
class RunResult:
    """What one run came to."""

    tasks: int
    late: int
    """Tasks above the SLO or never done."""
    p50: float
    p99: float
    billed: float
    """Instance-seconds."""
    idle: float
    """Of these, with no task."""
    booting: float
    """Of these, before the first poll."""
    minimum_waste: float
    """Of these, billed only because a period is billed 60 s at least."""
    launches: int
    peak: int
    """Most machines pending or running at one time."""
    redelivered: int
    """Tasks lost with a killed machine and done again."""
    last_answer: float
    all_stopped: float
    """When the last machine was stopped."""
    late_arrivals: tuple[float, ...] = field(repr=False)
    """When the late tasks that were done had arrived."""
    timeline: tuple[tuple[float, int, int, int], ...] = field(repr=False)
    """(time, waiting, machines asked for, machines serving) at every tick."""


class Simulation:
    """One run; a :class:`SimulatedPolicy` reads it through the public methods."""

    def __init__(
        self,
        arrivals: Sequence[float],
        policy: SimulatedPolicy,
        environment: Environment,
        seed: int,
    ) -> None:
        self.environment, self.now = environment, 0.0
        self.rng = random.Random(seed)  # noqa: S311  no secret
        self.queue: deque[SimulatedTask] = deque()
        self.servers: list[SimulatedMachine] = []
        """Pending and running ones, oldest first."""
        self.pool: list[SimulatedMachine] = []
        """Stopping and stopped ones."""
        self.accepted = self.answered = self.launches = self.videos = 0
        """``videos``: those that were accepted and are not done."""
        self._policy = policy
        self._events: list[tuple[float, int, str, Any]] = []
        self._serial = 0
        self._history: deque[tuple[float, int, int]] = deque()
        self._latencies: list[float] = []
        self._late: list[float] = []
        self._billed = self._booting = self._minimum_waste = 0.0
        self._peak = self._redelivered = 0
        self._last_answer = self._all_stopped = 0.0
        self._timeline: list[tuple[float, int, int, int]] = []
        self._total = len(arrivals)
        self._end = (arrivals[-1] if arrivals else 0.0) + AFTERWARDS
        for task in tasks_of(arrivals, environment, self.rng):
            self._at(task.arrived, "arrival", task)
        policy.begin(self, arrivals)
        self._at(0.0, "tick", None)

    # What a policy may see

    @property
    def outstanding(self) -> int:
        """The web tier's requests in flight: accepted minus answered."""
        return self.accepted - self.answered

    def counts(self) -> tuple[int, int]:
        """(visible, in flight) as SQS would say.

        Calibrated on published readings (a true 100 read as 78, 29 and 0): 65 % fresh, 25 % up to
        30 s old, 10 % partial, now and then a phantom.
        """
        visible, in_flight = len(self.queue), sum(s.busy for s in self.servers)
        if not self.environment.stale_counts:
            return visible, in_flight
        chance = self.rng.random()
        if chance < 0.25 and self._history:
            then = self.now - self.rng.uniform(2, 30)
            _, visible, in_flight = min(self._history, key=lambda h: abs(h[0] - then))
        elif chance < 0.35:
            visible = int(visible * self.rng.random())
        elif chance > 0.998:
            in_flight += self.rng.choice((1, 2))
        return visible, in_flight

    def outdated(self, server: SimulatedMachine) -> bool:
        """Whether it was made of another image than the one in use."""
        return server.launched < self.environment.new_image_at <= self.now

    # What a policy may do

    def start(self, count: int) -> None:
        """Asks for machines: stopped ones first, then new ones, never above the cap."""
        for _ in range(max(0, min(count, self.environment.cap - len(self.servers)))):
            usable = (s for s in self.pool if s.state == "stopped" and not self.outdated(s))
            again = next(usable, None)
            if again is not None:
                self.pool.remove(again)
            self._boot(again)

    def start_warm(self, count: int) -> None:
        """Adds machines that serve at once: they were started before the simulation."""
        for n in range(min(count, self.environment.cap)):
            machine = SimulatedMachine(f"warm-{n:05d}", self.now, self.now, self.now, "running")
            self.servers.append(machine)
        self._peak = max(self._peak, len(self.servers))

    def stop(self, server: SimulatedMachine, *, kill: bool = False) -> None:
        """Stops one machine: after its tasks, or in the middle of them."""
        if kill or not server.busy:
            self._gone(server)
        else:
            server.draining = True

    # Mechanics

    def run(self) -> RunResult:
        while self._events:
            at, _, kind, subject = heapq.heappop(self._events)
            quiet = self.answered == self._total and not self.servers
            if at > self._end or (quiet and kind == "tick"):
                break
            self.now = at
            getattr(self, f"_on_{kind}")(subject)
            self._hand_out()
        for server in list(self.servers):
            self._gone(server)
        return self._outcome()

    def _at(self, when: float, kind: str, subject: Any) -> None:
        self._serial += 1
        heapq.heappush(self._events, (when, self._serial, kind, subject))

    def _on_arrival(self, task: SimulatedTask) -> None:
        self.accepted += 1
        self.videos += task.video
        self.queue.append(task)

    def _on_return(self, task: SimulatedTask) -> None:
        self.queue.append(task)

    def _on_run(self, server: SimulatedMachine) -> None:
        if server.state == "pending":
            server.state = "running"

    def _on_ready(self, server: SimulatedMachine) -> None:
        """A machine polls for the first time: what waits is handed out after every event."""

    def _on_stopped(self, server: SimulatedMachine) -> None:
        server.state = "stopped" if self.environment.keeps_stopped else "terminated"
        if server.state == "terminated":
            self.pool.remove(server)

    def _on_done(self, subject: tuple[SimulatedMachine, int]) -> None:
        server, number = subject
        task = server.tasks.pop(number, None)
        if task is None:
            return  # the machine was killed meanwhile
        server.busy -= 1
        self._finish(task)
        if not server.busy:
            server.idle_since = self.now
            if server.draining:
                self._gone(server)

    def _finish(self, task: SimulatedTask) -> None:
        if task.video and task.seconds > self.environment.video_slice:
            left = task.seconds - self.environment.video_slice
            self.queue.append(replace(task, seconds=left))
            return
        self.answered += 1
        self.videos -= task.video
        self._last_answer = self.now
        if not task.video:
            self._latencies.append(self.now - task.arrived)
            if self.now - task.arrived > self.environment.slo:
                self._late.append(task.arrived)

    def _on_tick(self, _: None) -> None:
        serving = sum(s.ready_at <= self.now for s in self.servers)
        waiting = len(self.queue) + sum(s.busy for s in self.servers)
        self._history.append((self.now, len(self.queue), waiting - len(self.queue)))
        while self._history[0][0] < self.now - 40:
            self._history.popleft()
        self._policy.tick(self)
        self._timeline.append((self.now, waiting, len(self.servers), serving))
        self._at(self.now + self._policy.period, "tick", None)

    def _boot(self, again: SimulatedMachine | None) -> None:
        environment, rng = self.environment, self.rng
        if self._policy.foresees:
            pending, boot, fails = environment.boot_mean * 0.2, environment.boot_mean, False
        else:
            boot = boot_seconds(environment, rng, self.now)
            pending = min(rng.uniform(*environment.pending), boot)
            fails = rng.random() < environment.failing_boots
        ready = math.inf if fails else self.now + boot
        server = SimulatedMachine(
            again.id if again else f"i-{self.launches:05d}",
            self.now,
            self.now + pending,
            ready,
            idle_since=ready,
            launched=again.launched if again else self.now,
        )
        self.servers.append(server)
        self.launches += 1
        self._peak = max(self._peak, len(self.servers))
        self._at(server.runs_at, "run", server)
        if not fails:
            self._at(ready, "ready", server)

    def _gone(self, server: SimulatedMachine) -> None:
        self.servers.remove(server)
        self._bill(server)
        for task in server.tasks.values():  # invisible until the visibility timeout
            self._redelivered += 1
            self._at(self.now + self.environment.visibility, "return", task)
        server.tasks, server.busy = {}, 0
        server.state = "stopping"
        self._all_stopped = self.now
        self.pool.append(server)
        self._at(self.now + self.rng.uniform(*self.environment.stopping), "stopped", server)

    def _bill(self, server: SimulatedMachine) -> None:
        if server.runs_at >= self.now:
            return
        ran = self.now - server.runs_at
        self._billed += max(LEAST_BILLED, ran)
        self._minimum_waste += max(0.0, LEAST_BILLED - ran)
        self._booting += max(0.0, min(server.ready_at, self.now) - server.runs_at)

    def _hand_out(self) -> None:
        if not self.queue:
            return
        for server in self.servers:
            while (
                self.queue
                and server.busy < self.environment.processes
                and server.ready_at <= self.now
                and not server.draining
            ):
                task = self.queue.popleft()
                self._serial += 1
                server.tasks[self._serial] = task
                server.busy += 1
                seconds = min(
                    task.seconds, self.environment.video_slice if task.video else math.inf
                )
                self._at(self.now + seconds, "done", (server, self._serial))

    def _outcome(self) -> RunResult:
        ordered = sorted(self._latencies) or [0.0]
        late = len(self._late) + self._total - self.answered
        work = self.answered * self.environment.service / self.environment.processes
        return RunResult(
            tasks=self._total,
            late=late,
            p50=_quantile(ordered, 0.5),
            p99=_quantile(ordered, 0.99),
            billed=self._billed,
            idle=max(0.0, self._billed - work - self._booting - self._minimum_waste),
            booting=self._booting,
            minimum_waste=self._minimum_waste,
            launches=self.launches,
            peak=self._peak,
            redelivered=self._redelivered,
            last_answer=self._last_answer,
            all_stopped=self._all_stopped,
            late_arrivals=tuple(self._late),
            timeline=tuple(self._timeline),
        )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
