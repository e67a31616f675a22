"""Whose queues are used, what is created, and what a missing permission costs."""

import json
import os
import subprocess
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from celery import Celery
from celery_sqs._aws import queues
from celery_sqs.errors import BrokerUnavailable, InvalidOptions
from kombu import Connection
from kombu.exceptions import OperationalError

TRANSPORT = "celery_sqs:Transport"


def transport_of(url: str, **options: Any) -> Any:
    return Connection(url, transport=TRANSPORT, transport_options=options).transport


def keys_of(client: Any) -> tuple[str, str]:
    """Access key and region that a call is signed with."""
    signed = parse_qs(urlsplit(client.generate_presigned_url("list_queues")).query)
    key, _, region, *_ = signed["X-Amz-Credential"][0].split("/")
    return key, region


def test_keys_and_endpoint_of_the_broker_url_are_used(names: Any) -> None:
    host = names.endpoint_url.removeprefix("http://")
    transport = transport_of(f"sqs://AKIAURL:secret@{host}//", region="eu-west-1")
    assert keys_of(transport.session.sqs()) == ("AKIAURL", "eu-west-1")
    assert transport.session.sqs().meta.endpoint_url == names.endpoint_url


def test_predefined_queues_have_their_own_keys_and_region(names: Any) -> None:
    url = f"{names.endpoint_url}/123456789012/q"
    queue = {"url": url, "access_key_id": "AKIAQ", "secret_access_key": "s", "region": "eu-west-3"}
    transport = transport_of("sqs://", predefined_queues={"q": queue}, region="us-east-1")
    assert keys_of(transport.session.sqs(url)) == ("AKIAQ", "eu-west-3")
    assert keys_of(transport.session.sqs())[1] == "us-east-1"
    assert transport.directory.find("q") == url
    assert transport.directory.find("other") is None


def test_an_event_queue_keeps_its_name_after_its_connection_closed(names: Any) -> None:
    """Another thread may still ask for it, and the policy of its role allows this name only."""
    transport = transport_of(
        "sqs://", region="us-east-1", endpoint_url=names.endpoint_url, namespace=names.id
    )
    name = transport.directory.name("celeryev.1")
    assert name == f"{names.id}-celeryev-1"
    transport.directory.url("celeryev.1", exchange=lambda: None, auto_delete=True)
    assert transport.directory.name("celeryev.1") == name
    transport.directory.delete("celeryev.1")
    assert transport.directory.name("celeryev.1") == name
    assert transport.directory.find("celeryev.1") is None


def test_a_role_is_assumed(names: Any) -> None:
    transport = transport_of(
        "sqs://", sts_role_arn="arn:aws:iam::123456789012:role/r", region="us-east-1",
        endpoint_url=names.endpoint_url,
    )  # fmt: skip
    assert keys_of(transport.session.sqs())[0].startswith(("ASIA", "LSIA"))  # LocalStack's


def test_connecting_fails_when_aws_cannot_be_reached() -> None:
    connection = Connection("sqs://localhost:9", transport=TRANSPORT)
    with pytest.raises(BrokerUnavailable):
        connection.connect()
    with pytest.raises(OperationalError):
        connection.ensure_connection(max_retries=1, interval_start=0)


def test_two_applications_without_a_namespace_are_refused(names: Any) -> None:
    apps = [Celery(f"{names.id}-{n}", set_as_current=False) for n in "ab"]
    fallback = Celery("default", fixups=[], set_as_current=False)  # as Celery makes one itself
    for app in (fallback, *apps):
        app.conf.update(broker_url="sqs://", broker_transport=TRANSPORT)
    assert apps[0].connection().transport.options.namespace == f"{names.id}-a"
    assert apps[1].conf.broker_transport == TRANSPORT
    with pytest.raises(InvalidOptions, match="several applications"):
        apps[1].connection().transport  # noqa: B018
    for app in (fallback, *apps):
        app.close()
        app.conf.broker_transport = "memory"


def test_a_created_queue_has_a_dead_letter_queue(sample: Any) -> None:
    name = f"{sample.queue}-new"
    sample.send("work", "x", queue=name)
    url = queues.queue_url(sample.sqs, name)
    found = sample.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert json.loads(found["RedrivePolicy"])["deadLetterTargetArn"].endswith(f"{name}-dlq")
    assert found["MessageRetentionPeriod"] == str(queues.MAX_RETENTION)
    sample.sqs.delete_queue(QueueUrl=url)
    worker = sample.start("-Q", name)
    sample.send("work", "again", queue=name)
    sample.eventually(lambda: sample.notes("end", "again"), within=20)
    policy = sample.sqs.get_queue_attributes(
        QueueUrl=queues.queue_url(sample.sqs, name), AttributeNames=["RedrivePolicy"]
    )
    assert "RedrivePolicy" in policy["Attributes"], worker.output


