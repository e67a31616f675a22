"""Calls ReceiveMessage and prepares messages before Celery sees them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery.utils.log import get_logger

from celery_sqs._aws.client import CallFailed, is_no_such_queue
from celery_sqs._broker import codec, eta
from celery_sqs._broker.auto_delete import is_control, is_event, is_reply
from celery_sqs._broker.foreign import task_of
from celery_sqs._broker.held_messages import HeldMessage
from celery_sqs.errors import UnknownVersion, UnreadableMessage

if TYPE_CHECKING:
    from celery_sqs._broker.transport import Transport

logger = get_logger(__name__)

Raw = Mapping[str, Any]
"""A message as boto3's ReceiveMessage gives it."""


class MessageReader:
    """Receives and reads the messages of one connection. Thread-safe."""

    def __init__(self, transport: "Transport") -> None:
        self._transport = transport

    def receive(self, queue: str, url: str, at_most: int, wait: int) -> list[HeldMessage]:
        """One ReceiveMessage with a long poll; raises botocore's errors."""
        try:
            self._keep_alive(queue)
            # Once: who polls tries again, and three attempts take longer than the watchdog waits.
            answer = self._transport.session.sqs(url, attempts=1).receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=at_most,
                WaitTimeSeconds=wait,
                MessageSystemAttributeNames=[
                    "ApproximateReceiveCount", "SentTimestamp", "MessageGroupId",
                ],
                MessageAttributeNames=["All"],
                **self._visibility(queue),
            )  # fmt: skip
        except CallFailed as error:
            if is_no_such_queue(error):
                logger.warning("%s does not exist any more", queue)
                self._transport.directory.forget(queue)  # one of a process is made and bound again
            raise
        found = [self._held(queue, url, raw) for raw in answer.get("Messages", ())]
        return self._drop_stale_commands(queue, found) if is_control(queue) else found

    def postpone_early(self, messages: Sequence[HeldMessage]) -> list[HeldMessage]:
        """Hides those whose time has not come; returns the others."""
        due = []
        for message in messages:
            delay = eta.visibility_delay(message.body, time.time())
            if delay is None or message.url.endswith(".fifo"):
                due.append(message)
            else:
                self._transport.acknowledger.change_visibility(message.url, message.receipt, delay)
        return due

    def with_bodies(self, messages: Sequence[HeldMessage]) -> list[HeldMessage]:
        """The same with the bodies that are kept in S3; requeues those it cannot fetch now."""
        large = self._transport.large_messages
        fetched = []
        for message in messages:
            try:
                text = large.fetch(message.body) if large.is_claim(message.body) else None
            except UnreadableMessage:
                text = None  # refused again when it is read
            except CallFailed as error:
                logger.warning("cannot fetch a body of %s: %r", message.queue, error)
                delay = self._transport.options.requeue_delay(message.receives)
                self._transport.acknowledger.change_visibility(message.url, message.receipt, delay)
                continue
            fetched.append(replace(message, text=text))
        return fetched

    def payload(self, message: HeldMessage) -> dict[str, Any]:
        """kombu's payload of a delivery; raises :class:`.errors.UnreadableMessage`.

        A message that needs no acknowledgement is deleted.
        """
        if message.queue in self._transport.no_ack_queues:
            self._transport.acknowledger.delete(message.url, message.receipt)
        text = message.text or self._transport.large_messages.fetch(message.body)
        payload = codec.decode(text, message.queue)
        if not payload and self._transport.is_worker:
            payload = task_of(self._transport.options.decode_foreign, text, message)
        elif not payload:  # for a kombu consumer of its own, which may know what it is
            payload = {"body": text, "properties": {}}
        properties = payload["properties"]
        properties["delivery_tag"] = message.receipt
        properties["priority"] = 0  # of another client: a retry must not ask for it again
        info = properties.setdefault(
            "delivery_info", {"exchange": "", "routing_key": message.queue}
        )
        info["redelivered"] = message.receives > 1
        headers = payload.get("headers")
        if isinstance(headers, dict) and "task" in headers:
            headers["sqs_receive_count"] = message.receives  # as task.request.sqs_receive_count
        return payload

    def set_aside(self, message: HeldMessage, error: UnreadableMessage) -> None:
        """What becomes of a message that cannot be read: others try, then it is dead-lettered."""
        transport = self._transport
        if isinstance(error, UnknownVersion) or (
            message.receives < transport.options.unreadable_receives
            and message.may_be_received_again
        ):
            newer = isinstance(error, UnknownVersion)
            whom = "a newer worker" if newer else "others"
            logger.warning("a message of %s is left to %s: %s", message.queue, whom, error)
            delay = transport.options.requeue_delay(message.receives)
            transport.acknowledger.change_visibility(message.url, message.receipt, delay)
        else:
            logger.error("a message of %s is no task: dead-lettered: %s", message.queue, error)
            transport.acknowledger.dead_letter(message)

    def _visibility(self, queue: str) -> dict[str, Any]:
        """Task queues get the timeout that extensions are planned by, whatever the queue says."""
        if is_reply(queue) or is_control(queue) or is_event(queue):
            return {}
        return {"VisibilityTimeout": self._transport.options.visibility_timeout}

    def _keep_alive(self, queue: str) -> None:
        session = self._transport.session
        if is_reply(queue):
            session.reply_queues.keep_alive(session.reply_queue_pool.queue(queue))
        else:
            self._transport.auto_delete.keep_alive(queue)

    def _held(self, queue: str, url: str, raw: Raw) -> HeldMessage:
        attributes = raw.get("Attributes", {})
        return HeldMessage(
            queue=queue,
            url=url,
            receipt=raw["ReceiptHandle"],
            body=raw["Body"],
            receives=int(attributes.get("ApproximateReceiveCount", 1)),
            attributes=raw.get("MessageAttributes", {}),
            group=attributes.get("MessageGroupId"),
            message_id=raw.get("MessageId", ""),
            sent=int(attributes.get("SentTimestamp", 0)) / 1000,
        )

    def _drop_stale_commands(
        self, queue: str, messages: Sequence[HeldMessage]
    ) -> list[HeldMessage]:
        """Commands of now; those to a former worker of the same name are dropped."""
        fresh = []
        for message in messages:
            if self._transport.auto_delete.is_stale(queue, message.sent):
                self._transport.acknowledger.delete(message.url, message.receipt)
            else:
                fresh.append(message)
        if fresh:
            self._transport.session.fanout.invalidate_subscribers()
        return fresh

    def with_limit(self, messages: Sequence[HeldMessage], url: str) -> list[HeldMessage]:
        """The same, each knowing how often it may be received."""
        limit = self._transport.directory.max_receives(url) if messages else None
        return [replace(message, max_receives=limit) for message in messages]
