"""``python -m benchmarks.result_stores``: what a task costs in calls, with each result store.

A worker of two processes and one client on an emulated AWS, every call counted by a proxy; with
``--json`` the last line of standard output is one JSON object. ``STORE`` is the worker's.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
from celery import Celery, chord, group
from celery_sqs.testing import emulated_aws, isolated

import celery_sqs
from benchmarks import prices
from benchmarks.counting_proxy import CountingProxy, counting_proxy
from benchmarks.redis_server import redis_program, redis_server
from local.processes.child import Child

TASKS = 200
SINGLES = 20
PARTS = 100
SETTLE = 4.0
"""Seconds until the last deletions are done."""
TIMEOUT = 120.0
Measured = dict[str, Any]


def make_app(prefix: str, store: str) -> Celery:
    app = Celery(prefix, broker="sqs://", set_as_current=False)
    results: dict[str, Any] = {"state_dir": os.environ["BENCH_STATE"]}
    if store:
        results["result_store"] = store
    app.conf.update(
        broker_transport="celery_sqs:Transport",
        broker_transport_options={"namespace": prefix},
        task_default_queue=f"{prefix}-tasks",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        result_backend=f"sqs://{prefix}-results",
        result_backend_transport_options=results,
        s3_bucket=prefix,
        s3_region="us-east-1",
    )

    @app.task(name="bench.nothing", shared=False)
    def nothing(number: int) -> int:
        return number

    @app.task(name="bench.total", shared=False)
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    return app


def stores(prefix: str, folder: Path, redis_url: str | None) -> dict[str, str]:
    """Names for people, and what ``result_store`` is given."""
    found = {"none": "", "DynamoDB": f"dynamodb://@us-east-1/{prefix}", "S3": "s3"}
    if redis_url:
        found["Redis"] = f"{redis_url}/2"
    return found | {"file": f"file://{folder}"}


def per(calls: Mapping[str, int], number: int) -> Measured:
    """Calls of one task by name, and dollars of a million, at a unit of DynamoDB for each call."""
    each = {name: count / number for name, count in sorted(calls.items())}
    return {
        "calls": {name: round(count, 3) for name, count in each.items()},
        "dollars_per_million": round(prices.dollars(each) * 1e6, 2),
    }


def measure(app: Celery, calls: Counter[str], *, chords: bool) -> Measured:
    """Tasks one by one, in bulk, and a chord."""
    nothing, total = app.tasks["bench.nothing"], app.tasks["bench.total"]
    nothing.delay(0).get(timeout=TIMEOUT)
    if chords:  # the worker's processes connect to the store
        chord([nothing.s(n) for n in range(8)], total.s()).delay().get(timeout=TIMEOUT)
    time.sleep(SETTLE)

    def counted(number: int) -> Measured:
        time.sleep(SETTLE)
        found = per(calls, number)
        calls.clear()
        return found

    calls.clear()
    for number in range(SINGLES):
        nothing.delay(number).get(timeout=TIMEOUT)
    measured = {"single": counted(SINGLES)}
    with celery_sqs.bulk(app):
        results = group(nothing.s(n) for n in range(TASKS)).apply_async()
    results.get(timeout=TIMEOUT)
    measured["bulk"] = counted(TASKS)
    if chords:
        with celery_sqs.bulk(app):
            body = chord([nothing.s(n) for n in range(PARTS)], total.s()).delay()
        body.get(timeout=TIMEOUT)
        measured["chord_part"] = counted(PARTS)
    return measured


def run(name: str, store: str, prefix: str, proxy: CountingProxy, folder: Path) -> Measured:
    environment = {**os.environ, "STORE": store, "BENCH_PREFIX": prefix}
    command = (sys.executable, "-m", "celery", "-A", "benchmarks.result_stores", "worker",
               "-c2", "--loglevel", "WARNING", "--without-gossip")  # fmt: skip
    child = Child(command, environment=environment, log=folder / f"worker-{name}.log")
    try:
        app = make_app(prefix, store)
        app.backend.start()
        return measure(app, proxy.counted, chords=bool(store))
    finally:
        child.end(grace=1.0)


def table(found: Mapping[str, Any]) -> str:
    lines = []
    for name, modes in found["stores"].items():
        for mode, figures in modes.items():
            calls = ", ".join(f"{call} {count}" for call, count in figures["calls"].items())
            lines.append(f"{name}, {mode}: {figures['dollars_per_million']} $ a million: {calls}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.result_stores", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    found: Measured = {"tasks": TASKS, "singles": SINGLES, "parts": PARTS, "stores": {}}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        program = redis_program()
        redis_url = stack.enter_context(redis_server(program, folder)) if program else None
        proxy = stack.enter_context(counting_proxy(stack.enter_context(emulated_aws())))
        os.environ.update(isolated(dict(os.environ), proxy.url), BENCH_STATE=str(folder))
        for name in stores("", folder, redis_url):
            prefix = f"bench-{uuid.uuid4().hex[:8]}"
            boto3.client("s3").create_bucket(Bucket=prefix)
            store = stores(prefix, folder, redis_url)[name]
            found["stores"][name] = run(name, store, prefix, proxy, folder)
            print(table({"stores": {name: found["stores"][name]}}), file=sys.stderr, flush=True)
    print(json.dumps(found) if options.json else table(found), flush=True)


if "BENCH_PREFIX" in os.environ:
    app = make_app(os.environ["BENCH_PREFIX"], os.environ["STORE"])
if __name__ == "__main__":
    main()
