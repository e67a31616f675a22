"""Who may ask: the signature of a request, against our keys."""

from datetime import UTC, datetime

from flask import g, request

from webapp.http.access import Access
from webapp.http.errors import Problem
from webapp.http.request_head import RequestHead
from webapp.rekognition import signature
from webapp.rekognition.signature import BadSignature
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
        signed = signature.parse(head.headers.get("authorization", ""))
        named = head.access_key_id if signed else None
        key = self._keys.find_pair(named) if named else None
        if signed is None or key is None:
            return self._access.refuse_unknown(known=signed is not None, address=head.client)
        try:
            signature.verify_head(signed, head.headers, datetime.now(UTC))
        except BadSignature as error:
            self._access.penalize(head.client)
            raise Problem("bad-signature", str(error)) from error
        if scope not in key.scopes:
            raise Problem("scope-missing", f"this key is not good for {scope}")
        return None

    def authorize(self, scope: str, body: bytes) -> ApiKey | None:
        """The key this request is signed with; raises :class:`Problem`."""
        signed = signature.parse(request.headers.get("Authorization", ""))
        key = self._keys.find_pair(signed.access_key_id) if signed else None
        admitted = self._access.admit_signed(scope, key, known=signed is not None)
        if signed and key:
            try:
                self._verify(signed, key, body)
            except BadSignature as error:
                self._access.penalize(request.remote_addr or "")
                raise Problem("bad-signature", str(error)) from error
        g.client = key.id if key else ""
        return admitted

    @staticmethod
    def _verify(signed: signature.Signature, key: ApiKey, body: bytes) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        now = datetime.now(UTC)
        signature.verify(signed, key.secret, request.method, request.url, headers, body, now)
