"""The clients of the SQS layer: one per process, none inherited over a fork."""

import subprocess
import sys
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ClientError
from celery_sqs._aws.client import Account, error_code, is_no_such_queue, is_refusal, make_client

FORKED = """
import os
from celery_sqs._aws.client import Account, make_client
account = Account("us-east-1")
parents = make_client("sqs", account)
child = os.fork()
if child == 0:
    os._exit(0 if make_client("sqs", account) is not parents else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_has_one_client_per_service_and_endpoint() -> None:
    here = Account("us-east-1")
    first = make_client("sqs", here)
    assert make_client("sqs", Account("us-east-1")) is first
    assert make_client("sns", here) is not first
    assert make_client("sqs", Account("us-east-1", "http://127.0.0.1:9")) is not first


def test_a_forked_child_makes_its_own_client() -> None:
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=60).returncode == 0


def test_every_call_has_deadlines_beyond_the_longest_poll() -> None:
    config = make_client("sqs", Account("us-east-1")).meta.config
    assert config.connect_timeout < 20 < config.read_timeout
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}


def test_a_user_agent_is_made_once_and_not_for_each_call() -> None:
    def show(request: AWSPreparedRequest, **_: Any) -> None:
        raise LookupError(request.headers["User-Agent"])

    client = make_client("sqs", Account("us-east-1", "http://127.0.0.1:9", "key", "secret"))
    client.meta.events.register("before-send", show)
    with pytest.raises(LookupError, match="Botocore/") as shown:
        client.list_queues()
    assert "ua/2.1" not in str(shown.value)  # of what the SDK makes for each call


@pytest.mark.parametrize(
    ("code", "gone"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", True),
        ("QueueDoesNotExist", True),
        ("com.amazonaws.sqs#QueueDoesNotExist", True),
        ("RequestThrottled", False),
    ],
)
def test_a_missing_queue_is_known_by_any_of_its_names(code: str, gone: bool) -> None:
    error = ClientError({"Error": {"Code": code, "Message": ""}}, "ReceiveMessage")
    assert error_code(error) == code
    assert is_no_such_queue(error) is gone


@pytest.mark.parametrize("code", ["RequestThrottled", "com.amazonaws.sqs#OverLimit"])
def test_limits_that_pass_are_no_refusal(code: str) -> None:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    assert not is_refusal(ClientError(answer, "ReceiveMessage"))


def test_an_error_without_an_answer_has_no_code() -> None:
    assert error_code(ConnectionError()) == ""
