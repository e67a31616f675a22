"""Celery on Amazon SQS: results, events, remote control, loss-free shutdown.

::

    app.conf.broker_transport = "celery_sqs:Transport"
    app.conf.result_backend = "sqs://myapp-results"

Names are imported when they are first used: importing this package loads neither Celery nor boto3.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from celery_sqs._compat import warn_if_untested

if TYPE_CHECKING:
    from celery_sqs import errors as errors
    from celery_sqs._aws import queues as queues
    from celery_sqs._aws.client import on_client_created as on_client_created
    from celery_sqs._broker.bulk import bulk as bulk
    from celery_sqs._broker.codec import decode as decode_message
    from celery_sqs._broker.transport import Transport as Transport
    from celery_sqs._ops.cleanup import cleanup as cleanup
    from celery_sqs._ops.redrive import redrive as redrive
    from celery_sqs._results.asynchronous import get_async as get_async
    from celery_sqs._results.backend import ResponseQueueBackend as ResponseQueueBackend
    from celery_sqs._results.consumer import ConsumerHealth as ConsumerHealth
    from celery_sqs._results.response_queue import ProcessSlot as ProcessSlot
    from celery_sqs._worker.request import Task as Task

__all__ = [
    "ConsumerHealth",
    "ProcessSlot",
    "ResponseQueueBackend",
    "Task",
    "Transport",
    "bulk",
    "cleanup",
    "decode_message",
    "errors",
    "get_async",
    "on_client_created",
    "queues",
    "redrive",
]

_HOMES = {
    "ConsumerHealth": "_results.consumer:ConsumerHealth",
    "ProcessSlot": "_results.response_queue:ProcessSlot",
    "ResponseQueueBackend": "_results.backend:ResponseQueueBackend",
    "Task": "_worker.request:Task",
    "Transport": "_broker.transport:Transport",
    "bulk": "_broker.bulk:bulk",
    "cleanup": "_ops.cleanup:cleanup",
    "decode_message": "_broker.codec:decode",
    "errors": "errors",
    "get_async": "_results.asynchronous:get_async",
    "on_client_created": "_aws.client:on_client_created",
    "queues": "_aws.queues",
    "redrive": "_ops.redrive:redrive",
}
"""Module of each name, and its name in that module unless it is the module itself."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, attribute = _HOMES[name].partition(":")
    found = import_module(f"{__name__}.{home}")
    if attribute:
        found = getattr(found, attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


warn_if_untested()
