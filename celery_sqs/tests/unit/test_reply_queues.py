"""A thread that asks has one reply queue, whatever Celery calls it."""

import json
import threading
from typing import Any

from celery_sqs._broker.reply_queues import ReplyQueuePool


def command(ticket: str = "t") -> dict[str, Any]:
    body = {"method": "ping", "ticket": ticket, "reply_to": {"routing_key": "celerys"}}
    return {"content-type": "application/json", "body": json.dumps(body)}


def asked_by(reply_queue_pool: ReplyQueuePool) -> str:
    message = command()
    reply_queue_pool.set_reply_to(message)
    return str(json.loads(message["body"])["reply_to"]["routing_key"])


def test_the_command_names_the_queue_its_thread_reads() -> None:
    reply_queue_pool = ReplyQueuePool([])
    assert (
        reply_queue_pool.queue("any.reply.celery.pidbox")
        == f"{asked_by(reply_queue_pool)}.reply.celery.pidbox"
    )
    assert reply_queue_pool.queue("other.reply.celery.pidbox") == reply_queue_pool.queue(
        "any.reply.celery.pidbox"
    )


def test_threads_have_their_own_and_leave_them_to_others() -> None:
    reply_queue_pool, names, both = ReplyQueuePool([]), list[str](), threading.Barrier(2)

    def ask() -> None:
        names.append(asked_by(reply_queue_pool))
        both.wait(5)

    for _ in range(3):
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
    assert [len(set(names[n : n + 2])) for n in (0, 2, 4)] == [2, 2, 2]
    assert len(set(names)) == 2


def test_only_replies_to_the_last_question_count() -> None:
    reply_queue_pool = ReplyQueuePool([])
    reply_queue_pool.set_reply_to(command("first"))
    reply_queue_pool.set_reply_to(command("second"))
    assert reply_queue_pool.matches_ticket({"headers": {"ticket": "second"}})
    assert not reply_queue_pool.matches_ticket({"headers": {"ticket": "first"}})
    assert not reply_queue_pool.matches_ticket({"body": "nothing"})


def test_a_lost_queue_gets_another_name() -> None:
    reply_queue_pool = ReplyQueuePool([])
    before = asked_by(reply_queue_pool)
    reply_queue_pool.rotate()
    assert asked_by(reply_queue_pool) != before


def test_commands_without_replies_and_of_other_formats_stay_as_they_are() -> None:
    reply_queue_pool = ReplyQueuePool([])
    for message in (
        {"content-type": "application/json", "body": json.dumps({"method": "shutdown"})},
        {"content-type": "application/json", "body": json.dumps(["odd"])},
        {"content-type": "application/x-yaml", "body": "method: ping"},
    ):
        given = dict(message)
        reply_queue_pool.set_reply_to(message)
        assert message == given
