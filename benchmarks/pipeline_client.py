"""The client of one contender: warms up, waits for a line on standard input, measures, tells.

``python -m benchmarks.pipeline_client single|burst COUNT``; the contender is ``CONTENDER``'s.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

LOOP = "boto3 loop"
WARM_UP = 5
AT_ONCE = 50
TIMEOUT = 120.0

Call = Callable[[int], object]


def _celery_call() -> Call:
    from benchmarks.contender import POLL, name, nothing

    def call(number: int) -> object:
        result = nothing.delay(number)
        answer = result.get(timeout=TIMEOUT, interval=POLL[name])
        result.forget()
        return answer

    return call


def _timed(call: Call, number: int) -> float:
    began = time.perf_counter()
    if call(number) != number:
        raise RuntimeError("another task's answer")
    return time.perf_counter() - began


def one_after_another(call: Call, tasks: int) -> list[float]:
    """Seconds each task took."""
    return [_timed(call, number) for number in range(tasks)]


def bursts(call: Call, rounds: int) -> list[float]:
    """Seconds each task took, 50 begun at once by 50 threads, again when all have their answer."""
    latencies: list[float] = []
    barrier = threading.Barrier(AT_ONCE)

    def run(number: int) -> float:
        barrier.wait()
        return _timed(call, number)

    for _ in range(rounds):
        with ThreadPoolExecutor(AT_ONCE) as threads:
            latencies += threads.map(run, range(AT_ONCE))
    return latencies


def main() -> None:
    mode, count = sys.argv[1], int(sys.argv[2])
    loop = None
    if os.environ["CONTENDER"] == LOOP:
        from benchmarks.boto3_loop import Client

        loop = Client(os.environ["BENCH_PREFIX"])
    call = loop.call if loop else _celery_call()
    one_after_another(call, WARM_UP)
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, began = time.process_time(), time.perf_counter()
    latencies = (one_after_another if mode == "single" else bursts)(call, count)
    measured = {
        "latencies": latencies,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
    }
    if loop:
        loop.close()
    print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
