"""API keys: made once, shown once, stored as digests in the state bucket, reread now and then.

A key is 256 random bits, so one round of SHA-256 protects it; slow hashes are for words of people.
"""

import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter

from facerec_tasks.errors import AwsError, PreconditionFailed
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket, Stored

log = logging.getLogger(__name__)

SCOPES = ("recognize", "history:read", "people:read", "people:write", "embed", "operate")
"""Photos and results; past answers and photos of everybody; list people; change people; embeddings;
metrics and requests in flight."""
DEPRECATED_SCOPES = {"recognise": "recognize"}
"""Old spelling of a scope, accepted in stored keys until 0.3.0."""
AWS_MARK = "FRAK"
"""Begins the id of an access key pair for AWS's clients."""
_AWS_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
MARK = "fr"
"""Begins every key, so that scanners of repositories and logs can know one."""
REFRESH = 30.0
"""Seconds until a removed key is refused everywhere."""
UNKNOWN_REFRESH = 1.0
"""Seconds between two looks for a key that is not known: a new one is good at once."""
EDIT_ATTEMPTS = 10


def _current_names(scopes: Iterable[str]) -> tuple[str, ...]:
    return tuple(DEPRECATED_SCOPES.get(scope, scope) for scope in scopes)


@dataclass(frozen=True)
class ApiKey:
    """A key as it is stored."""

    id: str
    digest: str
    """SHA-256 of the secret, hexadecimal."""
    label: str
    scopes: Annotated[tuple[str, ...], AfterValidator(_current_names)]
    created_at: float
    """Unix seconds."""
    collections: tuple[str, ...] = ()
    """Collections it is good for; empty: all."""
    secret: str = ""
    """Of a pair for AWS's clients: who checks an AWS signature must know the secret itself."""

    def reaches(self, collection: str) -> bool:
        """Whether it is good for a collection."""
        return not self.collections or collection in self.collections


def make(label: str, scopes: Iterable[str], now: float) -> tuple[ApiKey, str]:
    """A new key, and the words its owner keeps: ``fr_<id>_<secret>``.

    Raises :class:`ValueError` for a scope there is not.
    """
    chosen = tuple(sorted(set(_current_names(scopes))))
    unknown = set(chosen) - set(SCOPES)
    if unknown or not chosen:
        raise ValueError(f"scopes are {', '.join(SCOPES)}; not {', '.join(sorted(unknown))}")
    id_, secret = secrets.token_hex(4), secrets.token_hex(32)
    return ApiKey(id_, _digest(secret), label, chosen, now), f"{MARK}_{id_}_{secret}"


def match(keys: Iterable[ApiKey], token: str) -> ApiKey | None:
    """The key these words belong to; the time it takes tells nothing of the secret."""
    mark, _, rest = token.partition("_")
    id_, _, secret = rest.partition("_")
    digest = _digest(secret)
    found = next((key for key in keys if key.id == id_), None)
    same = hmac.compare_digest(digest, found.digest if found else _digest(""))
    return found if found and same and mark == MARK else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def make_aws(label: str, scopes: Iterable[str], now: float) -> ApiKey:
    """A new access key pair: its ``id`` and ``secret`` are what AWS's clients are configured with.

    Raises :class:`ValueError` for a scope there is not.
    """
    key, _ = make(label, scopes, now)
    id_ = AWS_MARK + "".join(secrets.choice(_AWS_ALPHABET) for _ in range(16))
    secret = secrets.token_urlsafe(30)
    return replace(key, id=id_, digest=_digest(secret), secret=secret)


class ApiKeys:
    """The keys of the system. Errors come as :class:`facerec_tasks.errors.AwsError`."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state
        self._known: tuple[ApiKey, ...] | None = None
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def find(self, token: str) -> ApiKey | None:
        """The key these words belong to; raises when S3 is away and none was ever read."""
        return match(self._current(REFRESH), token) or match(self._current(UNKNOWN_REFRESH), token)

    def find_pair(self, id_: str) -> ApiKey | None:
        """The access key pair of that id; whoever asks has yet to check a signature with it."""
        ages = (REFRESH, UNKNOWN_REFRESH)
        keys = (key for age in ages for key in self._current(age))
        return next((key for key in keys if key.id == id_ and key.secret), None)

    def exist(self) -> bool:
        """Whether there is any key; raises when S3 is away and none was ever read."""
        return bool(self._current(REFRESH))

    def is_stale(self, token: str | None, pair: str | None = None) -> bool:
        """Whether :meth:`find` or :meth:`exist` would read S3 now."""
        age = time.monotonic() - self._read_at
        if self._known is None or age > REFRESH:
            return True
        if age <= UNKNOWN_REFRESH:
            return False
        unknown_pair = pair is not None and not any(key.id == pair for key in self._known)
        return unknown_pair or (token is not None and match(self._known, token) is None)

    def refresh(self) -> None:
        """Reads what is stale; raises when S3 is away and none was ever read."""
        self._current(UNKNOWN_REFRESH)

    def all(self) -> tuple[ApiKey, ...]:
        """The keys as they are now."""
        return _decoded(self._state.find(layout.KEYS_CURRENT))

    def add(self, key: ApiKey) -> None:
        self._edit(lambda keys: (*keys, key))

    def remove(self, id_: str) -> bool:
        """Whether there was such a key."""
        before = self.all()
        self._edit(lambda keys: tuple(key for key in keys if key.id != id_))
        return any(key.id == id_ for key in before)

    def _current(self, max_age: float) -> tuple[ApiKey, ...]:
        with self._lock:
            if self._known is None or time.monotonic() - self._read_at > max_age:
                self._refresh()
            assert self._known is not None
            return self._known

    def _refresh(self) -> None:
        """Reads the keys again; while S3 is away the last known ones hold."""
        try:
            stored = self._state.find(layout.KEYS_CURRENT)
        except AwsError as error:
            if self._known is None:
                raise
            log.warning("keeping the keys as they were: %s", error)
        else:
            self._known = _decoded(stored)
        self._read_at = time.monotonic()

    def _edit(self, change: Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]]) -> None:
        """Writes on the condition that nobody else did meanwhile; else anew."""
        for attempt in range(1, EDIT_ATTEMPTS + 1):
            stored = self._state.find(layout.KEYS_CURRENT)
            data = json.dumps([_encoded(key) for key in change(_decoded(stored))]).encode()
            try:
                self._state.put_over(layout.KEYS_CURRENT, data, stored)
                return
            except PreconditionFailed:
                if attempt == EDIT_ATTEMPTS:
                    raise


def _encoded(key: ApiKey) -> dict[str, Any]:
    """Older versions read the keys too: what they do not know is left out where it is empty."""
    found = asdict(key)
    return {k: v for k, v in found.items() if v or k not in ("collections", "secret")}


def _decoded(stored: Stored | None) -> tuple[ApiKey, ...]:
    return _keys.validate_json(stored.data) if stored else ()


_keys = TypeAdapter(tuple[ApiKey, ...])
