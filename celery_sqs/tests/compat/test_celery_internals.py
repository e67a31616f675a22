"""What we rely on inside celery, kombu and flower: an upgrade fails here, not in a fleet.

Versions are pinned; these tests say which inner workings the pins are for. When one fails after an
upgrade, look at how the new release does it and at the module named in the test.
"""

import inspect
import socket
import threading
import time
from typing import Any

import pytest
from celery import Celery, signals
from celery.concurrency import asynpool, prefork
from celery.events.event import EVENT_EXCHANGE_NAME, get_exchange
from celery.worker import loops, state
from celery.worker import request as celery_request
from celery.worker.consumer import gossip, mingle
from celery.worker.consumer.consumer import Consumer
from celery.worker.consumer.control import Control
from celery.worker.consumer.heart import Heart
from celery.worker.consumer.tasks import Tasks
from celery.worker.worker import WorkController
from celery_sqs._broker import auto_delete
from celery_sqs._broker.channel import Channel
from celery_sqs._broker.publishing import EVENT_EXCHANGE
from celery_sqs._broker.transport import Transport
from celery_sqs._worker import bootsteps
from celery_sqs._worker.request import Request
from flower import command, urls
from flower.app import Flower
from flower.views import BaseHandler
from kombu.asynchronous import Hub
from kombu.pidbox import Mailbox
from kombu.transport import SQS

pytestmark = pytest.mark.compat

OVERRIDDEN = (
    "sqs", "entity_name", "_update_queue_cache", "_new_queue", "queue_declare", "_has_queue",
    "_delete", "exchange_declare", "_queue_bind", "_subscribe_queue_to_fanout_exchange_if_required",
    "_put_fanout", "_lookup", "after_reply_message_received", "_put", "_schedule_queue",
    "_get_bulk", "_get", "drain_events", "basic_qos", "basic_ack", "basic_reject", "_restore",
    "basic_cancel", "close", "encode_body", "_size", "_purge",
)  # fmt: skip
USED = (
    "_exchange_is_fanout", "_resolve_delay_seconds", "_get_message_estimate", "_noack_queues",
)  # fmt: skip


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_what_the_channel_overrides_is_there(name: str) -> None:
    ours, theirs = getattr(Channel, name), getattr(SQS.Channel, name)
    assert ours is not theirs
    required = {
        parameter.name
        for parameter in inspect.signature(theirs).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }
    accepted = inspect.signature(ours).parameters
    assert required <= accepted.keys()


@pytest.mark.parametrize("name", USED)
def test_what_the_channel_uses_is_there(name: str) -> None:
    assert hasattr(SQS.Channel, name)


def test_consuming_starts_from_the_event_loop() -> None:
    """``basic_consume`` must schedule ``_schedule_queue`` and subscribe; see Channel."""
    source = inspect.getsource(SQS.Channel.basic_consume)
    assert "call_soon(self._schedule_queue, queue)" in source
    assert "_subscribe_queue_to_fanout_exchange_if_required(queue)" in source


def test_an_ack_is_put_off_by_what_the_giveback_step_replaces() -> None:
    """See :class:`bootsteps.RequeuePrefetched`."""
    assert callable(getattr(Consumer, bootsteps.ACK_LATER))
    source = inspect.getsource(Consumer.create_task_handler)
    later = bootsteps.ACK_LATER
    assert f"{later} = self.{later}" in source, "once its steps have started"
    assert source.count(f"                        {later},") == 2, "acks and rejects"


def test_the_transport_says_what_it_can() -> None:
    assert Transport.implements.asynchronous
    assert "fanout" in Transport.implements.exchange_type
    assert "fanout" not in SQS.Transport.implements.exchange_type
    assert issubclass(ConnectionError, Transport.connection_errors)


def test_the_event_loop_is_woken_from_other_threads() -> None:
    """receiver.py hands messages over with ``call_soon``; the loop may be asleep in ``poll``."""
    hub = Hub()
    woken: list[float] = []
    reader, other = socket.socketpair()
    hub.add_reader(reader, lambda: None)
    thread = threading.Thread(target=hub.run_forever)
    thread.start()
    time.sleep(0.2)
    asked = time.monotonic()
    hub.call_soon(lambda: (woken.append(time.monotonic()), hub.stop()))
    thread.join(5)
    reader.close()
    other.close()
    hub.close()
    assert woken[0] - asked < 0.5


