"""What all connections of a process share to send: batches are the larger for it.

Celery opens a connection per thread of its pools, and in a worker one to consume and one for
events; who listens to events is learnt on the one and matters on the other.
"""

import atexit
import os
import threading
from functools import partial
from typing import TYPE_CHECKING

from celery_sqs._aws.client import CallFailed, is_no_such_queue, make_client
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

REPLY_URLS = 64
"""URLs of reply queues that are remembered: Celery may name a new one at every call."""

_shared: dict[tuple[str | None, str | None, str], "Session"] = {}
_lock = threading.Lock()


class Session:
    """Clients, sender, topics and publisher of one account, region and namespace. Thread-safe."""

    def __init__(self, region: str | None, endpoint_url: str | None, namespace: str) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._reply_urls: dict[str, str] = {}
        self._events: dict[str, BackgroundPublisher[str]] = {}
        self.queue_urls: dict[str, str] = {}
        self.sender = Sender(self.sqs)
        self.fanout = Fanout(self.sns, lambda name: f"{namespace}-{name.replace('.', '-')}")
        self.reply_queue_pool = ReplyQueuePool([])
        self.reply_queues = AutoDeleteQueues(self.sqs, self.fanout, 0)
        """Where replies to this process arrive; not a connection's, since any may be used next."""
        self.replies: BackgroundPublisher[tuple[str, str]] = BackgroundPublisher(
            self._send_replies, "sqs-replies"
        )

    def sqs(self) -> "SQSClient":
        return make_client("sqs", region=self._region, endpoint_url=self._endpoint_url)

    def polling(self) -> "SQSClient":
        """For long polls: their loop tries again by itself, so a silent answer costs one deadline.

        With the usual three attempts it would take longer than the watchdog waits.
        """
        return make_client("sqs", region=self._region, endpoint_url=self._endpoint_url, attempts=1)

    def sns(self) -> "SNSClient":
        return make_client("sns", region=self._region, endpoint_url=self._endpoint_url)

    def events(self, exchange: str) -> BackgroundPublisher[str]:
        """Where the events of this process wait to be published."""
        with _lock:
            if exchange not in self._events:
                publish = partial(self.fanout.publish_all, exchange)
                self._events[exchange] = BackgroundPublisher(publish, f"sns-{exchange}")
            return self._events[exchange]

    def flush(self) -> None:
        """Sends what waits, in the caller's thread."""
        self.replies.flush()
        for publisher in tuple(self._events.values()):
            publisher.flush()

    def close(self) -> None:
        """For process exit."""
        self.flush()
        self.reply_queues.close()

    def _send_replies(self, replies: list[tuple[str, str]]) -> None:
        """Sends answers, by SQS name, to those who still have a queue for them."""
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
            if len(self._reply_urls) >= REPLY_URLS:
                self._reply_urls.clear()
            self._reply_urls[name] = url
        return self._reply_urls[name]


def get_session(options: "Options") -> Session:
    """The process's own, made anew after a fork."""
    key = (options.region, options.endpoint_url, options.namespace)
    with _lock:
        if key not in _shared:
            _shared[key] = Session(*key)
        return _shared[key]


@atexit.register
def _at_exit() -> None:
    for each in tuple(_shared.values()):
        each.close()


def _after_fork() -> None:
    """A child has neither the threads nor the right to what its parent has not sent yet."""
    global _lock
    _lock = threading.Lock()
    _shared.clear()


os.register_at_fork(after_in_child=_after_fork)
