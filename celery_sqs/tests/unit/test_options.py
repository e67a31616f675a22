"""Options of broker and backend are checked at the start, all faults at once."""

from typing import Any

import pytest
from celery_sqs.errors import InvalidOptions
from celery_sqs.options import Options


def test_what_kombu_knows_is_legal() -> None:
    options = Options.read(
        {
            "polling_interval": 1, "region": "eu-west-1", "endpoint_url": None, "queue_tags": {},
            "queue_name_prefix": "p-", "max_retries": 3,
        }
    )  # fmt: skip
    assert options == Options(region="eu-west-1")


def test_all_faults_of_both_settings_are_named_together() -> None:
    with pytest.raises(
        InvalidOptions,
        match=r"backoff.*wait_time.*visibility_timeout.*visibilty_timeout is unknown.*queu is unkn",
    ):
        Options.read(
            {"backoff": (9, 2), "wait_time_seconds": 21, "visibility_timeout": 2,
             "visibilty_timeout": 300},
            {"queu": "x"},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("visibility_timeout", "5"), ("visibility_timeout", True), ("max_message_size", 1.5),
        ("wait_time_seconds", 0), ("heartbeat_interval", "often"), ("watchdog", -1),
        ("region", 7), ("namespace", "a b"), ("namespace", ""), ("backoff", [1]),
        ("queue_order_strategy", "lifo"), ("predefined_queues", {"q": "url"}),
        ("queue_tags", {"a": 1}), ("sts_token_timeout", 5),
    ],
)  # fmt: skip
def test_an_ill_typed_option_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidOptions, match=name):
        Options.read({name: value})


def test_contradictions_are_named() -> None:
    with pytest.raises(InvalidOptions, match=r"max_extension.*watchdog.*response_queue is missing"):
        Options.read({"max_extension": 20, "watchdog": 30}, {})


def test_the_backend_shares_what_the_broker_says() -> None:
    broker = {"region": "eu-west-1", "endpoint_url": "http://e", "namespace": "n"}
    options = Options.read(broker, {"response_queue": "r"})
    assert (options.region, options.endpoint_url, options.namespace) == tuple(broker.values())
    assert Options.read(broker, {"response_queue": "r", "region": "us-west-2"}).region == (
        "us-west-2"
    )


def test_predefined_queues_have_accounts_of_their_own() -> None:
    queue = {
        "url": "http://q", "region": "eu-west-1", "access_key_id": "A", "secret_access_key": "s",
    }  # fmt: skip
    options = Options.read({"region": "us-east-1", "predefined_queues": {"q": queue}})
    ((name, url, account),) = options.queue_accounts
    assert (name, url) == ("q", "http://q")
    assert (account.region, account.access_key_id, account.secret_access_key) == (
        "eu-west-1", "A", "s",
    )  # fmt: skip
    assert options.account.region == "us-east-1"


def test_a_secret_is_not_printed() -> None:
    options = Options.read({"access_key_id": "A", "secret_access_key": "hush"})
    assert "hush" not in repr(options)
    assert "hush" not in repr(options.account)


@pytest.mark.parametrize(
    ("receives", "delay"), [(0, 2), (1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (10**6, 60)]
)
def test_requeue_delays_double_to_a_limit(receives: int, delay: int) -> None:
    assert Options().requeue_delay(receives) == delay
