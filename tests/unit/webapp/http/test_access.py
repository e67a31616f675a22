import logging

import pytest

from facerec_tasks.settings import Settings
from facerec_tasks.storage.state_bucket import StateBucket
from webapp.http.access import Access
from webapp.http.errors import Problem
from webapp.services.keys import ApiKey, ApiKeys, make

STRANGER = "8.8.8.8"
NEIGHBOR = "10.0.0.7"


class StoredKeys(ApiKeys):
    """ApiKeys that were read a moment ago."""

    def __init__(self, *known: ApiKey) -> None:
        super().__init__(StateBucket(Settings()))
        self._known, self._read_at = known, float("inf")


READER, READER_TOKEN = make("reads", ["people:read"], now=0.0)
SENDER, SENDER_TOKEN = make("sends", ["recognize"], now=0.0)


def access(host: str = "0.0.0.0", **settings: object) -> Access:
    return Access(Settings(host=host, **settings), StoredKeys(READER, SENDER))  # type: ignore[arg-type]


def refusal(guard: Access, scope: str | None, token: str | None, address: str = STRANGER) -> str:
    with pytest.raises(Problem) as refused:
        guard.admit(scope, token, address, now=0.0)
    return refused.value.code


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    guard = Access(Settings(host=host, rate_burst=1), StoredKeys())
    for _ in range(3):
        assert guard.admit("recognize", None, "127.0.0.1", now=0.0) is None


def test_loopback_needs_a_key_once_one_exists() -> None:
    guard = access("127.0.0.1")
    assert refusal(guard, "recognize", None, "127.0.0.1") == "key-missing"
    assert guard.admit("recognize", SENDER_TOKEN, "127.0.0.1", now=0.0) == SENDER


def test_access_keys_demands_a_key_on_loopback_without_any_stored() -> None:
    guard = Access(Settings(access="keys"), StoredKeys())
    assert refusal(guard, "recognize", None, "127.0.0.1") == "key-missing"


def test_trusted_proxies_demand_a_key_on_loopback() -> None:
    guard = Access(Settings(trusted_proxies=("127.0.0.0/8",)), StoredKeys())  # type: ignore[arg-type]
    assert refusal(guard, "recognize", None, STRANGER) == "key-missing"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_key_with_scope_is_required_beyond_loopback(host: str) -> None:
    guard = access(host)
    assert refusal(guard, "recognize", None) == "key-missing"
    assert refusal(guard, "recognize", "fr_0_0") == "key-unknown"
    assert refusal(guard, "recognize", READER_TOKEN) == "scope-missing"
    assert guard.admit("recognize", SENDER_TOKEN, STRANGER, now=0.0) == SENDER


def test_public_route_needs_no_key() -> None:
    assert access().admit(None, None, STRANGER, now=0.0) is None


@pytest.mark.parametrize("settings", [{"open": True}, {"access": "open"}])
def test_open_access_warns_once(
    settings: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    guard = access(**settings)
    with caplog.at_level(logging.WARNING):
        guard.warn()
    assert "FACEREC_ACCESS=open" in caplog.text
    assert guard.admit("recognize", None, STRANGER, now=0.0) is None


def test_operator_routes_need_a_key_whatever_the_address() -> None:
    guard = access()
    for address in (NEIGHBOR, "::1", "fd00::7", f"::ffff:{NEIGHBOR}", STRANGER):
        assert refusal(guard, "operate", None, address) == "key-missing"


def test_rate_limit_sets_retry_after() -> None:
    guard = access(rate_limit=0.5, rate_burst=2)
    for _ in range(2):
        guard.admit("recognize", SENDER_TOKEN, STRANGER, now=0.0)
    with pytest.raises(Problem) as refused:
        guard.admit("recognize", SENDER_TOKEN, STRANGER, now=0.0)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "2"})
    assert guard.admit("recognize", SENDER_TOKEN, STRANGER, now=2.0) == SENDER


def test_rate_limit_slows_key_guessing() -> None:
    guard = access(rate_limit=1.0, rate_burst=40)
    assert [refusal(guard, "recognize", "fr_0_0") for _ in range(3)] == [
        "key-unknown",
        "key-unknown",
        "rate-limited",
    ]
