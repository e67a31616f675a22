"""Authentication: verifies the signature of a request with our keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from flask import g, request

from webapp.http.access import Access, check_scope
from webapp.http.errors import Problem
from webapp.http.request_head import RequestHead
from webapp.rekognition import signature
from webapp.rekognition.signature import BadSignature, Signature
from webapp.services.keys import ApiKey, ApiKeys


class SignedAccess:
    """Decides with :class:`Access`. Where no key is needed, any credentials will do, but a
    signature with one of our keys is checked all the same."""

    def __init__(self, access: Access, keys: ApiKeys) -> None:
        self._access = access
        self._keys = keys

    def expect(self, head: RequestHead, scope: str) -> None:
        """Decides, before the body has come, all but the signature's value, which covers the body.
        Raises :class:`Problem`."""
        signed, key = self._named(head.headers.get("authorization", ""))
        if signed is None or key is None:
            return self._access.refuse_unknown(known=signed is not None, address=head.client)
        with self._penalty(head.client):
            signature.verify_head(signed, head.headers, datetime.now(UTC))
        return check_scope(key, scope)

    def authorize(self, scope: str, body: bytes) -> ApiKey | None:
        """The key this request is signed with; raises :class:`Problem`."""
        signed, key = self._named(request.headers.get("Authorization", ""))
        address = request.remote_addr or ""
        if signed is None or key is None:
            self._access.refuse_unknown(known=signed is not None, address=address)
            return None
        self._access.limit_signed(key)
        check_scope(key, scope)
        headers = {name.lower(): value for name, value in request.headers.items()}
        now = datetime.now(UTC)
        with self._penalty(address):
            signature.verify(signed, key.secret, request.method, request.url, headers, body, now)
        g.client = key.id
        return key

    def _named(self, authorization: str) -> tuple[Signature | None, ApiKey | None]:
        signed = signature.parse(authorization)
        return signed, self._keys.find_pair(signed.access_key_id) if signed else None

    @contextmanager
    def _penalty(self, address: str) -> Iterator[None]:
        """Raises :class:`Problem` for a bad signature, which counts as many requests."""
        try:
            yield
        except BadSignature as error:
            self._access.penalize(address)
            raise Problem("bad-signature", str(error)) from error
