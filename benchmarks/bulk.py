"""``python -m benchmarks.bulk``: 1,000 tasks sent one by one and in ``celery_sqs.bulk``.

On an emulated AWS with a delay before every call; with ``--json`` the last line of standard output
is one JSON object.
"""

import argparse
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from celery import Celery
from celery_sqs.testing import emulated_aws, isolated

import celery_sqs

TASKS = 1000
CALL_SECONDS = 0.010
Measured = dict[str, Any]


def make_app(queue: str) -> Celery:
    app = Celery("bulk-benchmark", broker="sqs://", set_as_current=False)
    app.conf.broker_transport = "celery_sqs:Transport"
    app.conf.task_default_queue = queue
    return app


def measure(
    queue: str, calls: Counter[str], block: Callable[[Celery], AbstractContextManager[None]]
) -> Measured:
    """Seconds, calls and processor time of :data:`TASKS` sends after a first one."""
    app = make_app(queue)
    options = {"MessageGroupId": "one"} if queue.endswith(".fifo") else {}
    app.send_task("first", **options)
    calls.clear()
    began, spent = time.perf_counter(), time.process_time()
    with block(app):
        for number in range(TASKS):
            app.send_task("nothing", (number,), **options)
    return {
        "seconds": round(time.perf_counter() - began, 3),
        "cpu_seconds": round(time.process_time() - spent, 3),
        "calls": dict(calls),
    }


def compare(call_seconds: float) -> Measured:
    """Both ways, to a standard and a FIFO queue; ``speedup``: one by one / bulk."""
    calls: Counter[str] = Counter()

    def delay(model: Any, **_: Any) -> None:
        calls[model.name] += 1
        time.sleep(call_seconds)

    celery_sqs.on_client_created(lambda client: client.meta.events.register("before-call", delay))
    found: Measured = {"tasks": TASKS, "call_ms": 1000 * call_seconds}
    for kind, suffix in (("standard", ""), ("fifo", ".fifo")):
        queue = f"bulk-{uuid.uuid4().hex[:8]}{suffix}"
        one_by_one = measure(queue, calls, lambda app: nullcontext())
        bulk = measure(queue, calls, celery_sqs.bulk)
        speedup = round(one_by_one["seconds"] / bulk["seconds"], 1)
        found[kind] = {"one_by_one": one_by_one, "bulk": bulk, "speedup": speedup}
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--call-ms", type=float, default=1000 * CALL_SECONDS, help="delay of a call"
    )
    options = parser.parse_args(arguments)
    with emulated_aws() as endpoint:
        os.environ.update(isolated({}, endpoint))
        found = compare(options.call_ms / 1000)
    if options.json:
        print(json.dumps(found), flush=True)
        return
    for kind in ("standard", "fifo"):
        for way in ("one_by_one", "bulk"):
            run = found[kind][way]
            print(f"{kind} {way}: {run['seconds']} s, {sum(run['calls'].values())} calls")
        print(f"{kind}: {found[kind]['speedup']} times as fast")


if __name__ == "__main__":
    main()
