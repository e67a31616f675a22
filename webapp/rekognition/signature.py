"""AWS Signature Version 4 of a request, computed by botocore itself and compared.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SERVICE = "rekognition"
MAX_SKEW = 300.0
"""Seconds a request's time may differ from ours: a recorded one is worthless after that."""
REQUIRED = frozenset({"host", "x-amz-date", "x-amz-target"})
"""Headers that must be signed: they say what is done, where and when."""
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]{1,128})/(\d{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})"
    r"/aws4_request, ?SignedHeaders=([a-z0-9;_-]{1,1000}), ?Signature=([0-9a-f]{64})"
)


class BadSignature(Exception):
    """Raised for a request that the owner of the key did not sign just now as it is; says why."""


@dataclass(frozen=True)
class Signature:
    """What the ``Authorization`` header of a request says."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str


def parse(authorization: str) -> Signature | None:
    """None for another scheme, or what is no such header."""
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        return None
    key, date, region, service, signed, value = found.groups()
    return Signature(key, date, region, service, tuple(signed.split(";")), value)


def verify(
    signature: Signature,
    secret: str,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> None:
    """Raises :class:`BadSignature`. ``headers`` by lowercase name; ``now`` is aware."""
    verify_head(signature, headers, now)
    stamp = headers["x-amz-date"]
    content = hashlib.sha256(body).hexdigest()
    if headers.get("x-amz-content-sha256", content) != content:
        raise BadSignature("x-amz-content-sha256 is not of this body")
    signed = {name: headers[name] for name in signature.signed_headers}
    request = AWSRequest(method=method, url=url, data=body, headers=signed)
    request.context["timestamp"] = stamp
    auth = SigV4Auth(Credentials(signature.access_key_id, secret), SERVICE, signature.region)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    if not hmac.compare_digest(auth.signature(text, request), signature.value):
        raise BadSignature(
            "The request signature we calculated does not match the signature you provided. Check "
            "your AWS Secret Access Key and signing method."
        )


def verify_head(signature: Signature, headers: Mapping[str, str], now: datetime) -> None:
    """What can be said before the body has come; raises :class:`BadSignature`."""
    if signature.service != SERVICE:
        raise BadSignature(f"Credential should be scoped to correct service: '{SERVICE}'.")
    missing = (REQUIRED | set(signature.signed_headers)) - set(headers)
    if missing or not set(signature.signed_headers) >= REQUIRED:
        raise BadSignature("host, x-amz-date and x-amz-target must be sent and signed")
    _check_time(headers["x-amz-date"], signature.date, now)


def _check_time(stamp: str, date: str, now: datetime) -> None:
    try:
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise BadSignature("x-amz-date is no time") from None
    if not stamp.startswith(date):
        raise BadSignature("the credential is scoped to another day")
    if abs((now - sent).total_seconds()) > MAX_SKEW:
        raise BadSignature(f"Signature expired: {stamp} is not within 5 minutes of this clock")
