import pytest

from webapp.services.keys import make, match


def test_a_key_is_known_by_its_words_and_by_nothing_else() -> None:
    key, token = make("tests", ["recognise"], now=0.0)
    other, _ = make("others", ["recognise"], now=0.0)
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


def test_the_secret_is_not_stored() -> None:
    key, token = make("tests", ["recognise"], now=0.0)
    secret = token.split("_")[2]
    assert secret not in repr(key)
    assert len(secret) == 64


@pytest.mark.parametrize("scopes", [[], ["everything"], ["recognise", "root"]])
def test_a_scope_there_is_not_is_refused(scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="scopes are"):
        make("tests", scopes, now=0.0)
