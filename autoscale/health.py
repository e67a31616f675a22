"""Which machines' workers answer: asked by ``inspect``, in a thread of its own.

A silent worker is never "idle", and only taken for dead when the asking itself is known to work.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from autoscale.fleet import NAME
from autoscale.model import Machine
from autoscale.poll_sample import SAMPLE, PollSample

logger = logging.getLogger(__name__)

TIMEOUT = 1.5
"""Seconds for which answers are awaited; less when all have answered."""
BOOTING = 2.0
"""Seconds between two rounds while a machine has not answered yet."""
STEADY = 15.0
"""The same while all have."""
ANSWERS = 25.0
"""Answers a second that are asked for at most."""
FRESH = 12.0
"""Seconds for which the word of a worker that it is busy or idle is good."""
SILENT = 60.0
"""Seconds without an answer, others answering, after which a worker is taken for dead."""
SURE = 3
"""Questions without an answer that it takes besides."""
DEATHS, DEATHS_WITHIN = 3, 600.0
"""Seconds within which a worker's restarts are counted before its machine is faulty."""
UNANSWERED_STEPS = 5
"""Steps in which tasks were answered and no worker was heard: the asking does not work."""
DISTRUST_SECONDS = 120.0
"""Seconds for which silence means nothing after that."""

AskWorkers = Callable[[str, int, Sequence[str]], Mapping[str, Any]]
"""(method of inspect, answers expected, nodes; none for all) -> answer by node name. May raise
anything of AWS's."""


@dataclass(frozen=True)
class WorkerStatus:
    """One worker's answer."""

    pid: int | None = None
    processes: int | None = None
    active: int | None = None
    node: str = ""
    """Celery's name of the worker."""


@dataclass(frozen=True)
class PollResult:
    """The answers to one question to all, by machine: what follows the ``@`` of a node name."""

    at: float
    words: Mapping[str, WorkerStatus]
    asked: frozenset[str] | None = None
    """Machines that were asked; None for all."""


@dataclass
class _WorkerHistory:
    """What is known of one machine's worker since its last start."""

    since: float
    first: float | None = None
    last: float | None = None
    pid: int | None = None
    active: int | None = None
    node: str = ""
    asked: int = 0
    unanswered: int = 0
    """Questions since the last answer."""
    restarts: list[float] = field(default_factory=list)


