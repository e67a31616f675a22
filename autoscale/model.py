"""What the controller sees, what it is allowed, what it decides: values only.

Times are Unix seconds, durations seconds, rates tasks per second, unless a name says otherwise.
"""

from dataclasses import dataclass, field
from typing import Literal

from autoscale.keep_alive import Level
from autoscale.warm_fleet import TrafficSample

InstanceState = Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]
"""EC2's names: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html"""

LIVE: frozenset[InstanceState] = frozenset({"pending", "running"})
"""States that count to the cap. ``stopping`` counts to the pool only: it is not billed."""

Accuracy = Literal["exact", "lower", "upper", "counts"]
"""What the web tier's count is to the truth: equal, at least, at most, or not to be had."""

Reason = Literal[
    "unknown", "unlisted", "rest", "one", "hedge", "rate", "deadline", "profile", "saturated", "cap"
]
"""The term of the scaling formula that decided what is needed."""


@dataclass(frozen=True)
class Machine:
    """One app-tier instance as EC2 lists it, corrected by what we asked of it lately."""

    id: str
    state: InstanceState
    since: float
    """When it was last launched or started."""
    number: int | None = None
    """The n of ``app-tier-instance-<n>``; none until it has been named."""
    running_since: float | None = None
    """When it was first seen running after ``since``."""
    ready: bool | None = None
    """Whether its worker has answered since it was started; none when that cannot be known."""
    up_since: float | None = None
    """When its worker first answered after ``since``, as far as we were there to hear it."""
    busy: bool | None = None
    """Whether its worker holds a task; none when it has not said so: never taken for idle."""
    draining: bool = False
    """It takes no new task and will be stopped when it has finished those it holds."""
    faulty: bool = False
    """Its worker died again and again, or it will be taken from us: to be replaced."""
    fault: str = ""
    """Why it is faulty, in words."""
    refused: bool = False
    """EC2 had no capacity for its last start: for some minutes it counts as absent."""
    boot_error: str = ""
    """Why EC2, which had accepted its launch or start, ended it before it ran."""
    outdated: bool = False
    """It was launched from another image than the one in use: to be replaced when it can be."""
    token: str | None = None
    """Id of the launch that made it."""
    stop_requested_at: float | None = None
    """When somebody told it to stop or to end, in whole seconds, if it was told."""

    @property
    def live(self) -> bool:
        return self.state in LIVE


@dataclass(frozen=True)
class Demand:
    """How many tasks there are, as a range: real readings are late and approximate."""

    grow: int
    """Tasks known to exist: what machines may be started for."""
    hold: int
    """Tasks that may exist: while above zero, the last machine stays. At least ``grow``."""
    accepted: float
    """Tasks that have ever arrived, as far as is known; only its growth means anything."""
    bound: Accuracy
    may_shrink: bool = True
    """False when a reading is missing that could show more work than is known."""
    videos: int = 0
    """How many of ``grow`` are videos: each keeps a process busy, as long as it may take, and more
    machines make none of them faster."""


@dataclass(frozen=True)
class ScalingProfile:
    """How to spend: at the least cost within the objective, or at once for every backlog."""

    name: Literal["slo", "one-per-backlog"]
    hold: float | None
    """Seconds for which machines are kept after they were last needed; None: learned
    (:mod:`autoscale.keep_alive`)."""
    hold_busy: float | None
    """The same while there is still work."""
    per_machine: float | None = None
    """Tasks waiting for which one machine is started, whatever the formula says."""
    paid_minutes: bool = True
    """Use up the minute EC2 bills at least, before a machine is stopped."""


SLO = ScalingProfile("slo", hold=None, hold_busy=None)
ONE_PER_BACKLOG = ScalingProfile(
    "one-per-backlog", hold=3.0, hold_busy=60.0, per_machine=3.0, paid_minutes=False
)
PROFILES: dict[str, ScalingProfile] = {p.name: p for p in (SLO, ONE_PER_BACKLOG)}


