"""Numbers with their nouns."""

import pytest

from facerec_tasks.wording import counted, counted_is, listed


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "no photo is"),
        (1, "1 photo is"),
        (2, "2 photos are"),
        (0.6, "1 photo is"),
        (1.4, "1 photo is"),
    ],
)
def test_a_noun_agrees_with_its_number(number: float, words: str) -> None:
    assert counted_is(number, "photo") == words


def test_an_irregular_plural_is_named() -> None:
    assert (counted(1, "person", "people"), counted(3, "person", "people")) == (
        "1 person",
        "3 people",
    )


def test_words_are_listed_with_and() -> None:
    assert [listed(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
