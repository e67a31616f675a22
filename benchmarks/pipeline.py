"""``python -m benchmarks.pipeline``: this layer, stock Celery, Celery on Redis and a loop by hand.

Starts and stops its emulator itself. With ``--json`` the last line of standard output is one JSON
object whose ``figures`` are the contract's; progress goes to standard error.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from celery_sqs.testing import isolated

from benchmarks import prices
from benchmarks.contender import CONCURRENCY, CONTENDERS, OURS, REDIS, REGION, STOCK, TUNED
from benchmarks.emulator import Emulator, emulator, emulator_with_ec2
from benchmarks.pipeline_client import AT_ONCE, LOOP, WARM_UP
from benchmarks.processor_time import tree_seconds
from benchmarks.redis_server import redis_program, redis_server
from benchmarks.rest import Rest, measure_rest
from celery_sqs import queues
from local.processes.child import Child

SETTLE = 2.5
"""Seconds after a client's end until its worker's last deletions are done."""
CLIENT_TIMEOUT = 600.0
Measured = dict[str, Any]


@dataclass(frozen=True)
class RunSize:
    """How much is measured."""

    turns: int = 3
    """Turns the contenders take one after the other."""
    singles: int = 100
    """Tasks one after another in each turn, for this layer and the loop."""
    stock_singles: int = 30
    """The same for the others, once."""
    bursts: int = 5
    """Of 50 tasks in each turn."""
    rest_seconds: float = 120.0


QUICK = RunSize(singles=20, turns=1, stock_singles=5, bursts=2, rest_seconds=30.0)


@dataclass(frozen=True)
class Run:
    """What one contender did in one mode."""

    latencies: tuple[float, ...]
    """Seconds."""
    seconds: float
    cpu_seconds: float
    """Of the client."""
    calls: Counter[str]
    worker_cpu_seconds: float = 0.0
    """Of all processes of the worker."""

    def plus(self, other: "Run") -> "Run":
        return Run(
            self.latencies + other.latencies,
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            self.calls + other.calls,
            self.worker_cpu_seconds + other.worker_cpu_seconds,
        )

    @property
    def tasks(self) -> int:
        return len(self.latencies)

    def percentile(self, percent: int) -> float:
        """Seconds."""
        return statistics.quantiles(self.latencies, n=100, method="inclusive")[percent - 1]

    def calls_per_task(self) -> dict[str, float]:
        return {kind: count / self.tasks for kind, count in sorted(self.calls.items())}

    def sqs_calls_per_task(self) -> float:
        return sum(n for kind, n in self.calls.items() if kind.startswith("sqs.")) / self.tasks

    def summary(self) -> dict[str, Any]:
        """For people: milliseconds, calls and money."""
        per_task = self.calls_per_task()
        return {
            "p50_ms": round(1000 * self.percentile(50), 2),
            "p95_ms": round(1000 * self.percentile(95), 2),
            "p99_ms": round(1000 * self.percentile(99), 2),
            "tasks_per_s": round(self.tasks / self.seconds, 1),
            "client_cpu_ms_per_task": round(1000 * self.cpu_seconds / self.tasks, 2),
            "worker_cpu_ms_per_task": round(1000 * self.worker_cpu_seconds / self.tasks, 2),
            "calls_per_task": {kind: round(count, 3) for kind, count in per_task.items()},
            "sqs_calls_per_task": round(self.sqs_calls_per_task(), 3),
            "dollars_per_million_tasks": round(prices.dollars(per_task) * 1e6, 2),
            "tasks": self.tasks,
        }


class Bench:
    """Runs contenders on one emulator."""

    def __init__(self, emulator: Emulator, directory: Path) -> None:
        self._emulator = emulator
        self._directory = directory
        self._environment = isolated(dict(os.environ), emulator.url)
        self._workers: dict[str, tuple[int, ...]] = {}
        os.environ.update(self._environment)

    def prepare(self, contender: str) -> str:
        """Makes queues and bucket of a contender; returns the prefix of their names."""
        prefix = f"bench-{uuid.uuid4().hex[:8]}"
        if contender == REDIS:
            return prefix
        sqs = boto3.client("sqs", region_name=REGION)
        if contender in (OURS, LOOP):
            queues.ensure_request_queue(
                sqs,
                f"{prefix}-requests",
                f"{prefix}-dead",
                max_message_bytes=1024,
                visibility_timeout=30,
            )
            queues.ensure_queue(sqs, f"{prefix}-answers")
        else:
            boto3.client("s3", region_name=REGION).create_bucket(Bucket=f"{prefix}-results")
        return prefix

    @contextmanager
    def worker(self, contender: str, prefix: str) -> Iterator[None]:
        """The contender's worker, with as many processes for tasks as every other's."""
        if contender == LOOP:
            commands = [(sys.executable, "-m", "benchmarks.boto3_loop", prefix)] * CONCURRENCY
        else:
            celery = (sys.executable, "-m", "celery", "-A", "benchmarks.contender", "worker")
            commands = [(*celery, "--loglevel", "warning", "--without-gossip")]
        log = self._directory / f"worker-{prefix}.log"
        environment = self._of(contender, prefix)
        children = [Child(command, environment=environment, log=log) for command in commands]
        self._workers[prefix] = tuple(child.pid for child in children)
        try:
            yield
        finally:
            for child in children:
                child.end(grace=1.0)

    def run(self, contender: str, prefix: str, mode: str, count: int) -> Run:
        """One client process against a worker that runs already."""
        say(f"{contender}: {mode} {count}")
        command = (sys.executable, "-m", "benchmarks.pipeline_client", mode, str(count))
        with subprocess.Popen(
            command,
            env=self._of(contender, prefix),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self._directory / f"client-{prefix}.log").open("ab"),
            text=True,
        ) as client:
            assert client.stdout is not None
            if client.stdout.readline() != "ready\n":
                raise SystemExit(f"{contender} does not work:\n{self.logs(prefix)}")
            time.sleep(SETTLE)  # so that deletions of the warm-up do not count
            before, spent = self._emulator.calls(), tree_seconds(self._workers[prefix])
            printed, _ = client.communicate("go\n", timeout=CLIENT_TIMEOUT)
        if client.returncode != 0:
            raise SystemExit(f"{contender} failed:\n{self.logs(prefix)}")
        time.sleep(SETTLE)
        measured: Measured = json.loads(printed)
        return Run(
            tuple(measured["latencies"]),
            measured["seconds"],
            measured["cpu_seconds"],
            self._emulator.calls() - before,
            tree_seconds(self._workers[prefix]) - spent,
        )

    def logs(self, prefix: str) -> str:
        return "\n".join(
            path.read_text()[-2000:] for path in self._directory.glob(f"*-{prefix}.log")
        )

    def _of(self, contender: str, prefix: str) -> dict[str, str]:
        return self._environment | {"CONTENDER": contender, "BENCH_PREFIX": prefix}


def compare(
    bench: Bench, size: RunSize, contenders: Sequence[str] = CONTENDERS
) -> dict[str, dict[str, Run]]:
    """Runs of every contender by mode, in turns: a slow minute of the machine meets them all."""
    prefixes = {name: bench.prepare(name) for name in (LOOP, *contenders)}
    single: dict[str, Run] = {}
    burst: dict[str, Run] = {}
    with ExitStack() as workers:
        for name in (LOOP, OURS):  # both idle in their long polls while the other is measured
            workers.enter_context(bench.worker(name, prefixes[name]))
        for turn in range(size.turns):
            for name in (LOOP, OURS) if turn % 2 == 0 else (OURS, LOOP):
                _add(single, name, bench.run(name, prefixes[name], "single", size.singles))
    for turn in range(size.turns):
        for name in (LOOP, *contenders):
            with bench.worker(name, prefixes[name]):
                if turn == 0 and name in (STOCK, TUNED, REDIS):
                    run = bench.run(name, prefixes[name], "single", size.stock_singles)
                    _add(single, name, run)
                _add(burst, name, bench.run(name, prefixes[name], "burst", size.bursts))
    return {"single": single, "burst": burst}


def _add(runs: dict[str, Run], name: str, run: Run) -> None:
    runs[name] = runs[name].plus(run) if name in runs else run


def figures(runs: Mapping[str, Mapping[str, Run]], rest: Rest) -> dict[str, float]:
    """The contract's figures."""
    single, burst = runs["single"], runs["burst"]
    best = min(burst[name].percentile(95) for name in (STOCK, TUNED))
    found = {
        "latency_vs_boto3_loop": single[OURS].percentile(50) / single[LOOP].percentile(50),
        "burst_p95_vs_stock_best": best / burst[OURS].percentile(95),
        "sqs_calls_per_task_single": single[OURS].sqs_calls_per_task(),
        "sqs_calls_per_task_burst": burst[OURS].sqs_calls_per_task(),
        "rest_calls_per_day": rest.system.per_day,
    }
    return found | (_vs_redis(burst[OURS], burst[REDIS]) if REDIS in burst else {})


