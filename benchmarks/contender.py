"""The Celery applications that are compared: this layer, stock Celery on SQS and S3, and on Redis.

``CONTENDER`` names one of :data:`CONTENDERS`, ``BENCH_PREFIX`` begins all names. Import from worker
and client alike; the emulator comes from ``AWS_ENDPOINT_URL``, Redis from ``BENCH_REDIS_URL``.
"""

import os
from typing import Any
from urllib.parse import urlsplit

from celery import Celery

OURS, STOCK, TUNED = "this layer", "stock, defaults", "stock, best tuning"
REDIS = "Celery on Redis"
"""Runs only where ``redis-server`` is installed."""
CONTENDERS = (OURS, STOCK, TUNED, REDIS)
CONCURRENCY = 2
"""Of every worker, the hand-written one included."""
REGION = "us-east-1"


def settings(name: str, prefix: str) -> dict[str, Any]:
    """Celery settings of a contender. All acknowledge late, as a task that may not be lost must."""
    common = {
        "task_default_queue": f"{prefix}-requests",
        "task_acks_late": True,
        "worker_concurrency": CONCURRENCY,
        "broker_connection_retry_on_startup": True,
    }
    if name == REDIS:
        return common | _redis()
    return common | (_ours(prefix) if name == OURS else _stock(prefix, tuned=name == TUNED))


def _ours(prefix: str) -> dict[str, Any]:
    return {
        "broker_url": "sqs://",
        "broker_transport": "celery_sqs:Transport",
        "broker_transport_options": {"region": REGION, "max_message_size": 1024},
        "result_backend": "celery_sqs:ResponseQueueBackend",
        "result_backend_transport_options": {
            "region": REGION,
            "response_queue": f"{prefix}-answers",
        },
        "worker_prefetch_multiplier": 1,
        "broker_pool_limit": 50,  # threads that may send at once: their messages share calls
    }


def _redis() -> dict[str, Any]:
    url = os.environ["BENCH_REDIS_URL"]
    return {"broker_url": f"{url}/0", "result_backend": f"{url}/1", "broker_pool_limit": 50}


def _stock(prefix: str, *, tuned: bool) -> dict[str, Any]:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    options: dict[str, Any] = {"region": REGION, "is_secure": False}
    if tuned:  # what its documentation offers for speed
        options |= {"polling_interval": 0, "wait_time_seconds": 20}
    return {
        "broker_url": f"sqs://bench:bench@{urlsplit(endpoint).netloc}",
        "broker_transport_options": options,
        "result_backend": "s3",
        "s3_bucket": f"{prefix}-results",
        "s3_region": REGION,
        "s3_endpoint_url": endpoint,
        "s3_access_key_id": "bench",
        "s3_secret_access_key": "bench",
        "result_backend_thread_safe": True,
    }


POLL = {OURS: 0.5, STOCK: 0.5, TUNED: 0.05, REDIS: 0.5}
"""``interval`` of ``get()`` in seconds: Celery's default, or its best. Ours and Redis's do not
poll."""

name = os.environ.get("CONTENDER", OURS)
app = Celery("benchmark", set_as_current=True)
app.conf.update(settings(name, os.environ.get("BENCH_PREFIX", "bench")))


@app.task(name="benchmark.nothing")
def nothing(number: int) -> int:
    """The task that does nothing."""
    return number
