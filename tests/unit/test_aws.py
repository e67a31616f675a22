import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
)

from facerec_tasks.aws import client, more_attempts, translated
from facerec_tasks.errors import Forbidden, NotFound, PreconditionFailed, Unavailable
from facerec_tasks.settings import Settings


def client_error(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Operation"
    )


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (client_error("SlowDown", 503), Unavailable),
        (client_error("RequestLimitExceeded", 503), Unavailable),
        (client_error("SomethingNew", 500), Unavailable),
        (client_error("SomethingNew", 429), Unavailable),
        (EndpointConnectionError(endpoint_url="http://x"), Unavailable),
        (ConnectTimeoutError(endpoint_url="http://x"), Unavailable),
        (ReadTimeoutError(endpoint_url="http://x"), Unavailable),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), Unavailable),
        (client_error("NoSuchKey", 404), NotFound),
        (client_error("AWS.SimpleQueueService.NonExistentQueue"), NotFound),
        (client_error("PreconditionFailed", 412), PreconditionFailed),
        (client_error("304", 304), PreconditionFailed),
        (client_error("ExpiredToken", 403), Forbidden),
        (NoCredentialsError(), Forbidden),
    ],
)
def test_errors_we_have_a_plan_for_are_translated(error: Exception, meaning: type) -> None:
    with pytest.raises(meaning) as caught, translated():
        raise error
    assert caught.value.__cause__ is error


def test_an_error_without_a_plan_passes_as_it_is() -> None:
    with pytest.raises(ClientError), translated():
        raise client_error("MalformedPolicyDocument")


def test_throttling_is_retried_for_longer_in_a_persons_command() -> None:
    settings = Settings(endpoint_url="http://127.0.0.1:9")

    def attempts() -> int:
        return int(client(settings, "ec2").meta.config.retries["total_max_attempts"])

    assert attempts() == 1, "the controller has pauses of its own"
    with more_attempts():
        assert attempts() == 8
    assert attempts() == 1
