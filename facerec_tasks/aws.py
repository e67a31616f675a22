"""The one place of this package that imports boto3: clients with deadlines, errors translated."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)
from botocore.loaders import create_loader

from facerec_tasks.errors import Forbidden, NotFound, PreconditionFailed, Unavailable
from facerec_tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

CONNECT_TIMEOUT = 3
READ_TIMEOUT = 25
"""Seconds; above SQS's longest long poll of 20 s."""
MAX_ATTEMPTS = 3
MORE_ATTEMPTS = 8
SHORTER_READ_TIMEOUTS = {"ec2": 12, "s3": 8, "logs": 3}
"""Seconds between two bytes. Nothing of S3 is slow by design, and a person waits for a photo that
is being stored. The controller has its own pauses and tokens: one attempt at EC2, sooner over than
its lease. Who ships logs tries again for ever, and must end in time."""

_NOT_FOUND = {
    "404", "NoSuchKey", "NoSuchVersion", "NoSuchBucket", "NotFound",
    "ResourceNotFoundException", "ParameterNotFound",
    "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist",
    "InvalidInstanceID.NotFound", "InvalidAMIID.NotFound",
}  # fmt: skip
_PRECONDITION = {"304", "412", "PreconditionFailed", "ConditionalRequestConflict", "409"}
_FORBIDDEN = {
    "403", "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException",
    "InvalidClientTokenId", "UnauthorizedOperation", "RequestExpired", "InvalidAccessKeyId",
    "SignatureDoesNotMatch", "AuthorizationError", "AuthorizationErrorException",
}  # fmt: skip
_THROTTLED = {
    "SlowDown", "Throttling", "ThrottlingException", "RequestThrottled", "RequestLimitExceeded",
    "TooManyRequestsException", "RequestTimeout", "InternalError", "ServiceUnavailable",
    "503", "500",
}  # fmt: skip

_LOADER = create_loader(os.environ.get("AWS_DATA_PATH"))
"""Reads botocore's descriptions of services once for all clients, and for all children of a worker:
the list of endpoints alone takes 7 MB in each session that reads its own."""

clients: dict[tuple[str, str | None, str, int], Any] = {}
"""Of this process, by service, endpoint, region and attempts."""
_lock = threading.Lock()
_more_attempts = False


@contextmanager
def more_attempts() -> Iterator[None]:
    """Of a person's command, which makes no pauses of its own: calls are tried again for longer
    when AWS throttles them, EC2's too."""
    global _more_attempts
    before, _more_attempts = _more_attempts, True
    try:
        yield
    finally:
        _more_attempts = before


def _attempts(service: str) -> int:
    if _more_attempts:
        return MORE_ATTEMPTS
    return 1 if service == "ec2" else MAX_ATTEMPTS


def _after_fork() -> None:
    """A child must never use a connection or a lock inherited over fork."""
    global _lock
    _lock = threading.Lock()
    clients.clear()


os.register_at_fork(after_in_child=_after_fork)


@overload
def client(settings: Settings, service: Literal["s3"]) -> "S3Client": ...
@overload
def client(settings: Settings, service: Literal["sqs"]) -> "SQSClient": ...
@overload
def client(settings: Settings, service: Literal["sns"]) -> "SNSClient": ...
@overload
def client(settings: Settings, service: Literal["ec2"]) -> "EC2Client": ...
@overload
def client(settings: Settings, service: Literal["iam"]) -> "IAMClient": ...
@overload
def client(settings: Settings, service: Literal["sts"]) -> "STSClient": ...
@overload
def client(settings: Settings, service: Literal["logs"]) -> "CloudWatchLogsClient": ...
@overload
def client(settings: Settings, service: Literal["cloudwatch"]) -> "CloudWatchClient": ...
@overload
def client(settings: Settings, service: Literal["cloudformation"]) -> "CloudFormationClient": ...
@overload
def client(settings: Settings, service: Literal["service-quotas"]) -> "ServiceQuotasClient": ...
@overload
def client(settings: Settings, service: Literal["ssm", "kms", "autoscaling", "elbv2"]) -> Any: ...
@overload
def client(settings: Settings, service: Literal["lambda"]) -> "LambdaClient": ...
def client(settings: Settings, service: str) -> Any:
    """The process's client of a service: thread-safe, made once, made anew after a fork."""
    elsewhere = settings.lambda_endpoint_url if service == "lambda" else None
    endpoint_url = elsewhere or settings.endpoint_url
    attempts = _attempts(service)
    key = (service, endpoint_url, settings.region, attempts)
    with _lock:
        if key not in clients:
            clients[key] = _session().client(
                service,  # type: ignore[call-overload]
                region_name=settings.region,
                endpoint_url=endpoint_url,
                config=Config(
                    connect_timeout=CONNECT_TIMEOUT,
                    read_timeout=SHORTER_READ_TIMEOUTS.get(service, READ_TIMEOUT),
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    max_pool_connections=50,
                    # Both for presigned URLs: by default botocore signs them with version 2, which
                    # buckets made since 2020 refuse, and names an endpoint that redirects.
                    signature_version="s3v4" if service == "s3" else None,
                    s3={"addressing_style": "path" if endpoint_url else "virtual"},
                ),
            )
        return clients[key]


def _session() -> boto3.session.Session:
    own = botocore.session.get_session()
    own.register_component("data_loader", _LOADER)
    return boto3.session.Session(botocore_session=own)


@contextmanager
def translated() -> Iterator[None]:
    """Turns the AWS errors we have a plan for into :mod:`facerec_tasks.errors`; others pass."""
    try:
        yield
    except ClientError as error:
        raise _translation(error) from error
    except NoCredentialsError as error:
        raise Forbidden(f"{error}, and no `facerec up` runs in this folder") from error
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise Unavailable(str(error)) from error


def _translation(error: ClientError) -> Exception:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _NOT_FOUND:
        return NotFound(str(error))
    if code in _PRECONDITION:
        return PreconditionFailed(str(error))
    if code in _THROTTLED or status >= 500 or status == 429:
        return Unavailable(str(error))
    if code in _FORBIDDEN:
        return Forbidden(str(error))
    return error
