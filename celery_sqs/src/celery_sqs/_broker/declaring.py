"""The part of the channel that declares queues and publishes."""

import math
from typing import TYPE_CHECKING, Any

from kombu.transport import SQS
from kombu.transport.virtual.base import queue_declare_ok_t

from celery_sqs._aws import queues
from celery_sqs._broker.auto_delete import is_reply
from celery_sqs._broker.fanout import queue_arn, queue_policy
from celery_sqs._broker.names import legal_name
from celery_sqs._broker.publishing import EVENT_EXCHANGE
from celery_sqs._broker.translation import translate_errors
from celery_sqs.errors import PurgeInProgress

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from celery_sqs._broker.transport import Transport


class DeclaringChannel(SQS.Channel):
    """Queues, exchanges and publishing."""

    supports_fanout = True
    body_encoding = "utf-8"
    """Of bodies that are text; what is not travels as base64."""

    def __init__(self, connection: "Transport", **kwargs: Any) -> None:
        self._transport = connection  # closing forgets ``connection``; open polls still need it
        super().__init__(connection, **kwargs)

    def sqs(self, queue: str | None = None) -> "SQSClient":
        return self._transport.session.sqs(self._transport.session.queue_urls.get(queue or "", ""))

    # Queues

    def entity_name(self, name: str, table: Any = None) -> str:
        return legal_name(name)

    def _update_queue_cache(self, queue_name_prefix: str) -> None:
        """Nothing: kombu lists all queues for every channel, this library asks for one by one."""

    def _new_queue(self, queue: str, auto_delete: bool = False, **kwargs: Any) -> str:
        """URL of a queue, which is made if there is none."""
        with translate_errors():
            return self._transport.directory.url(
                queue, exchange=self._some_fanout_exchange, auto_delete=auto_delete
            )

    def queue_declare(self, queue: str | None = None, passive: bool = False, **kwargs: Any) -> Any:
        """As kombu's, but a queue is counted only when it is declared passively."""
        if passive or queue is None:
            return super().queue_declare(queue=queue, passive=passive, **kwargs)
        self._new_queue(queue, **kwargs)
        return queue_declare_ok_t(queue, 0, 0)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        with translate_errors():
            return self._transport.directory.find(queue) is not None

    def _delete(self, queue: str, exchange: str | None = None, *args: Any, **kwargs: Any) -> None:
        self._transport.directory.delete(queue)

    def _size(self, queue: str) -> int:
        with translate_errors():
            url = self._new_queue(queue)
            return queues.counts_of(self._transport.session.sqs(url), url).visible

    def _purge(self, queue: str) -> int:
        """Deletes all messages; returns how many there were about.

        AWS purges a queue once a minute; within that, what is visible is received and deleted.
        """
        with translate_errors():
            url = self._new_queue(queue)
            client = self._transport.session.sqs(url)
            held = queues.counts_of(client, url)
            try:
                queues.purge(client, url)
            except PurgeInProgress:
                return queues.drain(client, url)
            return held.visible

    # Exchanges

    def exchange_declare(
        self, exchange: str | None = None, type: str = "direct", **kwargs: Any
    ) -> None:
        if type == "topic" and exchange is not None and exchange.endswith(EVENT_EXCHANGE):
            type = "fanout"
        super().exchange_declare(exchange=exchange, type=type, **kwargs)

    def _some_fanout_exchange(self) -> str | None:
        return next((name for name in self.state.exchanges if self._exchange_is_fanout(name)), None)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Subscribes a queue that is kept; that of a process is when it is consumed from."""
        own = queue in self._transport.auto_delete or is_reply(queue)
        if not own and self._exchange_is_fanout(exchange):
            with translate_errors():
                self._subscribe(queue, exchange)

    def _subscribe_queue_to_fanout_exchange_if_required(self, queue_name: str) -> None:
        for exchange, _, _ in self.state.queue_bindings(queue_name):
            if self._exchange_is_fanout(exchange):
                with translate_errors():
                    self._subscribe(queue_name, exchange)

    def _subscribe(self, queue: str, exchange: str) -> None:
        transport = self._transport
        if queue in transport.auto_delete:
            transport.auto_delete.subscribe(queue, exchange)
            return
        name, topic = transport.directory.name(queue), transport.session.fanout.topic(exchange)
        if topic is not None:
            queues.ensure_queue(
                transport.session.sqs(), name, attributes={"Policy": queue_policy(topic, name)}
            )
            transport.session.fanout.subscribe(exchange, queue_arn(topic, name))

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> Any:
        """The binding of a reply queue is known to its client alone, but follows from its name."""
        if exchange.startswith("reply.") and exchange.endswith(".pidbox"):
            return [f"{routing_key}.{exchange}"]
        return super()._lookup(exchange, routing_key, default)

    def after_reply_message_received(self, queue: str) -> None:
        """Keeps the queue for this thread's next call."""

    # Publishing

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str | None]:
        """Text as it is; what is binary, such as pickle or a compressed body, as base64."""
        if isinstance(body, bytes | bytearray | memoryview):
            encoding = "base64"
        encoded: tuple[Any, str | None] = super().encode_body(body, encoding)
        return encoded

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if is_reply(queue):
            self._transport.publisher.reply(queue, message)
            return
        delay = self._resolve_delay_seconds(message["properties"])
        url = self._new_queue(queue)
        self._transport.publisher.send(
            queue, url, message, None if delay is None else math.floor(delay)
        )

    def _put_fanout(
        self, exchange: str, message: dict[str, Any], routing_key: str, **kwargs: Any
    ) -> None:
        self._transport.publisher.fan_out(exchange, message)
