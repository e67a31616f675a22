"""The one place of this package that imports boto3: one client per service and process."""

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

CONNECT_TIMEOUT = 3
READ_TIMEOUT = 25
"""Seconds; above the longest long poll of SQS, 20 s.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
"""
MAX_ATTEMPTS = 3
POOL_CONNECTIONS = 50

CallFailed = (ClientError, BotoCoreError)
"""What a call may raise: AWS answered with an error, or no answer came. For ``except`` clauses."""

_clients: dict[tuple[str, str | None, str | None, int], Any] = {}
_lock = threading.Lock()
_hooks: list[Callable[[Any], None]] = []


def _after_fork() -> None:
    """A child must never use a connection or a lock inherited over fork."""
    global _lock
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=_after_fork)


@overload
def make_client(
    service: Literal["sqs"],
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    attempts: int = MAX_ATTEMPTS,
) -> "SQSClient": ...
@overload
def make_client(
    service: Literal["sns"], *, region: str | None = None, endpoint_url: str | None = None
) -> "SNSClient": ...
def make_client(
    service: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    attempts: int = MAX_ATTEMPTS,
) -> Any:
    """The process's client of ``sqs`` or ``sns``: thread-safe, made once, made anew after a fork.

    Call it at each use instead of keeping what it returns: after a fork a kept client is the
    parent's. Without a region or an endpoint the SDK's own settings decide (``AWS_DEFAULT_REGION``,
    ``AWS_ENDPOINT_URL``). Every call has deadlines and up to three attempts; who has a loop of his
    own asks for one attempt, and hears of a failure after one deadline.
    """
    key = (service, region, endpoint_url, attempts)
    with _lock:
        if key not in _clients:
            _clients[key] = boto3.session.Session().client(
                service,  # type: ignore[call-overload]
                region_name=region,
                endpoint_url=endpoint_url,
                config=Config(
                    connect_timeout=CONNECT_TIMEOUT,
                    read_timeout=READ_TIMEOUT,
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    max_pool_connections=POOL_CONNECTIONS,
                ),
            )
            for hook in _hooks:
                hook(_clients[key])
        return _clients[key]


def on_client_created(hook: Callable[[Any], None]) -> None:
    """Calls ``hook`` with every boto3 client of this library, those that exist already included.

    For metrics and tracing: a client's ``meta.events`` reports each call.
    """
    with _lock:
        _hooks.append(hook)
        clients = tuple(_clients.values())
    for client in clients:
        hook(client)


def error_code(error: Exception) -> str:
    """AWS's code of a failed call, such as ``RequestThrottled``; empty when no answer came."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def is_no_such_queue(error: Exception) -> bool:
    """True when the call failed because the queue does not exist (any spelling AWS has used)."""
    code = error_code(error)
    return code.endswith(("NonExistentQueue", "QueueDoesNotExist"))


def may_pass(error: ClientError) -> bool:
    """Whether the same call may succeed later: AWS failed, was asked too often, or did not accept
    credentials, which may be renewed."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error_code(error)
    return status >= 500 or status in (403, 429) or "Thrott" in code or "Recently" in code


def is_refusal(error: Exception) -> bool:
    """True when AWS refused the call for what is in it; of a batch, one entry may be at fault."""
    return isinstance(error, ClientError) and not (may_pass(error) or is_no_such_queue(error))
