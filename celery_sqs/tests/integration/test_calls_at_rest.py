"""What a worker costs while nothing happens: AWS charges for every call."""

import sys
import time
from collections import Counter
from typing import Any

import pytest

LOOK = 64.0
"""Seconds: three long polls, and two heartbeats where somebody listens."""
ALONE = 9_000
WITH_FLOWER = 30_000
"""Calls a day: of an idle worker, and more with Flower watching."""


def per_day(proxy: Any) -> Counter[str]:
    before = Counter(proxy.calls)
    time.sleep(LOOK)  # the only way to see how little happens
    return Counter({k: round(n * 86400 / LOOK) for k, n in (proxy.calls - before).items()})


@pytest.mark.soak
def test_an_idle_worker_is_quiet_and_flower_is_modest(
    sample: Any, proxy: Any, free_port: int
) -> None:
    environment = {
        "AWS_ENDPOINT_URL": proxy.url,
        "SAMPLE_OPTIONS": '{"wait_time_seconds": 20, "visibility_timeout": 30}',
    }
    sample.start(**environment)
    time.sleep(2)
    alone = per_day(proxy)
    # A poll that ends within the look counts in full, so a whole one more may be seen.
    polls = alone["ReceiveMessage"] - 2 * 86400 / LOOK
    assert polls <= 2 * 86400 / 20, alone
    assert sum(alone.values()) - alone["ReceiveMessage"] <= ALONE - 2 * 86400 / 20, alone

    sample.spawn(
        [sys.executable, "-m", "celery_sqs", "-A", "sample_app", "flower",
         f"--port={free_port}"],
        log="flower", environment=environment,
    )  # fmt: skip
    sample.eventually(lambda: proxy.calls["Subscribe"] >= 2, within=30)
    time.sleep(15)  # until Flower has asked the worker all it wants to know
    watched = per_day(proxy)
    assert sum(watched.values()) <= sum(alone.values()) + WITH_FLOWER, watched