def _vs_redis(ours: Run, redis: Run) -> dict[str, float]:
    """Ours / theirs, in a burst. Both ran the same number of tasks."""
    return {
        "worker_cpu_vs_redis": ours.worker_cpu_seconds / redis.worker_cpu_seconds,
        "client_cpu_vs_redis": ours.cpu_seconds / redis.cpu_seconds,
        "burst_p95_vs_redis": ours.percentile(95) / redis.percentile(95),
    }


def report(emulator_name: str, runs: Mapping[str, Mapping[str, Run]], rest: Rest) -> dict[str, Any]:
    """All that was measured, as JSON types."""
    return {
        "benchmark": "pipeline",
        "emulator": emulator_name,
        "worker_processes": CONCURRENCY,
        "at_once": AT_ONCE,
        "warm_up": WARM_UP,
        "prices": prices.DATE,
        "runs": {
            mode: {name: run.summary() for name, run in by_name.items()}
            for mode, by_name in runs.items()
        },
        "rest": rest.summary(),
        "rest_counted_on": rest.counted_on,
        "figures": {name: round(value, 3) for name, value in figures(runs, rest).items()},
    }


def table(found: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [f"Emulator: {found['emulator']}; {found['worker_processes']} worker processes", ""]
    columns = ("p50_ms", "p95_ms", "p99_ms", "tasks_per_s", "client_cpu_ms_per_task",
               "worker_cpu_ms_per_task", "sqs_calls_per_task",
               "dollars_per_million_tasks")  # fmt: skip
    for mode, title in (("single", "one after another"), ("burst", f"{AT_ONCE} at once")):
        lines += [f"| {title} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for name, run in found["runs"][mode].items():
            lines.append(f"| {name} | {' | '.join(str(run[c]) for c in columns)} |")
        lines.append("")
    lines += ["| at rest | calls a day | dollars a month |", "|---|---|---|"]
    for name, part in found["rest"].items():
        lines.append(f"| {name} | {part['calls_per_day']} | {part['dollars_per_month']} |")
    return "\n".join([*lines, "", *(f"{k} = {v}" for k, v in found["figures"].items())])


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _with_redis(stack: ExitStack, directory: Path) -> tuple[str, ...]:
    """All contenders, or all but Redis where it is not installed."""
    program = redis_program()
    if program is None:
        say(f"{REDIS}: skipped, redis-server is not installed")
        return tuple(name for name in CONTENDERS if name != REDIS)
    os.environ["BENCH_REDIS_URL"] = stack.enter_context(redis_server(program, directory))
    return CONTENDERS


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--quick", action="store_true", help="a fraction of it, to see that it runs"
    )
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else RunSize()
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, ExitStack() as stack:
        contenders = _with_redis(stack, Path(directory))
        running = stack.enter_context(emulator(Path(directory)))
        say(f"on {running.name}")
        runs = compare(Bench(running, Path(directory)), size, contenders)
        complete = stack.enter_context(emulator_with_ec2(running))
        rest = measure_rest(complete, Path(directory), size.rest_seconds)
        found = report(running.name, runs, rest)
    print(json.dumps(found) if options.json else table(found), flush=True)


if __name__ == "__main__":
    main()
