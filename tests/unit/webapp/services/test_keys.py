import pytest

from webapp.services.keys import make, match


def test_api_key_matches_token_only() -> None:
    key, token = make("tests", ["recognize"], now=0.0)
    other, _ = make("others", ["recognize"], now=0.0)
    assert match([other, key], token) == key
    for wrong in (
        "",
        "fr",
        token[:-1],
        token + "0",
        token.upper(),
        f"fr_{key.id}_",
        "xx" + token[2:],
    ):
        assert match([other, key], wrong) is None
    assert match([], token) is None


def test_api_key_secret_is_not_stored() -> None:
    key, token = make("tests", ["recognize"], now=0.0)
    secret = token.split("_")[2]
    assert secret not in repr(key)
    assert len(secret) == 64


@pytest.mark.parametrize("scopes", [[], ["everything"], ["recognize", "root"]])
def test_unknown_scope_is_refused(scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="scopes are"):
        make("tests", scopes, now=0.0)