class HealthMonitor:
    """Adds to machines whether their worker is ready, busy or dying again and again."""

    def __init__(self, began: float) -> None:
        """``began``: now; how long machines took that are older cannot be said."""
        self._began = began
        self._vitals: dict[str, _WorkerHistory] = {}
        self._unanswered = 0
        self._distrust_until = float("-inf")
        self._failed_boots: frozenset[tuple[str, float]] = frozenset()
        self.processes: int | None = None
        """Worker processes of one machine, as the workers say."""

    def judge(
        self, machines: Sequence[Machine], rounds: Sequence[PollResult], now: float
    ) -> tuple[Machine, ...]:
        """The machines with what the rounds since the last call say of their workers."""
        live = [m for m in machines if m.live]
        self._vitals = {m.id: self._of(m) for m in live}
        for each in rounds:
            for machine in live:
                asked = each.asked is None or machine.id in each.asked
                if machine.state == "running" and asked:
                    self._record(self._vitals[machine.id], _status_of(machine, each.words), each.at)
        self._expire_restarts(now)
        return tuple(self._judged(m, now) if m.live else m for m in machines)

    def failed_boots(self, machines: Sequence[Machine]) -> list[Machine]:
        """Machines that EC2 could not start since we began, each once for a start."""
        found = {(m.id, m.since): m for m in machines if m.boot_error and m.since >= self._began}
        new = [machine for boot, machine in found.items() if boot not in self._failed_boots]
        self._failed_boots = frozenset(found)
        return new

    def booted(self, machine_id: str) -> float | None:
        """Seconds from the machine's start to the first answer of its worker, if we saw both."""
        vitals = self._vitals.get(machine_id)
        if vitals is None or vitals.first is None or vitals.since < self._began:
            return None
        return vitals.first - vitals.since

    def node(self, machine_id: str) -> str | None:
        """Celery's name of the machine's worker, if it has ever answered."""
        vitals = self._vitals.get(machine_id)
        return vitals.node or None if vitals else None

    def nodes(self) -> dict[str, str]:
        """Celery's names of the workers that have answered, by machine."""
        return {i: v.node for i, v in self._vitals.items() if v.node}

    def progressed(self, now: float) -> None:
        """Tasks were answered. If no worker is ever heard, the fault lies with the asking."""
        asked = [v for v in self._vitals.values() if v.asked]
        if not asked or any(v.last is not None for v in asked):
            self._unanswered = 0
            return
        self._unanswered += 1
        if self._unanswered >= UNANSWERED_STEPS:
            self._distrust_until = now + DISTRUST_SECONDS

    def _of(self, machine: Machine) -> _WorkerHistory:
        vitals = self._vitals.get(machine.id)
        if vitals is None or vitals.since != machine.since:
            return _WorkerHistory(machine.since)
        return vitals

    def _record(self, vitals: _WorkerHistory, word: WorkerStatus | None, at: float) -> None:
        if at < vitals.since:
            return
        vitals.asked += 1
        vitals.unanswered += 1
        if word is None:
            return
        vitals.unanswered = 0
        if word.pid is not None:
            if vitals.pid is not None and vitals.pid != word.pid:
                vitals.restarts.append(at)
            vitals.pid = word.pid
        vitals.first = vitals.first if vitals.first is not None else at
        vitals.last = at
        vitals.active, vitals.node = word.active, word.node
        self.processes = word.processes or self.processes

    def _expire_restarts(self, now: float) -> None:
        for vitals in self._vitals.values():
            vitals.restarts = [at for at in vitals.restarts if at > now - DEATHS_WITHIN]

    def _judged(self, machine: Machine, now: float) -> Machine:
        vitals = self._vitals[machine.id]
        fresh = vitals.last is not None and now - vitals.last < FRESH
        busy = vitals.active > 0 if fresh and vitals.active is not None else None
        restarts = len(vitals.restarts)
        fault = machine.fault
        if restarts >= DEATHS:
            fault = f"its worker has restarted {restarts} times in {DEATHS_WITHIN:.0f} s"
        faulty = machine.faulty or restarts >= DEATHS
        ready = self._ready(vitals, now)
        return replace(
            machine, ready=ready, up_since=vitals.first, busy=busy, faulty=faulty, fault=fault
        )

    def _ready(self, vitals: _WorkerHistory, now: float) -> bool | None:
        if vitals.last is not None and (now - vitals.last < SILENT or vitals.unanswered < SURE):
            return True
        if now < self._distrust_until or not vitals.asked:
            return None
        if vitals.last is None:
            return False
        return False if self._others_answer(vitals, now) else None

    def _others_answer(self, vitals: _WorkerHistory, now: float) -> bool:
        """Whether another worker has answered lately; a lone silent one is judged by itself."""
        others = [v for v in self._vitals.values() if v is not vitals and v.first is not None]
        return not others or any(v.last is not None and now - v.last < STEADY * 2 for v in others)


def _status_of(machine: Machine, words: Mapping[str, WorkerStatus]) -> WorkerStatus | None:
    return words.get(machine.id) or words.get(f"{NAME}{machine.number}")


