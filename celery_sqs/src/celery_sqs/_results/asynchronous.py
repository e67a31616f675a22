"""Results for asyncio: awaited without a thread for each waiter."""

import asyncio
from typing import TYPE_CHECKING, Any

from celery.exceptions import TimeoutError as CeleryTimeoutError

from celery_sqs._results.backend import ResponseQueueBackend

if TYPE_CHECKING:
    from celery.result import AsyncResult


async def get_async(
    result: "AsyncResult", timeout: float | None = None, *, propagate: bool = True
) -> Any:
    """What ``result.get(timeout, propagate)`` returns or raises, for ``await``.

    ``timeout`` is in seconds; after it :class:`celery.exceptions.TimeoutError` is raised. Sending
    blocks for one call of SQS: use ``await asyncio.to_thread(task.delay, ...)`` for it.
    """
    backend = result.backend
    if not isinstance(backend, ResponseQueueBackend):
        raise TypeError("the result backend is not celery_sqs:ResponseQueueBackend")
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    with backend.notify(result.id, lambda: loop.call_soon_threadsafe(arrived.set)):
        try:
            async with asyncio.timeout(timeout):
                await arrived.wait()
        except TimeoutError as error:
            message = f"no result of task {result.id} within {timeout} s"
            raise CeleryTimeoutError(message) from error
    return result.get(timeout=0, propagate=propagate, disable_sync_subtasks=False)