@dataclass(frozen=True)
class ScalingLimits:
    """What the policy must keep to, and the measured quantities of the scaling formula."""

    cap: int
    profile: ScalingProfile = SLO
    slo: float = 60.0
    """Latency objective."""
    service: float = 0.5
    """Seconds one process needs for one task."""
    processes: int = 2
    """Worker processes of one machine."""
    boot: float = 36.6
    """Mean seconds from the request for a machine to its first poll of the queue."""
    boot_worst: float = 60.0
    """The longest such time seen; a boot is given up at 1.5 times this."""
    reuse: bool = True
    """Whether stopped machines are started again (``stop`` mode) or there are none."""
    least: int = 0
    """Machines that run at any time."""
    season: int = 0
    """Photos expected in one minute of those ahead, because they came on earlier days."""
    useful: int | None = None
    """Machines beyond which no more work was done; None when that was not seen."""
    launch_limit: int | None = None
    """Most new machines in this step: the breaker after boots that failed."""

    @property
    def rate(self) -> float:
        """Tasks per second of one machine."""
        return self.processes / self.service

    @property
    def boot_may_miss(self) -> bool:
        """Whether the slowest boot alone takes longer than the objective allows."""
        return self.boot_worst + self.service > self.slo

    @property
    def boot_misses(self) -> bool:
        """Whether most boots take longer than the objective allows: only a machine that runs
        already answers in time."""
        return self.boot + self.service > self.slo


@dataclass(frozen=True)
class PolicyState:
    """What the policy remembers from step to step. All of it can be rebuilt from nothing."""

    accepted: tuple[tuple[float, float], ...] = ()
    """(time, total) pairs of the last seconds, for the arrival rate."""
    levels: tuple[Level, ...] = ()
    """When the first machine, the second, … were needed."""
    samples: tuple[TrafficSample, ...] = ()
    """Traffic and cost of the last minutes."""
    billed: float = 0.0
    """Machine-seconds since the controller began."""
    target: int = 0
    falling: bool = False
    """The target has begun to fall, and since then nothing arrived, returned or was lost."""
    waiting: int = 0
    """Tasks of the last step, to see whether one returned."""
    live: frozenset[str] = frozenset()
    """Machines that were to stay, to see whether one was lost."""


@dataclass(frozen=True)
class FleetSnapshot:
    """Everything one decision is made from."""

    demand: Demand | None
    """None when no reading could be had: nothing is changed."""
    machines: tuple[Machine, ...] | None
    """None when they could not be listed: nothing is changed."""
    memory: PolicyState = field(default_factory=PolicyState)
    unconfirmed: int = 0
    """Launches of which it is not known whether EC2 carried them out: they count to the cap."""


@dataclass(frozen=True)
class FormulaTerms:
    """The law with its numbers put in, for the explanation of a decision."""

    rate: float = 0.0
    """lambda, arrivals per second."""
    capacity: float = 0.0
    """mu, tasks per second of one machine."""
    within: float = 0.0
    """x, seconds of the deadline that decided."""
    due: float = 0.0
    """Photos due within that time."""
    done: float = 0.0
    """Photos that the machines there do by then."""
    each: float = 0.0
    """Photos that each new machine does by then."""
    there: int = 0
    """Machines that serve or boot."""
    reason: Reason = "rest"


@dataclass(frozen=True)
class ScalingPlan:
    """What is to be done now. Never both kinds at once: start/launch, or stop/replace."""

    target: int
    need: int
    terms: FormulaTerms
    memory: PolicyState
    start: tuple[str, ...] = ()
    """Stopped machines to start, lowest number first."""
    launch: int = 0
    """New machines to launch."""
    stop: tuple[str, ...] = ()
    """Machines to stop: pending, then idle, then unknown, then busy; oldest first."""
    replace: tuple[str, ...] = ()
    """Machines to terminate because their boot failed or their worker keeps dying."""
    retire: tuple[str, ...] = ()
    """Stopped machines to terminate: outdated, or more than can ever be started again."""
    causes: tuple[tuple[str, str], ...] = ()
    """(machine, why something is done to it, in words) pairs."""
    not_more: str = ""
    """Why no more machines, in words."""
    not_less: str = ""
    """Why no fewer."""

    @property
    def changes(self) -> bool:
        return bool(self.start or self.launch or self.stop or self.replace or self.retire)
