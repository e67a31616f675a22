"""Deletes queues and subscriptions of processes that no longer run."""

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_sqs import _runtime
from celery_sqs._aws.client import Account, CallFailed, make_client
from celery_sqs._aws.queues import ABANDONED_AFTER, SEEN_TAG, find_url, queue_urls, readable_tags

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

FIRST_CLEANUP = 5.0
"""Seconds from a client's start to its first cleanup: the start is for its users."""
CLEANUP_EVERY = 6 * 3600.0


@dataclass(frozen=True)
class CleanupReport:
    """What a cleanup removed."""

    queues: tuple[str, ...]
    """Names."""
    subscriptions: int


def is_abandoned(tags: Mapping[str, str], now: float) -> bool:
    """Whether a queue's user was seen once, but not for long; ``now`` in unix seconds.

    Queues without the tag are nobody's to cleanup, and one that was given back (seen at 0) is free
    for the next user.
    """
    seen = tags.get(SEEN_TAG, "")
    return seen.isdigit() and int(seen) > 0 and now - int(seen) > ABANDONED_AFTER


def cleanup(
    sqs: "SQSClient",
    sns: "SNSClient",
    prefix: str,
    *,
    keep: Collection[str] = (),
    now: float | None = None,
) -> CleanupReport:
    """Deletes abandoned queues whose name begins with ``prefix``, and subscriptions of queues
    with such a name that do not exist any more. Queues named in ``keep`` stay in any case.

    Raises botocore's errors; what was not removed is found again by the next cleanup.
    """
    moment = time.time() if now is None else now
    removed = []
    for url in tuple(queue_urls(sqs, prefix)):
        name = url.rsplit("/", 1)[1]
        if name not in keep and is_abandoned(readable_tags(sqs, url), moment):
            sqs.delete_queue(QueueUrl=url)
            removed.append(name)
    gone = 0
    for arn, name in _subscriptions(sns, prefix):
        if name in removed or find_url(sqs, name) is None:
            sns.unsubscribe(SubscriptionArn=arn)
            gone += 1
    return CleanupReport(tuple(removed), gone)


def _subscriptions(sns: "SNSClient", prefix: str) -> Iterator[tuple[str, str]]:
    """ARN and queue name of the subscriptions of queues whose name begins with ``prefix``."""
    for page in sns.get_paginator("list_subscriptions").paginate():
        for found in page.get("Subscriptions", ()):
            name = found.get("Endpoint", "").rsplit(":", 1)[-1]
            confirmed = found.get("SubscriptionArn", "").startswith("arn:")
            if found.get("Protocol") == "sqs" and name.startswith(prefix) and confirmed:
                yield found["SubscriptionArn"], name


def cleanup_in_background(account: Account, prefix: str, keep: Collection[str]) -> None:
    """Cleans up soon and then every six hours, for as long as this process lives."""

    def run() -> None:
        pause = FIRST_CLEANUP
        while True:
            time.sleep(pause)
            pause = CLEANUP_EVERY
            try:
                report = cleanup(
                    make_client("sqs", account), make_client("sns", account), prefix, keep=keep
                )
            except CallFailed as error:  # the next one will do it, here or in another process
                logger.info("cleanup of %s* not finished: %s", prefix, error)
            else:
                if report.queues or report.subscriptions:
                    logger.info("removed %s", report)

    _runtime.start_thread(run, "sqs-cleanup")
