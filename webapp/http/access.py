"""API keys: whether a request needs one, and whether its key allows the route."""

import ipaddress
import logging
import math
import time
from collections.abc import Callable

from facerec_tasks.settings import Settings
from webapp.http.errors import Problem
from webapp.http.rate_limits import RateLimiter
from webapp.services.keys import ApiKey, ApiKeys

log = logging.getLogger(__name__)

GUESS_COST = 20
"""Requests a wrong key counts for: guessing is slow from the first try on."""
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Access:
    """``FACEREC_ACCESS`` applied to one request after another. Safe to use from many threads."""

    def __init__(self, settings: Settings, keys: ApiKeys) -> None:
        self._keys = keys
        self._mode = "open" if settings.open and settings.access == "auto" else settings.access
        self.is_public = not is_loopback(settings.host) or bool(settings.trusted_proxies)
        """Whether clients beyond this machine are expected."""
        self._rates = RateLimiter(settings.rate_limit, settings.rate_burst)

    def warn(self) -> None:
        """Logs once, at the start, that every client that reaches this process may use it."""
        if self._mode == "open" and self.is_public:
            log.warning("FACEREC_ACCESS=open: answering without API keys beyond this machine")

    @property
    def needs_key(self) -> bool:
        """Whether data is for holders of keys alone. May read S3; raises an ``AwsError``."""
        if self._mode == "auto":
            return self.is_public or self._keys.exist()
        return self._mode == "keys"

    def prefetch(self, token: str | None, pair: str | None) -> Callable[[], None] | None:
        """What reads the keys, in a thread that may block and raising an ``AwsError``; None when
        :meth:`admit` would not read them from S3 now."""
        is_stale = self._mode != "open" and self._keys.is_stale(token, pair)
        return self._keys.refresh if is_stale else None

    def admit(
        self, scope: str | None, token: str | None, address: str, now: float
    ) -> ApiKey | None:
        """The key a request came with, if any; raises :class:`Problem` 401, 403 or 429.

        ``scope`` is ``None`` when the route needs no key. ``now`` in seconds of a monotonic clock.
        """
        if scope is None or not self.needs_key:
            if self.is_public:
                self._limit(address, now)
            return None
        key = self._keys.find(token) if token else None
        if token and key is None:
            self._limit(address, now, GUESS_COST)
            raise Problem("key-unknown", "no such API key", _CHALLENGE)
        self._limit(key.id if key else address, now)
        if key is None:
            raise Problem("key-missing", "send an API key: Authorization: Bearer …", _CHALLENGE)
        check_scope(key, scope)
        return key

    def refuse_unknown(self, *, known: bool, address: str) -> None:
        """Of a request with an AWS signature by none of our keys: raises :class:`Problem` where a
        key is needed. ``known`` is whether it names any."""
        if self.needs_key:
            self._limit(address, time.monotonic(), GUESS_COST if known else 1)
            raise Problem("key-unknown" if known else "key-missing", "no such access key")

    def limit_signed(self, key: ApiKey) -> None:
        """Counts a request that names a key; raises :class:`Problem` when there were too many."""
        self._limit(key.id, time.monotonic())

    def penalize(self, address: str) -> None:
        """Counts a wrong key or signature; raises :class:`Problem` when there were too many."""
        if self.needs_key:
            self._limit(address, time.monotonic(), GUESS_COST)

    def _limit(self, client: str, now: float, cost: int = 1) -> None:
        wait = self._rates.take(client, now, cost)
        if wait > 0:
            seconds = str(math.ceil(wait))
            raise Problem("rate-limited", "too many requests", {"Retry-After": seconds})


def check_scope(key: ApiKey, scope: str) -> None:
    """Raises :class:`Problem` for a key that is not good for it."""
    if scope not in key.scopes:
        raise Problem("scope-missing", f"this key is not good for {scope}")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
