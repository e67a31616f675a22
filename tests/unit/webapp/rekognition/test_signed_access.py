"""Requests with an AWS signature, judged by their heads: before a body is read."""

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from werkzeug.routing import Map, Rule

from facerec_tasks.settings import Settings
from webapp.http.access import Access
from webapp.http.errors import Problem
from webapp.http.gate import Gate, Route
from webapp.http.request_head import of_request
from webapp.rekognition.access import SignedAccess
from webapp.services.keys import ApiKey, ApiKeys, make_aws

KEY = make_aws("sdk", ["recognize"], now=0.0)
SCOPES = {"RekognitionService.DetectFaces": "recognize"}


class OneKey(ApiKeys):
    def __init__(self) -> None:
        pass

    def find_pair(self, id_: str) -> ApiKey | None:
        return KEY if id_ == KEY.id else None

    def exist(self) -> bool:
        return True


@pytest.fixture(scope="module")
def gate() -> Gate:
    settings = Settings(access="keys")
    access = Access(settings, OneKey())
    signed = SignedAccess(access, OneKey())
    urls = Map([Rule("/", endpoint="upload", methods=["POST"])])
    return Gate(
        settings, access, urls, {"upload": Route("recognize", 10_000_000)},
        expect_signed=lambda head: signed.expect(
            head, SCOPES.get(head.headers["x-amz-target"], "people:write")
        ),
    )  # fmt: skip


def admit(
    gate: Gate, operation: str = "DetectFaces", pair: str = KEY.id, service: str = "rekognition",
    **changed: str,
) -> None:  # fmt: skip
    request = AWSRequest(
        "POST", "http://localhost/", data=b"never sent",
        headers={"Host": "localhost", "X-Amz-Target": f"RekognitionService.{operation}"},
    )  # fmt: skip
    SigV4Auth(Credentials(pair, KEY.secret), service, "us-east-1").add_auth(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    gate.admit(of_request("POST", "/", headers, "10.0.0.1"))


def test_signed_request_is_admitted_by_its_head(gate: Gate) -> None:
    admit(gate)


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        ({"operation": "DeleteCollection"}, "scope-missing", "AccessDeniedException"),
        ({"pair": "FRAKNOBODY"}, "key-unknown", "UnrecognizedClientException"),
        ({"authorization": "none"}, "key-missing", "MissingAuthenticationTokenException"),
        ({"service": "s3"}, "bad-signature", "InvalidSignatureException"),
        ({"x_amz_date": "20200101T000000Z"}, "bad-signature", "InvalidSignatureException"),
    ],
)
def test_signed_access_refuses_by_the_head_before_the_body(
    gate: Gate, given: dict[str, str], code: str, told: str
) -> None:
    with pytest.raises(Problem) as refused:
        admit(gate, **given)
    assert refused.value.code == code
    assert refused.value.foreign is not None
    assert told.encode() in refused.value.foreign[1]