class WorkerPoller(threading.Thread):
    """Asks all workers again and again while machines run, without holding up the controller."""

    def __init__(self, ask: AskWorkers) -> None:
        super().__init__(name="probe", daemon=True)
        self._ask = ask
        self._lock = threading.Lock()
        self._rounds: list[PollResult] = []
        self._expected = 0
        self._nodes: dict[str, str] = {}
        self._sample = PollSample()
        self._pause = STEADY
        self._active = False
        self._wake = threading.Event()
        self._ended = False
        self._failing = False

    def want(self, expected: int, *, booting: bool, active: bool, nodes: Mapping[str, str]) -> None:
        """How many answers to expect, whether to ask often, and whether for tasks in work.

        ``nodes``: Celery's names by machine: of a large fleet a sample is asked, unless some boot,
        whose names are not known.
        """
        with self._lock:
            self._expected, self._active = expected, active
            self._nodes = dict(nodes) if not booting else {}
            base = BOOTING if booting or active else STEADY
            self._pause = max(base, (min(expected, SAMPLE) if self._nodes else expected) / ANSWERS)
        if booting or active:
            self._wake.set()

    def take(self) -> list[PollResult]:
        """The rounds since the last call, oldest first."""
        with self._lock:
            rounds, self._rounds = self._rounds, []
        return rounds

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    def run(self) -> None:
        while not self._ended:
            with self._lock:
                expected, active = self._expected, self._active
                sample = self._sample.choose(self._nodes)
            if expected:
                self._round(expected, active, sample)
            asked = time.monotonic()
            self._wake.clear()
            self._wait(asked)

    def _wait(self, asked: float) -> None:
        """Until the pause is over; it may become shorter meanwhile."""
        while not self._ended:
            with self._lock:
                left = asked + self._pause - time.monotonic()
            if left <= 0:
                return
            self._wake.wait(left)
            self._wake.clear()
            time.sleep(0.05)  # `want` is called often: no busy loop

    def _round(self, expected: int, active: bool, sample: Mapping[str, str]) -> None:
        nodes = list(sample.values())
        try:
            answers = dict(self._ask("ping", len(nodes) or expected, nodes))
            stats = self._ask("stats", len(answers), nodes) if answers else {}
            tasks = self._ask("active", len(answers), nodes) if answers and active else {}
        except Exception as error:  # noqa: BLE001  whatever the broker raises: nothing was said
            if not self._failing:
                logger.warning("the workers could not be asked: %s", error)
            self._failing = True
            return
        self._failing = False
        words = {_machine(n): _status(n, stats.get(n), tasks.get(n)) for n in answers}
        with self._lock:
            asked = frozenset(sample) if sample else None
            self._sample.answered(answers)
            self._rounds = [*self._rounds[-50:], PollResult(time.time(), words, asked)]


def _machine(node: str) -> str:
    return node.rpartition("@")[2]


def _status(node: str, stats: Any, tasks: Any) -> WorkerStatus:
    """Whatever has not the form that celery 5.7 gives it is not known."""
    stats = stats if isinstance(stats, dict) else {}
    pid = stats.get("pid")
    pool = stats.get("pool")
    processes = pool.get("max-concurrency") if isinstance(pool, dict) else None
    return WorkerStatus(
        pid=pid if isinstance(pid, int) else None,
        processes=processes if isinstance(processes, int) and processes > 0 else None,
        active=len(tasks) if isinstance(tasks, list) else None,
        node=node,
    )


def ask_celery(method: str, expected: int, nodes: Sequence[str]) -> Mapping[str, Any]:
    """Asks these workers, or all, over the broker; waits until ``expected`` have answered or it is
    late."""
    from facerec_tasks.app import app  # imports celery: only the thread that asks pays for it

    inspect = app.control.inspect(list(nodes) or None, timeout=TIMEOUT, limit=expected)
    return getattr(inspect, method)() or {}


def cancel_by_celery(nodes: Sequence[str], queue: str) -> list[str]:
    """Tells these workers to take nothing more from the queue; those that have confirmed it."""
    from facerec_tasks.app import app

    answers = app.control.cancel_consumer(
        queue, destination=list(nodes), reply=True, timeout=TIMEOUT, limit=len(nodes)
    )
    return [node for each in answers or () for node, said in each.items() if "ok" in (said or {})]
