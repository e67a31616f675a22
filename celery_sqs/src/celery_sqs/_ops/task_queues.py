"""The task queues of an application and their dead-letter queues."""

from collections.abc import Iterable, Iterator
from typing import Any

from celery import Celery

from celery_sqs._aws.queues import Counts, counts_of
from celery_sqs._broker.transport import Transport
from celery_sqs.errors import CelerySQSError


def transport_of(app: Celery) -> Transport:
    """The transport of an application; raises :class:`.errors.CelerySQSError` for another one."""
    transport: Any = app.connection_for_read().transport
    if not isinstance(transport, Transport):
        raise CelerySQSError("the application's broker_transport is not celery_sqs:Transport")
    return transport


def names_of(app: Celery) -> list[str]:
    """The queues its workers consume from."""
    return sorted(app.amqp.queues or {app.conf.task_default_queue: None})


def task_queues(app: Celery, names: Iterable[str]) -> Iterator[tuple[str, Counts]]:
    """SQS names and counts of queues and of their dead-letter queues; those that exist."""
    transport = transport_of(app)
    for name in names:
        url = transport.directory.find(name)
        if url is None:
            continue
        for each in (url, transport.directory.dead_letter_url(url)):
            if each is not None:
                yield each.rsplit("/", 1)[1], counts_of(transport.session.sqs(each), each)
