"""``facerec queue`` on an emulated AWS."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from celery_sqs import queues
from cli.commands.queue import queue
from facerec_tasks.aws import client
from facerec_tasks.schemas import Answer
from facerec_tasks.settings import Settings
from facerec_tasks.storage.attempts import Attempts
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import StateBucket

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture
def sqs(resources: Settings) -> "SQSClient":
    return client(resources, "sqs")


@pytest.fixture
def web(resources: Settings) -> Iterator[None]:
    """Something that answers where the web tier reports its requests in flight."""
    port = urlsplit(resources.in_flight_urls[0]).port
    assert port
    server = HTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(queue, arguments, input=answer)


def send(sqs: "SQSClient", name: str, *bodies: str) -> None:
    for body in bodies:
        sqs.send_message(QueueUrl=queues.queue_url(sqs, name), MessageBody=body)


def mark_seen(sqs: "SQSClient", settings: Settings, seconds_ago: int) -> None:
    tags = {queues.OWNER_TAG: "web-1", queues.SEEN_TAG: str(int(time.time()) - seconds_ago)}
    sqs.tag_queue(QueueUrl=queues.queue_url(sqs, settings.response_queue), Tags=tags)


def test_queue_status_lists_backlog_and_consumers(sqs: "SQSClient", resources: Settings) -> None:
    send(sqs, resources.request_queue, "a", "b")
    send(sqs, resources.dead_letter_queue, "c")
    mark_seen(sqs, resources, 60)
    told = json.loads(run("status", "--json").output)
    assert told[resources.request_queue] == {"visible": 2, "in_flight": 0, "delayed": 0}
    assert told[resources.dead_letter_queue]["visible"] == 1
    response = told["response_queues"][resources.response_queue]
    assert response["owner"] == "web-1"
    assert 55 < response["seconds_since_seen"] < 120
    text = run("status").output
    assert f"{resources.request_queue}: 2 waiting" in text
    assert "web-1 seen 1 min ago" in text


def test_a_missing_queue_is_said_plainly(settings: Settings) -> None:
    for command in ("status", "redrive", "purge"):
        result = run(command)
        assert result.exit_code == 1
        assert settings.id in result.output
        assert "Traceback" not in result.output


def test_a_redriven_task_begins_anew(sqs: "SQSClient", resources: Settings) -> None:
    storage = StateBucket(resources)
    results, attempts = Results(storage), Attempts(storage)
    for task_id, outcome in (("poison", "poison"), ("answered", "named")):
        results.create(Answer(task_id, "p.jpg", "v", outcome, name="Paul"))  # type: ignore[arg-type]
        attempts.add(task_id, [], receive=1)
        body = {"v": 1, "t": "facerec_tasks.tasks.recognize", "i": task_id, "a": ["p.jpg"]}
        send(sqs, resources.dead_letter_queue, json.dumps(body))
    send(sqs, resources.dead_letter_queue, "no task at all")
    told = json.loads(run("redrive", "--json").output)
    assert told == {"moved": 3, "refused": 0}
    assert queues.counts(sqs, resources.request_queue).visible == 3
    assert results.get("poison") is None
    assert attempts.starts("poison") == []
    assert results.get("answered") is not None
    assert attempts.starts("answered")


def test_purge_asks_and_deletes(sqs: "SQSClient", resources: Settings) -> None:
    send(sqs, resources.request_queue, "a", "b")
    assert run("purge", answer="n\n").exit_code == 1
    assert queues.counts(sqs, resources.request_queue).visible == 2
    told = run("purge", "--yes", "--json")
    assert json.loads(told.output) == {"queue": resources.request_queue, "about": 2}
    assert queues.counts(sqs, resources.request_queue).visible == 0


def test_purge_refuses_while_the_web_tier_answers(
    sqs: "SQSClient", resources: Settings, web: None
) -> None:
    send(sqs, resources.request_queue, "a")
    result = run("purge", "--yes", "--force")
    assert (result.exit_code, "is up: stop it first" in result.output) == (1, True)
    assert queues.counts(sqs, resources.request_queue).visible == 1


def test_purge_refuses_while_a_web_tier_elsewhere_may_receive(
    sqs: "SQSClient", resources: Settings
) -> None:
    send(sqs, resources.request_queue, "a")
    mark_seen(sqs, resources, 600)
    result = run("purge", "--yes")
    assert (result.exit_code, "web-1 may still receive" in result.output) == (1, True)
    assert queues.counts(sqs, resources.request_queue).visible == 1
    assert run("purge", "--yes", "--force").exit_code == 0
    assert queues.counts(sqs, resources.request_queue).visible == 0


def test_dead_letters_can_be_purged_at_any_time(
    sqs: "SQSClient", resources: Settings, web: None
) -> None:
    send(sqs, resources.dead_letter_queue, "c")
    assert run("purge", "--dead-letters", "--yes").exit_code == 0
    assert queues.counts(sqs, resources.dead_letter_queue).total == 0
