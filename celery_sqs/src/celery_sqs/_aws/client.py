"""The one place of this package that imports boto3: one client per account, service and process."""

import os
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials, create_assume_role_refresher
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import create_loader
from botocore.parsers import ResponseParserError

from celery_sqs import _runtime

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

CONNECT_TIMEOUT = 3
READ_TIMEOUT = 25
"""Seconds; above the longest long poll of SQS, 20 s.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
"""
MAX_ATTEMPTS = 3
POOL_CONNECTIONS = 50
RENEWAL_SECONDS = 1.0
"""Least age of a client that is made anew because AWS refuses its credentials."""

CallFailed = (ClientError, BotoCoreError, ResponseParserError)
"""What a call may raise: AWS answered with an error, or nothing intelligible came."""

EXPIRED = frozenset(
    ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
     "InvalidAccessKeyId", "InvalidSecurity", "RequestExpired"]
)  # fmt: skip
"""AWS's codes for credentials that may have been renewed in the meantime."""


_LOADER = create_loader(os.environ.get("AWS_DATA_PATH"))
"""Reads botocore's descriptions of services once for all clients and for forked children: the list
of endpoints alone takes 7 MB in each session that reads its own."""


@dataclass(frozen=True)
class Account:
    """Whose queues are used, and where. None leaves it to the SDK's own settings."""

    region: str | None = None
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    role_arn: str | None = None
    """Role to assume with these credentials, or with the SDK's own."""
    role_seconds: int = 900
    """How long the credentials of the role last; they are renewed in time."""


_hooks: list[Callable[[Any], None]] = []


@overload
def make_client(
    service: Literal["sqs"], account: Account = ..., *, attempts: int = ...
) -> "SQSClient": ...
@overload
def make_client(service: Literal["sns"], account: Account = ...) -> "SNSClient": ...
@overload
def make_client(service: Literal["s3"], account: Account = ...) -> "S3Client": ...
def make_client(service: str, account: Account = Account(), *, attempts: int = MAX_ATTEMPTS) -> Any:
    """The process's client of a service: thread-safe, made once, made anew after a fork.

    Call it at each use instead of keeping what it returns: after a fork a kept client is the
    parent's, and after AWS has refused its credentials another one is made, which reads them
    again. Every call has deadlines and up to three attempts; a caller with a retry loop of its own
    asks for one attempt and learns of a failure after one deadline.
    """
    key = (service, account, attempts)
    return _runtime.shared(key, partial(_create, *key))


def on_client_created(hook: Callable[[Any], None]) -> None:
    """Calls ``hook`` with every boto3 client of this library, those that exist already included.

    For metrics and tracing: a client's ``meta.events`` reports each call. A forked child calls the
    hook with clients of its own.
    """
    _hooks.append(hook)
    for client in _runtime.all_of(BaseClient):
        hook(client)


def _create(service: str, account: Account, attempts: int) -> Any:
    client = _session(account).client(
        service,  # type: ignore[call-overload]
        region_name=account.region,
        endpoint_url=account.endpoint_url,
        config=Config(
            # Else the SDK makes one for each call: a quarter of a call's processor time.
            user_agent=_botocore_session().user_agent(),
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=POOL_CONNECTIONS,
        ),
    )
    key = (service, account, attempts)
    client.meta.events.register(
        f"after-call.{service}", partial(_renew_refused, key=key, made=time.monotonic())
    )
    for hook in _hooks:
        hook(client)
    return client


def _session(account: Account) -> boto3.session.Session:
    """A session of its own: boto3's default one is not thread-safe, and keeps old credentials."""
    own = boto3.session.Session(
        botocore_session=_botocore_session(),
        aws_access_key_id=account.access_key_id,
        aws_secret_access_key=account.secret_access_key,
        region_name=account.region,
    )
    if account.role_arn is None:
        return own
    sts = own.client("sts", endpoint_url=account.endpoint_url)
    assumed = _botocore_session()
    assumed._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]
        refresh_using=create_assume_role_refresher(
            sts,
            {
                "RoleArn": account.role_arn,
                "RoleSessionName": "celery-sqs",
                "DurationSeconds": account.role_seconds,
            },
        ),
        method="sts-assume-role",
    )
    return boto3.session.Session(botocore_session=assumed, region_name=account.region)


def _botocore_session() -> botocore.session.Session:
    found = botocore.session.get_session()
    found.register_component("data_loader", _LOADER)
    return found


def _renew_refused(parsed: Any, key: Hashable, made: float, **_: Any) -> None:
    """Forgets a client whose credentials AWS refused: a file may hold newer ones by now."""
    code = parsed.get("Error", {}).get("Code", "") if isinstance(parsed, dict) else ""
    if code.rpartition("#")[2] in EXPIRED and time.monotonic() - made > RENEWAL_SECONDS:
        _runtime.discard(key)


def error_code(error: Exception) -> str:
    """AWS's code of a failed call, such as ``RequestThrottled``; empty when no answer came."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def is_forbidden(error: Exception) -> bool:
    """Whether AWS refused a call for lack of a permission."""
    code = error_code(error)
    return "AuthorizationError" in code or "AccessDenied" in code


def is_no_such_queue(error: Exception) -> bool:
    """True when the call failed because the queue does not exist (any spelling AWS has used)."""
    code = error_code(error)
    return code.endswith(("NonExistentQueue", "QueueDoesNotExist"))


def may_pass(error: ClientError) -> bool:
    """Whether the same call may succeed later: AWS failed, was asked too often, has too much in
    flight, or did not accept credentials, which may be renewed."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error_code(error)
    passing = any(word in code for word in ("Thrott", "Recently", "OverLimit"))
    return status >= 500 or status in (403, 429) or passing


def is_refusal(error: Exception) -> bool:
    """True when AWS refused the call for what is in it; of a batch, one entry may be at fault."""
    return isinstance(error, ClientError) and not (may_pass(error) or is_no_such_queue(error))