def test_fifo_order_group_and_dead_letter_queue(sample: Any) -> None:
    name = f"{sample.queue}.fifo"
    for n in range(3):
        sample.send("work", str(n), queue=name, MessageGroupId="g")
    sample.start("-Q", name)
    sample.eventually(lambda: len(sample.notes("end")) == 3, within=20)
    assert [label for _, label, *_ in sample.notes("begin")] == ["0", "1", "2"]
    sample.send("dead_letter", "poison", queue=name, MessageGroupId="g")
    dead = f"{sample.queue}-dlq.fifo"
    sample.eventually(lambda: sample.counts(dead).visible == 1, within=20)


@pytest.mark.skipif(
    "CELERY_SQS_TEST_ENDPOINT" in os.environ,
    reason="LocalStack 4.14 gives out the next message of a group while the first is hidden",
)
def test_fifo_order_is_kept_when_a_task_is_requeued(sample: Any) -> None:
    name = f"{sample.queue}.fifo"
    sample.send("hand_back", "first", 2, queue=name, MessageGroupId="g")
    for n in range(3):
        sample.send("work", str(n), queue=name, MessageGroupId="g")
    sample.start("-c2", "-Q", name, SAMPLE_OPTIONS='{"backoff": [2, 4]}')
    sample.eventually(lambda: len(sample.notes("end")) == 3, within=30)
    order = [line[1] for line in sample.notes() if line[0] in ("try", "begin")]
    assert order == ["first", "first", "0", "1", "2"]


def test_another_applications_control_queue_is_refused(sample: Any) -> None:
    worker = sample.start(name="same@host")
    other = sample.spawn(
        [sys.executable, "-m", "celery", "-A", "sample_app", "worker", "-n", "same@host"],
        log="other",
        environment={"SAMPLE_NAME": "another"},
    )
    sample.eventually(lambda: other.exit_code is not None, within=30)
    assert "belongs to the application" in (sample.folder / "other.log").read_text()
    assert worker.child.exit_code is None


def test_purge_reports_what_there_was(sample: Any) -> None:
    for n in range(5):
        sample.send("work", str(n))
    assert sample.app.control.purge() == 5
    for number in range(3):
        sample.send("work", number)
    assert sample.app.control.purge() == 3  # AWS purges a queue once a minute
    assert sample.empty()


def test_without_permission_for_sns_tasks_run(sample: Any, proxy: Any) -> None:
    sns = ("CreateTopic", "Subscribe", "Publish", "PublishBatch", "ListSubscriptionsByTopic")
    proxy.rule = lambda action: "forbidden" if action in sns else None
    worker = sample.start(AWS_ENDPOINT_URL=proxy.url)
    sample.send("work", "x")
    sample.eventually(lambda: sample.notes("end", "x"))
    assert "no events and no remote control" in worker.output
    assert "Connection to broker lost" not in worker.output


def test_expired_credentials_are_read_again(sample: Any, proxy: Any, tmp_path: Any) -> None:
    keys = tmp_path / "credentials"
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = s\n"
    keys.write_text(text.format("OLD"))
    proxy.rule = lambda action: None
    environment = {
        "AWS_ENDPOINT_URL": proxy.url, "AWS_SHARED_CREDENTIALS_FILE": str(keys),
        "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
        "SAMPLE_OPTIONS": '{"wait_time_seconds": 1}',  # an open poll is not refused
    }  # fmt: skip
    worker = sample.start(**environment)
    sample.send("work", "before")
    sample.eventually(lambda: sample.notes("end", "before"), within=30)  # by the old key
    keys.write_text(text.format("NEW"))
    proxy.refused_keys = {"OLD"}
    sample.eventually(lambda: "ExpiredToken" in worker.output, within=20)
    sample.send("work", "x")
    sample.eventually(lambda: sample.notes("end", "x"), within=30)


@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
def test_pools_without_an_event_loop_are_refused(sample: Any, pool: str) -> None:
    code = (
        "from sample_app import app; from celery.concurrency import ALIASES\n"
        f"import sys, types; from celery_sqs._worker import bootsteps\n"
        f"pool = types.new_class('TaskPool'); pool.__module__ = 'celery.concurrency.{pool}'\n"
        "worker = types.SimpleNamespace(pool_cls=pool, app=app)\n"
        "bootsteps.install(worker)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f"does not support the {pool} pool" in done.stderr
