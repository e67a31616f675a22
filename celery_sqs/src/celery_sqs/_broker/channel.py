"""kombu channel on SQS: its consumers, their receivers, and the messages it holds.

A message is received by a thread in a worker (:mod:`.receiver`) or by the caller elsewhere, held
under a held (:mod:`.messages`), handed to kombu as it was before it was sent (:mod:`.wire`), and
settled in the end (:mod:`.acknowledger`).
"""

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import Empty
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from celery.utils.log import get_logger
from kombu.transport import SQS, virtual
from kombu.transport.virtual.base import queue_declare_ok_t

from celery_sqs._aws.client import CallFailed, is_no_such_queue, may_pass
from celery_sqs._aws.queues import MAX_QUEUE_NAME, ensure_queue, find_url
from celery_sqs._broker import acknowledgements, codec
from celery_sqs._broker.auto_delete import is_control, is_reply
from celery_sqs._broker.fanout import queue_arn, queue_policy
from celery_sqs._broker.prefetch import PATIENCE, PrefetchBuffer
from celery_sqs._broker.receiver import MAX_MESSAGES, FlowControl, Raw, Receiver
from celery_sqs._broker.visibility import HeldMessage, VisibilityExtender
from celery_sqs._results import sender
from celery_sqs._worker.circuit_breaker import CircuitBreaker
from celery_sqs.errors import BrokerUnavailable, SendFailed, UnknownVersion

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from celery_sqs._broker.transport import Transport

logger = get_logger(__name__)

TURN = 0.01
"""Seconds until the event loop takes another turn after a delivery."""
EVENT_EXCHANGE = "celeryev"
"""Celery's ``event_exchange``, a topic exchange; on SNS it is a fanout, as it is on Redis."""


_PIDBOX_SUFFIX = re.compile(r"-[^-]*-pidbox$")


def shortened(legal: str, name: str) -> str:
    """``legal`` cut to 80 characters and told apart by a digest of ``name``.

    The end ``-<namespace>-pidbox`` stays: IAM policies match control and reply queues by it.
    """
    if len(legal) <= MAX_QUEUE_NAME:
        return legal
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    suffix = _PIDBOX_SUFFIX.search(legal)
    ending = f"-{digest}{suffix.group() if suffix else ''}"
    return legal[: MAX_QUEUE_NAME - len(ending)] + ending


