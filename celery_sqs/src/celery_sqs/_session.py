"""What all connections of a process share to send: batches are the larger for it.

Celery opens a connection per thread of its pools, and in a worker one to consume and one for
events. Subscriber state discovered on one connection is needed by the others.
"""

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from celery_sqs import _runtime
from celery_sqs._aws.client import (
    MAX_ATTEMPTS,
    Account,
    CallFailed,
    is_forbidden,
    is_no_such_queue,
    make_client,
)
from celery_sqs._aws.publisher import BackgroundPublisher
from celery_sqs._aws.queues import find_url
from celery_sqs._aws.sender import Sender
from celery_sqs._broker.auto_delete import AutoDeleteQueues
from celery_sqs._broker.fanout import Fanout
from celery_sqs._broker.reply_queues import ReplyQueuePool

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

    from celery_sqs.options import Options

MAX_REPLY_URLS = 64
"""URLs of reply queues that are remembered: Celery may name a new one at every call."""

VERIFIED_SECONDS = 60.0
"""A connection that could be made is believed for so long."""

QueueAccounts = tuple[tuple[str, str, Account], ...]
"""Name, URL and account of queues that have one of their own."""


class Session:
    """Clients, sender, topics and publishers of one account and namespace. Thread-safe."""

    def __init__(self, account: Account, queues: QueueAccounts, namespace: str) -> None:
        self.account = account
        self._accounts = {url: own for _, url, own in queues}
        self._reply_urls: dict[str, str] = {}
        self._events: dict[str, BackgroundPublisher[str]] = {}
        self._lock = threading.Lock()
        self._verified_until = 0.0
        self.queue_urls: dict[str, str] = {name: url for name, url, _ in queues}
        self.sender = Sender(self.sqs)
        self.fanout = Fanout(self.sns, lambda name: f"{namespace}-{name.replace('.', '-')}")
        self.reply_queue_pool = ReplyQueuePool([])
        self.reply_queues = AutoDeleteQueues(self.sqs, self.fanout, 0)
        """Where replies to this process arrive; not a connection's, since any may be used next."""
        self.replies: BackgroundPublisher[tuple[str, str]] = BackgroundPublisher(
            self._send_replies, "sqs-replies"
        )

    def sqs(self, queue_url: str = "", *, attempts: int = MAX_ATTEMPTS) -> "SQSClient":
        """The client of a queue."""
        return make_client("sqs", self._accounts.get(queue_url, self.account), attempts=attempts)

    def sns(self) -> "SNSClient":
        return make_client("sns", self.account)

    def events(self, exchange: str) -> BackgroundPublisher[str]:
        """Where the events of this process wait to be published."""
        with self._lock:
            if exchange not in self._events:
                publish = partial(self.fanout.publish_all, exchange)
                self._events[exchange] = BackgroundPublisher(publish, f"sns-{exchange}")
            return self._events[exchange]

    def verify(self, queue_name: str) -> None:
        """Raises botocore's errors when SQS cannot be reached or refuses the credentials.

        Asks for a queue that need not exist, once a minute at most.
        """
        if time.monotonic() < self._verified_until:
            return
        try:
            find_url(self.sqs(), queue_name)
        except ClientError as error:
            if not is_forbidden(error):
                raise
        self._verified_until = time.monotonic() + VERIFIED_SECONDS

    def flush(self) -> None:
        """Sends what waits, in the caller's thread."""
        self.replies.flush()
        for publisher in tuple(self._events.values()):
            publisher.flush()

    def close_at_exit(self) -> None:
        self.flush()
        self.reply_queues.close()

    def _send_replies(self, replies: list[tuple[str, str]]) -> None:
        """Sends replies, by SQS name, to those that still have a queue for them."""
        for name, text in replies:
            url = self._reply_url(name)
            if url is None:
                continue
            try:
                self.sqs().send_message(QueueUrl=url, MessageBody=text)
            except CallFailed as error:
                if not is_no_such_queue(error):
                    raise
                self._reply_urls.pop(name, None)

    def _reply_url(self, name: str) -> str | None:
        if name not in self._reply_urls:
            url = find_url(self.sqs(), name)
            if url is None:
                return None
            if len(self._reply_urls) >= MAX_REPLY_URLS:
                self._reply_urls.clear()
            self._reply_urls[name] = url
        return self._reply_urls[name]


def get_session(options: "Options") -> Session:
    """The process's own, made anew after a fork."""
    key = (Session, options.account, options.queue_accounts, options.namespace)
    return _runtime.shared(key, partial(Session, *key[1:]))
