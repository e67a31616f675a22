"""What a channel publishes: tasks to SQS, commands and events to SNS, replies to their queues."""

import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from celery_sqs._aws.client import CallFailed, is_no_such_queue
from celery_sqs._broker import codec, eta
from celery_sqs._broker.bulk import Prepared, current_bulk
from celery_sqs._broker.translation import translate_errors
from celery_sqs.errors import MessageTooLarge, UnsupportedBySQS

if TYPE_CHECKING:
    from celery_sqs._broker.transport import Transport

EVENT_EXCHANGE = "celeryev"
"""Celery's ``event_exchange``, a topic exchange; on SNS it is a fanout, as it is on Redis."""
LEAST_LIMIT = 1024
"""Bytes, the least ``MaximumMessageSize`` of a queue: what is shorter fits any."""


class Publisher:
    """Publishes for the channels of one connection. Thread-safe."""

    def __init__(self, transport: "Transport") -> None:
        self._transport = transport

    def send(self, queue: str, url: str, message: dict[str, Any], delay: int | None) -> None:
        """Sends to a queue; returns when SQS has acknowledged this very message.

        Inside :func:`celery_sqs.bulk` it returns at once. ``delay`` is what the caller asked for in
        seconds. Raises :class:`.errors.MessageTooLarge`, :class:`.errors.EtaTooLate`,
        :class:`.errors.UnsupportedBySQS`, :class:`.errors.SendFailed` and
        :class:`.errors.SendTimeout`.
        """
        batch = current_bulk(self._transport.session)
        if batch is None:
            prepared = self._prepare(queue, url, message, delay)
            self._send_now(queue, url, prepared)
            return
        task_id = str(
            (message.get("headers") or {}).get("id") or message["properties"]["delivery_tag"]
        )
        with batch.noting(task_id):
            prepared = self._prepare(queue, url, message, delay)
            batch.add(task_id, url, prepared, partial(self._transport.directory.forget, queue))

    def _send_now(self, queue: str, url: str, prepared: Prepared) -> None:
        try:
            with translate_errors():
                if prepared.upload is not None:
                    prepared.upload()
                self._transport.session.sender.send(url, prepared.text, **prepared.fields)
        except CallFailed as error:
            if is_no_such_queue(error):
                self._transport.directory.forget(queue)
            raise

    def reply(self, queue: str, message: dict[str, Any]) -> None:
        """Has a reply to a command sent from a thread."""
        name = self._transport.directory.process_name(queue)
        self._transport.session.replies.put((name, codec.dumps(message)))

    def fan_out(self, exchange: str, message: dict[str, Any]) -> None:
        """Publishes to an exchange: events from a thread, commands at once."""
        session = self._transport.session
        if exchange.endswith(EVENT_EXCHANGE):
            session.events(exchange).put(codec.dumps(message))
            return
        if exchange.endswith(".pidbox"):
            session.reply_queue_pool.set_reply_to(message)
        with translate_errors():
            session.fanout.publish(exchange, codec.dumps(message))

    def _fields(
        self, queue: str, url: str, message: dict[str, Any], delay: int | None
    ) -> dict[str, Any]:
        """Members of a send other than queue and body: attributes, delay, FIFO."""
        properties = message["properties"]
        _refuse_unsupported(properties, message.get("headers") or {})
        fields: dict[str, Any] = {}
        if properties.get("message_attributes"):
            fields["MessageAttributes"] = properties.pop("message_attributes")
        group = properties.get("MessageGroupId") or properties.get("message_group_id")
        if group:
            fields["MessageGroupId"] = str(group)
        if url.endswith(".fifo"):
            fields.setdefault("MessageGroupId", "default")
            given = properties.get("MessageDeduplicationId")
            fields["MessageDeduplicationId"] = str(given or uuid.uuid4())
            return fields
        if delay is None:
            delay = self._eta_delay(queue, url, message)
        if delay is not None:
            fields["DelaySeconds"] = delay
        return fields

    def _eta_delay(self, queue: str, url: str, message: dict[str, Any]) -> int | None:
        headers = message.get("headers") or {}
        if not headers.get("eta"):
            return None
        retention = self._transport.directory.attributes(url).retention
        return eta.delay_seconds(headers, time.time(), retention, queue)

    def _prepare(
        self, queue: str, url: str, message: dict[str, Any], delay: int | None
    ) -> Prepared:
        """The text, or one that stands for it, that fits the queue with its attributes."""
        fields = self._fields(queue, url, message, delay)
        text = codec.encode(message, queue)
        size = codec.size(text, fields.get("MessageAttributes"))
        if size <= LEAST_LIMIT:
            return Prepared(text, fields)
        limit = self._transport.options.max_message_size
        if limit is None:
            limit = self._transport.directory.attributes(url).max_message_size
        if size <= limit:
            return Prepared(text, fields)
        if not self._transport.large_messages.enabled:
            raise MessageTooLarge(size, limit, queue)
        headers = message.get("headers") or {}
        claim, upload = self._transport.large_messages.claim(text, headers.get("eta"))
        return Prepared(claim, fields, upload)


def _refuse_unsupported(properties: dict[str, Any], headers: dict[str, Any]) -> None:
    if properties.get("priority"):
        raise UnsupportedBySQS("priority: use several queues and queue_order_strategy")
    if properties.get("expiration") and headers.get("expires") is None:
        raise UnsupportedBySQS("expiration: SQS drops no message early; tasks take `expires`")