def test_names_of_temporary_queues() -> None:
    """channel.py knows queues by their names, since bindings live in other processes."""
    app = Celery("seams", set_as_current=False)
    mailbox = app.control.mailbox
    control = mailbox.get_queue("w1@host")
    assert auto_delete.is_control(control.name)
    assert control.auto_delete
    reply = mailbox.get_reply_queue()
    assert auto_delete.is_reply(reply.name)
    assert reply.auto_delete
    assert reply.name == f"{reply.routing_key}.{mailbox.reply_exchange.name}"
    assert "after_reply_message_received(queue.name)" in inspect.getsource(Mailbox._collect)


def test_events_go_to_a_topic_exchange_of_that_name() -> None:
    assert EVENT_EXCHANGE_NAME == EVENT_EXCHANGE
    client = type("Connection", (), {"transport": type("T", (), {"driver_type": "sqs"})})
    assert get_exchange(client).type == "topic"


def test_our_driver_type_turns_nothing_else_on() -> None:
    assert Transport.driver_type == "sqs"
    for step in (mingle.Mingle, gossip.Gossip):
        assert "sqs" not in step.compatible_transports


def test_workers_are_equipped_before_their_steps_are_made() -> None:
    source = inspect.getsource(WorkController.setup_instance)
    order = [
        "should_use_eventloop()", "signals.worker_init.send(sender=self)", "self.blueprint.apply",
    ]  # fmt: skip
    places = [source.index(step) for step in order]
    assert places == sorted(places)
    assert "transport.implements" in inspect.getsource(WorkController.should_use_eventloop)
    assert any(
        "install_worker_components" in repr(receiver) for receiver in signals.worker_init.receivers
    )


def test_boot_steps_are_where_we_hook_in() -> None:
    assert Consumer.Blueprint.default_steps.index("celery.worker.consumer.tasks:Tasks")
    assert inspect.signature(Heart.__init__).parameters["heartbeat_interval"].default is None
    assert Tasks in bootsteps.RequeuePrefetched.requires
    assert Control.__name__ == "Control"
    for name in ("should_stop", "should_terminate", "active_requests", "all_total_count"):
        assert hasattr(state, name)
    assert "is not False" in inspect.getsource(state.maybe_shutdown)
    assert "update_qos()" in inspect.getsource(loops.asynloop)


def test_what_cannot_be_decoded_is_given_to_the_consumers_own_method() -> None:
    """Set before the step of tasks starts; see :class:`bootsteps.RequeuePrefetched`."""
    assert "on_decode_error=c.on_decode_error" in inspect.getsource(Tasks.start)


def test_a_request_is_asked_whether_it_is_revoked_just_before_it_runs() -> None:
    """A message that was lost meanwhile is not run; see :class:`request.Request`."""
    source = inspect.getsource(celery_request.create_request_cls)
    assert source.index("if self.revoked():") < source.index("apply_async(")
    assert "except TaskRevokedError" in inspect.getsource(WorkController._process_task)


def test_the_pool_is_ours_to_extend() -> None:
    """prefork.py awaits acceptances before Celery forgets what was not accepted."""
    assert "self.flush = getattr(P, 'flush', None)" in inspect.getsource(prefork.TaskPool.on_start)
    assert "self.pool.flush()" in inspect.getsource(Consumer.on_close)
    flush = inspect.getsource(asynpool.AsynPool.flush)
    assert "if not job._accepted:" in flush
    assert "self.outbound_buffer.clear()" in flush
    assert "job._write_to = proc" in inspect.getsource(asynpool.AsynPool)
    order = ["worker_init.send", "get_implementation(self.pool_cls)"]
    source = inspect.getsource(WorkController.setup_instance)
    assert source.index(order[0]) < source.index(order[1])


def test_a_request_is_ours_to_extend() -> None:
    assert celery_request.Request.__module__ + ":Request" == bootsteps.CELERY_REQUEST
    for name in ("on_timeout", "on_failure"):
        ours = inspect.signature(getattr(Request, name)).parameters
        theirs = inspect.signature(getattr(celery_request.Request, name)).parameters
        assert list(ours) == list(theirs)
    assert "mark_as_failure" in inspect.getsource(celery_request.Request.on_timeout)
    assert isinstance(celery_request.Request.message, property)


def test_flower_is_ours_to_extend() -> None:
    paths: set[Any] = {
        handler.regex.pattern.rstrip("$") if hasattr(handler, "regex") else handler[0]
        for handler in urls.handlers
    }
    assert {"/broker", "/api/queues/length"} <= paths
    assert callable(BaseHandler.get_broker)
    for name in ("apply_env_options", "apply_options", "extract_settings", "setup_logging"):
        assert callable(getattr(command, name))
    assert {"options", "capp"} <= inspect.signature(Flower.__init__).parameters.keys()
