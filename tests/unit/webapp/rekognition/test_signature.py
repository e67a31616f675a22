"""Signatures that botocore made are good; nothing else is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from webapp.rekognition.signature import BadSignature, Signature, parse, verify

URL, BODY = "http://127.0.0.1:8000/", b'{"CollectionId":"staff"}'
SECRET = "secret of the pair"


def signed(body: bytes = BODY, service: str = "rekognition") -> tuple[Signature, dict[str, str]]:
    headers = {
        "Host": "127.0.0.1:8000",
        "X-Amz-Target": "RekognitionService.DescribeCollection",
        "Content-Type": "application/x-amz-json-1.1",
    }
    request = AWSRequest("POST", URL, data=body, headers=headers)
    SigV4Auth(Credentials("FRAKKEY", SECRET), service, "eu-west-1").add_auth(request)
    found = {name.lower(): value for name, value in request.headers.items()}
    signature = parse(found["authorization"])
    assert signature is not None
    assert signature.access_key_id == "FRAKKEY"
    return signature, found


def now() -> datetime:
    return datetime.now(UTC)


def test_signature_of_the_owner_is_valid() -> None:
    signature, headers = signed()
    verify(signature, SECRET, "POST", URL, headers, BODY, now())
    verify(signature, SECRET, "POST", URL, headers, BODY, now() + timedelta(seconds=280))
    extra = headers | {"x-forwarded-for": "10.0.0.1"}  # added on the way
    verify(signature, SECRET, "POST", URL, extra, BODY, now())


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "another"},
        {"method": "PUT"},
        {"url": URL + "?x=1"},
        {"body": b"{}"},
        {"headers": {"x-amz-target": "RekognitionService.DeleteCollection"}},
        {"headers": {"host": "elsewhere"}},
        {"headers": {"x-amz-date": "20200101T000000Z"}},
        {"headers": {"x-amz-date": "now"}},
        {"headers": {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}},
        {"late": 310},
        {"late": -310},
    ],
)
def test_what_was_changed_is_refused(change: dict[str, object]) -> None:
    signature, headers = signed()
    given: dict[str, object] = {
        "secret": SECRET,
        "method": "POST",
        "url": URL,
        "headers": headers,
        "body": BODY,
    }
    extra = change.get("headers")
    late = change.get("late", 0)
    assert isinstance(late, int)
    changed = given | {k: v for k, v in change.items() if k != "late"}
    changed["now"] = now() + timedelta(seconds=late)
    if isinstance(extra, dict):
        changed["headers"] = headers | extra
    with pytest.raises(BadSignature):
        verify(signature, **changed)  # type: ignore[arg-type]


def test_signature_must_cover_the_operation() -> None:
    signature, headers = signed()
    for without in ("host", "x-amz-target", "x-amz-date"):
        fewer = tuple(name for name in signature.signed_headers if name != without)
        with pytest.raises(BadSignature):
            verify(
                replace(signature, signed_headers=fewer),
                SECRET,
                "POST",
                URL,
                headers,
                BODY,
                now(),
            )
    other, headers = signed(service="s3")
    with pytest.raises(BadSignature):
        verify(other, SECRET, "POST", URL, headers, BODY, now())


@pytest.mark.parametrize(
    "header", ["", "Bearer fr_1_2", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a/b"]
)
def test_another_scheme_is_no_signature(header: str) -> None:
    assert parse(header) is None