def auto_delete_queue_name(namespace: str, name: str) -> str:
    """SQS's name of a queue that is deleted with its owner, such as a worker's control queue."""
    full = f"{namespace}-{name}"
    return shortened(full.translate(SQS.CHARS_REPLACE_TABLE), full)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turns failures that pass into :class:`BrokerUnavailable`, which Celery survives."""
    try:
        yield
    except SendFailed as error:
        if error.sender_fault:
            raise
        raise BrokerUnavailable(str(error)) from error
    except KeyError as error:
        # What botocore's parser of SNS's XML raises for an answer that is not AWS's, such as the
        # page of a proxy. For SQS's JSON it has an error of its own, which Celery survives.
        raise BrokerUnavailable(f"unintelligible answer: {error!r}") from error
    except ClientError as error:
        if may_pass(error):
            raise BrokerUnavailable(str(error)) from error
        raise


class Channel(SQS.Channel):
    """One channel: its consumers, their receivers, and the messages it holds."""

    supports_fanout = True
    body_encoding = "utf-8"
    do_restore = False  # close() gives back what is held, all in one

    def __init__(self, connection: "Transport", **kwargs: Any) -> None:
        self._transport = connection  # closing forgets ``connection``; open polls still need it
        super().__init__(connection, **kwargs)
        self._flow = FlowControl()
        self._breaker = CircuitBreaker()
        self._prefetch_buffer = PrefetchBuffer(self._flow)
        self._receivers: dict[str, Receiver] = {}
        self._handed_back: dict[str, str] = {}
        options = connection.options
        self._extender = VisibilityExtender(
            lambda url, receipts, seconds: acknowledgements.extend(
                self.sqs(), url, receipts, seconds
            ),
            options.visibility_timeout,
            options.max_extension,
        )

    @property
    def _noack_queues(self) -> set[str]:
        return self._transport._noack_queues  # type: ignore[no-any-return]

    @property
    def _queue_cache(self) -> dict[str, str]:
        return self._transport._queue_cache

    # Clients and names

    def sqs(self, queue: str | None = None) -> "SQSClient":
        return self._transport.session.sqs()

    def entity_name(self, name: str, table: Any = SQS.CHARS_REPLACE_TABLE) -> str:
        """A legal SQS name of at most 80 characters, see :func:`shortened`."""
        return shortened(super().entity_name(name, table), name)

    def _temporary_name(self, name: str) -> str:
        return auto_delete_queue_name(self._transport.options.namespace, name)

    def _sqs_name(self, queue: str) -> str:
        if is_reply(queue) or is_control(queue) or queue in self._transport.auto_delete:
            return self._temporary_name(queue)
        return str(self.canonical_queue_name(queue))

    def _update_queue_cache(self, queue_name_prefix: str) -> None:
        """kombu lists all queues for every channel; we ask for the one we need."""
        if self.predefined_queues:
            super()._update_queue_cache(queue_name_prefix)

    def _new_queue(self, queue: str, auto_delete: bool = False, **kwargs: Any) -> str:
        """URL of a queue, which is made if there is none."""
        with translate_errors():
            if is_reply(queue):
                own = self._transport.session.reply_queue_pool.queue(queue)
                replies = self._transport.session.reply_queues
                return replies.declare(own, self._temporary_name(own), None)
            if auto_delete or queue in self._transport.auto_delete:
                return self._transport.auto_delete.declare(
                    queue, self._temporary_name(queue), self._some_fanout_exchange()
                )
            return self._find(queue) or self._create(queue)

    def _find(self, queue: str) -> str | None:
        name = self._sqs_name(queue)
        url = self._queue_cache.get(name)
        if url is None and not self.predefined_queues:
            url = find_url(self.sqs(), name)
            if url is not None:
                self._queue_cache[name] = url
        return url

    def _create(self, queue: str) -> str:
        name = self.canonical_queue_name(queue)
        attributes = {"VisibilityTimeout": str(self._transport.options.visibility_timeout)}
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        url = self._create_queue(name, attributes)["QueueUrl"]
        self._queue_cache[name] = url
        return str(url)

    def _forget_url(self, queue: str) -> None:
        if is_reply(queue):
            self._transport.session.reply_queue_pool.lost()
            return
        self._queue_cache.pop(self._sqs_name(queue), None)
        self._transport.auto_delete.forget(queue)

    def queue_declare(self, queue: str | None = None, passive: bool = False, **kwargs: Any) -> Any:
        """As kombu's, but a queue is counted only when somebody asks, by declaring it passively."""
        if passive or queue is None:
            return super().queue_declare(queue=queue, passive=passive, **kwargs)
        self._new_queue(queue, **kwargs)
        return queue_declare_ok_t(queue, 0, 0)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        with translate_errors():
            return self._find(queue) is not None

    def _delete(self, queue: str, exchange: str | None = None, *args: Any, **kwargs: Any) -> None:
        if is_reply(queue):
            return  # the next call takes it
        if queue in self._transport.auto_delete:
            self._transport.auto_delete.delete(queue)
            return
        url = self._find(queue)
        if url is not None:
            self.sqs().delete_queue(QueueUrl=url)
            self._forget_url(queue)

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
        """Nothing: a queue is subscribed when somebody consumes from it."""

    def _subscribe_queue_to_fanout_exchange_if_required(self, queue_name: str) -> None:
        for exchange, _, _ in self.state.queue_bindings(queue_name):
            if self._exchange_is_fanout(exchange):
                with translate_errors():
                    self._subscribe(queue_name, exchange)

    def _subscribe(self, queue: str, exchange: str) -> None:
        if queue in self._transport.auto_delete:
            self._transport.auto_delete.subscribe(queue, exchange)
            return
        name, topic = self._sqs_name(queue), self._transport.session.fanout.topic(exchange)
        ensure_queue(self.sqs(), name, attributes={"Policy": queue_policy(topic, name)})
        self._transport.session.fanout.subscribe(exchange, queue_arn(topic, name))

    def _put_fanout(
        self, exchange: str, message: dict[str, Any], routing_key: str, **kwargs: Any
    ) -> None:
        session = self._transport.session
        if exchange.endswith(EVENT_EXCHANGE):
            session.events(exchange).put(codec.dumps(message))
            return
        if exchange.endswith(".pidbox"):
            session.reply_queue_pool.address(message)
        with translate_errors():
            session.fanout.publish(exchange, codec.dumps(message))

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> Any:
        """The binding of a reply queue is known to its client alone; its name tells it all."""
        if exchange.startswith("reply.") and exchange.endswith(".pidbox"):
            return [f"{routing_key}.{exchange}"]
        return super()._lookup(exchange, routing_key, default)

    def after_reply_message_received(self, queue: str) -> None:
        """Keeps the queue for this thread's next call."""

    # Sending

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if is_reply(queue):
            answer = (self._temporary_name(queue), codec.dumps(message))
            self._transport.session.replies.put(answer)
            return
        special = self._special_fields(queue, message["properties"])
        text = codec.encode(message, queue)
        codec.check_size(text, self._transport.options.max_message_size, queue)
        url = self._new_queue(queue)
        try:
            with translate_errors():
                self._transport.session.sender.send(url, text, **special)
        except CallFailed as error:
            if is_no_such_queue(error):
                self._forget_url(queue)
            raise

    def _special_fields(self, queue: str, properties: dict[str, Any]) -> dict[str, Any]:
        """Members of a send other than queue and body: attributes, delay, FIFO."""
        special: dict[str, Any] = {}
        if properties.get("message_attributes"):
            special["MessageAttributes"] = properties.pop("message_attributes")
        if "MessageGroupId" in properties:
            special["MessageGroupId"] = properties["MessageGroupId"]
        if queue.endswith(".fifo"):
            special.setdefault("MessageGroupId", "default")
            special["MessageDeduplicationId"] = properties.get(
                "MessageDeduplicationId", self._next_delivery_tag()
            )
            return special
        delay = self._resolve_delay_seconds(properties)
        if delay is not None:
            special["DelaySeconds"] = delay
        return special

    # Receiving in a worker: the receiver's thread

    def _schedule_queue(self, queue: str) -> None:
        """Called by kombu from the event loop for a new consumer."""
        if queue not in self._active_queues:
            return
        running = self._receivers.get(queue)
        if running is not None and not running.stopping:
            return
        if queue not in self._noack_queues:
            self._extender.start()
        breaker = CircuitBreaker() if queue in self._noack_queues else self._breaker
        receiver = self._receivers[queue] = Receiver(queue, self, self._flow, breaker)
        self._transport.start(receiver)

    def poll(self, queue: str, at_most: int) -> Sequence[Raw]:
        """One ReceiveMessage with a long poll."""
        return self._receive(queue, at_most, self._transport.options.wait_time_seconds)

    def hand_over(self, queue: str, messages: Sequence[Raw]) -> None:
        """To the event loop; from here on the messages are held."""
        taken = [self._held(queue, raw) for raw in messages]
        if queue not in self._noack_queues:
            for held in taken:
                self._extender.add(held)
        self.hub.call_soon(self._deliver_all, queue, taken)

    def give_back(self, messages: Sequence[Raw]) -> None:
        """Makes visible again what nobody here will take."""
        for raw in messages:
            self._transport.acknowledger.change_visibility(raw["QueueUrl"], raw["ReceiptHandle"])

    # Receiving in a worker: the event loop

    def _deliver_all(self, queue: str, messages: Sequence[HeldMessage]) -> None:
        if queue in self._noack_queues:
            callback = None if self._is_ending() else self._transport._callbacks.get(queue)
            for held in messages:
                self._flow.release()
                if callback is not None:
                    self._deliver_one(held, callback)
        else:
            for held in messages:
                self._prefetch_buffer.enter(held)
            self._start_waiting()
            if self._prefetch_buffer:
                self.hub.call_later(PATIENCE, self._return_overdue)
        # What these callbacks left to be called soon, such as the sending of events, would wait for
        # the next timer: the loop looks for it only before it waits.
        self.hub.call_later(TURN, noop)

    def _start_waiting(self) -> None:
        """As many of those that wait as there are slots; all go back when there will be none."""
        no_trial = self._breaker.is_open and len(self._prefetch_buffer) > 1
        if self._is_ending() or no_trial:
            self._prefetch_buffer.clear(lambda held: self._give_back(held.receipt))
        while (held := self._prefetch_buffer.next()) is not None:
            callback = self._transport._callbacks.get(held.queue)
            if callback is None:
                self._give_back(held.receipt)
            else:
                self._deliver_one(held, callback)

    def _return_overdue(self) -> None:
        for held in self._prefetch_buffer.overdue(time.monotonic()):
            self._give_back(held.receipt)

    def _is_ending(self) -> bool:
        return bool(self.closed or self._transport.is_stopping())

    def _deliver_one(self, held: HeldMessage, callback: Any) -> None:
        try:
            callback(self._accept(held))
        except UnknownVersion as error:
            logger.warning("%s: left to a newer worker: %s", held.queue, error)
            self.basic_reject(held.receipt, requeue=True)
        except Exception:
            # One message must not end the worker. Celery settles its own failures before they
            # get here, so this is a defect of ours or of a signal handler.
            logger.exception("cannot deliver a message of %s", held.queue)
            self.basic_reject(held.receipt, requeue=True)

    # Receiving in a process without an event loop

    def _get_bulk(
        self, queue: str, max_if_unlimited: int = MAX_MESSAGES, callback: Any = None
    ) -> None:
        payloads = [
            self._accept(held) for held in self._receive_now(queue, self._get_message_estimate())
        ]
        if is_reply(queue):
            payloads = [
                each for each in payloads if self._transport.session.reply_queue_pool.expects(each)
            ]
        if not payloads:
            raise Empty
        for payload in payloads:
            self._transport._deliver(payload, queue)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        (held,) = self._receive_now(queue, 1)
        return self._accept(held)

    def _receive_now(self, queue: str, at_most: int) -> list[HeldMessage]:
        """Raises :class:`queue.Empty`."""
        try:
            with translate_errors():
                messages = self._receive(queue, at_most, self._wait_seconds(queue))
        except CallFailed as error:
            if is_reply(queue) and is_no_such_queue(error):
                raise BrokerUnavailable("the reply queue was deleted; ask again") from error
            raise
        if not messages:
            raise Empty
        taken = [self._held(queue, raw) for raw in messages]
        if queue not in self._noack_queues:
            self._extender.start()
            for held in taken:
                self._extender.add(held)
        return taken

    def drain_events(self, timeout: float | None = None, callback: Any = None, **_: Any) -> None:
        self._patience = timeout
        super().drain_events(timeout=timeout, callback=callback)

    _patience: float | None = None
    """Seconds the caller of ``drain_events`` wants to wait."""

    def _wait_seconds(self, queue: str) -> int:
        """Of the long poll: replies are awaited as long as the caller says, events always."""
        longest = self._transport.options.wait_time_seconds
        if self._patience is None or not is_reply(queue):
            return longest
        return min(longest, max(1, math.ceil(self._patience)))

    # Both ways of receiving

    def _receive(self, queue: str, at_most: int, wait: int) -> Sequence[Raw]:
        url = self._new_queue(queue)
        try:
            self._keep_alive(queue)
            answer = self._transport.session.polling().receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=at_most,
                WaitTimeSeconds=wait,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        except CallFailed as error:
            if is_no_such_queue(error):
                logger.warning("%s does not exist any more", queue)
                self._forget_url(queue)  # a temporary one is made and bound again
            raise
        messages = [{**message, "QueueUrl": url} for message in answer.get("Messages", ())]
        return self._drop_stale_commands(queue, messages) if is_control(queue) else messages

    def _keep_alive(self, queue: str) -> None:
        session = self._transport.session
        if is_reply(queue):
            session.reply_queues.keep_alive(session.reply_queue_pool.queue(queue))
        else:
            self._transport.auto_delete.keep_alive(queue)

    def _drop_stale_commands(self, queue: str, messages: Sequence[Raw]) -> Sequence[Raw]:
        """Commands of now; those to a former worker of the same name are dropped."""
        fresh = []
        for raw in messages:
            sent = int(raw["Attributes"]["SentTimestamp"]) / 1000
            if self._transport.auto_delete.is_stale(queue, sent):
                self._transport.acknowledger.delete(raw["QueueUrl"], raw["ReceiptHandle"])
            else:
                fresh.append(raw)
        if fresh:
            self._transport.session.fanout.invalidate_subscribers()
        return fresh

    def _held(self, queue: str, raw: Raw) -> HeldMessage:
        return HeldMessage(
            queue=queue,
            url=raw["QueueUrl"],
            receipt=raw["ReceiptHandle"],
            body=raw["Body"],
            receives=int(raw.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
        )

    def _accept(self, held: HeldMessage) -> dict[str, Any]:
        """kombu's payload of a delivery. A message that needs no acknowledgement is deleted."""
        if held.queue in self._noack_queues:
            self._transport.acknowledger.delete(held.url, held.receipt)
        text = self._decode_python_message_body(held.body).decode(errors="replace")
        payload = codec.decode(text, held.queue) or {"body": text, "properties": {}}
        properties = payload.setdefault("properties", {})
        properties["delivery_tag"] = held.receipt
        info = properties.setdefault("delivery_info", {"exchange": "", "routing_key": held.queue})
        info["redelivered"] = held.receives > 1
        headers = payload.get("headers")
        if isinstance(headers, dict) and "task" in headers:
            headers["sqs_receive_count"] = held.receives  # as task.request.sqs_receive_count
        return payload

    # Settling

    def basic_qos(
        self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False
    ) -> None:
        super().basic_qos(prefetch_size, prefetch_count, apply_global)
        self._flow.resize(prefetch_count)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        self._breaker.finished()
        held = self._release(delivery_tag)
        url = held.url if held else self._handed_back.pop(delivery_tag, None)
        if url is not None:
            self._settle(delivery_tag, partial(self._transport.acknowledger.delete, url))
        self._on_slot_free()

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Back to the queue after a growing delay, or to its dead-letter queue."""
        if requeue:
            self._breaker.failed()  # before its slot is free: the receiver looks at both
        held = self._release(delivery_tag)
        if held is None:
            return
        acknowledger = self._transport.acknowledger
        if requeue:
            delay = self._transport.options.delay(held.receives)
            self._settle(
                delivery_tag, partial(acknowledger.change_visibility, held.url, seconds=delay)
            )
        else:
            self._settle(delivery_tag, partial(acknowledger.dead_letter, held.url, body=held.body))
        self._on_slot_free()

    def _on_slot_free(self) -> None:
        """A slot has become free."""
        if self._prefetch_buffer:
            self.hub.call_soon(self._start_waiting)
            self.hub.call_later(TURN, noop)

    def _settle(self, delivery_tag: str, do: Callable[[str], None]) -> None:
        """What becomes of a message whose task has ended, once its answer is on its way."""

        def settle() -> None:
            self._extender.pop(delivery_tag)
            do(delivery_tag)

        result_sender = sender.get_result_sender()
        if result_sender is None:
            settle()
        else:
            result_sender.after(delivery_tag, settle)

    def _release(self, delivery_tag: str) -> HeldMessage | None:
        """Frees its slot; the message stays invisible until it is settled."""
        held = self._extender.end(delivery_tag)
        virtual.Channel.basic_ack(self, delivery_tag)  # kombu's own books
        if held is not None and held.queue in self._receivers:
            if self._prefetch_buffer.leave(delivery_tag):
                self._flow.leave()
            else:
                self._flow.release()
        return held

    def _give_back(self, delivery_tag: str) -> None:
        held = self._release(delivery_tag)
        if held is not None:
            self._extender.pop(delivery_tag)
            self._handed_back[delivery_tag] = held.url
            self._transport.acknowledger.change_visibility(held.url, delivery_tag)

    def _restore(self, message: Any, **_: Any) -> None:
        self._give_back(message.delivery_tag)

    def give_back_except(self, running: set[str]) -> int:
        """Makes every held message visible at once but those ``running``; returns how many."""
        others = [held for held in self._extender.held() if held.receipt not in running]
        for held in others:
            self._give_back(held.receipt)
        return len(others)

    # Ending

    def basic_cancel(self, consumer_tag: str) -> None:
        queue = self._tag_to_queue.get(consumer_tag)
        no_ack = queue in self._noack_queues
        super().basic_cancel(consumer_tag)
        if queue is None or queue in self._active_queues:
            return
        if queue in self._receivers:
            self._receivers[queue].stop()
            if no_ack:
                self._noack_queues.add(queue)  # what its open poll brings needs no ack either
        elif queue in self._transport.auto_delete:
            self._transport.auto_delete.delete(queue)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._extender.close()
            self.give_back_except(set())


def noop() -> None:
    """Nothing: the event loop shall only look around."""
