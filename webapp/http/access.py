"""Who may ask what, and how often. Nothing is asked of clients on this machine's own loopback."""

import ipaddress
import logging
import math
import time

from flask import request

from facerec_tasks.settings import Settings
from webapp.http.errors import Problem
from webapp.http.rate_limits import RateLimiter
from webapp.services.keys import ApiKey, ApiKeys

log = logging.getLogger(__name__)

GUESS_COST = 20
"""Requests a wrong key counts for: guessing is slow from the first try on."""


class Access:
    """Decides for one process, by what it is bound to."""

    def __init__(self, settings: Settings, keys: ApiKeys) -> None:
        self._keys = keys
        self._guarded = not _is_loopback(settings.host)
        self._open = settings.open
        self._rates = RateLimiter(settings.rate_limit, settings.rate_burst)

    def warn(self) -> None:
        """Says once, at the start, when anybody who reaches this process may use it."""
        if self._guarded and self._open:
            log.warning("FACEREC_OPEN: answering without API keys beyond this machine")

    def admit(
        self, scope: str | None, token: str | None, address: str, now: float
    ) -> ApiKey | None:
        """The key a request came with, if any; raises :class:`Problem` 401, 403 or 429.

        ``scope`` none means that no key is needed. ``now`` in seconds of a monotonic clock.
        """
        if not self._guarded:
            return None
        key = self._known(token, address, now) if token else None
        self._limit(key.id if key else address, now)
        if scope is None or self._is_trusted(scope, address):
            return key
        if key is None and self._open:
            return None
        if key is None:
            raise Problem("key-missing", "send an API key: Authorization: Bearer …", _CHALLENGE)
        if scope not in key.scopes:
            raise Problem("scope-missing", f"this key is not good for {scope}")
        return key

    @property
    def needs_key(self) -> bool:
        """Whether data is for holders of keys alone."""
        return self._guarded and not self._open

    def admit_signed(self, scope: str, key: ApiKey | None, *, known: bool) -> ApiKey | None:
        """As :meth:`admit`, of a request with an AWS signature that is still to be verified.

        ``key`` is the one it names, ``known`` whether it names any.
        """
        address, now = request.remote_addr or "", time.monotonic()
        if key is None and not self.needs_key:
            return None
        if key is None:
            self.penalize(address)
            raise Problem("key-unknown" if known else "key-missing", "no such access key")
        if self._guarded:
            self._limit(key.id, now)
        if scope not in key.scopes:
            raise Problem("scope-missing", f"this key is not good for {scope}")
        return key

    def penalize(self, address: str) -> None:
        """Counts a wrong key or signature; raises :class:`Problem` when there were too many."""
        if self._guarded:
            self._limit(address, time.monotonic(), GUESS_COST)

    def _known(self, token: str, address: str, now: float) -> ApiKey:
        key = self._keys.find(token)
        if key is None:
            self._limit(address, now, GUESS_COST)
            raise Problem("key-unknown", "no such API key", _CHALLENGE)
        return key

    def _limit(self, client: str, now: float, cost: int = 1) -> None:
        wait = self._rates.take(client, now, cost)
        if wait > 0:
            seconds = str(math.ceil(wait))
            raise Problem("rate-limited", "too many requests", {"Retry-After": seconds})

    def _is_trusted(self, scope: str, address: str) -> bool:
        """Controller and Prometheus come from our own network and need no key for figures."""
        if scope != "operate":
            return False
        found = ipaddress.ip_address(address)
        return (getattr(found, "ipv4_mapped", None) or found).is_private


_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
