"""The model of distances against what was measured on LFW, and what must hold of any."""

import json

import numpy as np
import pytest

from facerec_tasks.recognition.embedding.description import (
    BUILT_IN,
    RESNET128,
    DescriptionError,
    EmbedderDescription,
)
from facerec_tasks.recognition.embedding.score_model import (
    ScoreModel,
    decision_score,
    lead_needed,
)

MODEL, MARGIN = RESNET128.scores, RESNET128.margin

LFW_FMR = [
    (0.40, 4.6e-6), (0.42, 1.2e-5), (0.44, 3.2e-5), (0.46, 8.0e-5), (0.48, 1.7e-4), (0.50, 3.4e-4),
    (0.52, 6.7e-4), (0.54, 1.3e-3), (0.56, 2.5e-3), (0.58, 4.5e-3), (0.60, 8.3e-3),
]  # fmt: skip
"""Distance and FMR: LFW, 9.16 million pairs of 4,281 people (docs/decisions/threshold.md)."""

LFW_IDENTIFICATION = [
    (1558, 0.46, 0.006, 0.659), (1558, 0.48, 0.010, 0.709), (1558, 0.50, 0.021, 0.751),
    (1558, 0.52, 0.029, 0.785), (400, 0.50, 0.006, 0.840), (400, 0.52, 0.014, 0.860),
]  # fmt: skip
"""People enrolled from one photo, threshold, FPIR of 1,500 strangers, given their name."""


@pytest.mark.parametrize(("distance", "fmr"), LFW_FMR)
def test_false_match_rate_is_that_of_lfw_within_a_quarter(distance: float, fmr: float) -> None:
    assert MODEL.fmr(distance) == pytest.approx(fmr, rel=0.25)


@pytest.mark.parametrize(("people", "threshold", "fpir", "right"), LFW_IDENTIFICATION)
def test_identification_rates_are_near_those_of_lfw(
    people: int, threshold: float, fpir: float, right: float
) -> None:
    expected = MODEL.identification(people, MARGIN)
    assert fpir * 0.9 <= expected.fpir_at(threshold) <= fpir + 0.009
    assert 1 - expected.fnir_at(threshold) == pytest.approx(right, abs=0.05)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("people", [1, 2, 40, 1680, 1_000_000])
def test_rates_rise_with_the_threshold_and_certainty_falls(name: str, people: int) -> None:
    described = BUILT_IN[name]
    expected = described.scores.identification(people, described.margin)
    steps = slice(0, len(expected.thresholds) * 3 // 4)  # beyond, everybody has a rival
    assert (np.diff(expected.fpir[steps]) >= -1e-12).all()
    assert (np.diff(expected.right[steps]) >= -1e-12).all()
    assert (np.diff(expected.enrolled) <= 0).all()
    assert expected.enrolled_at(0) > 0.9
    assert expected.enrolled_at(10) < 0.1


def test_more_people_mean_more_false_names() -> None:
    rates = [MODEL.identification(n, MARGIN).fpir_at(0.45) for n in (1, 10, 100, 1000, 10000)]
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(MODEL.fmr(0.45), rel=0.02)  # one person: no margin, no search


def test_the_score_is_the_lowest_threshold_that_names() -> None:
    random = np.random.default_rng(0)
    first = random.uniform(0.2, 0.6, 500)
    second = first + random.uniform(0, 0.2, 500)
    scores = decision_score(first, second, MARGIN)
    for threshold in (0.3, 0.45, 0.52):
        named = (first <= threshold) & (second - first >= lead_needed(first, threshold, MARGIN))
        assert np.array_equal(scores <= threshold, named)


def test_score_of_a_single_person_is_the_distance() -> None:
    scores = decision_score(np.array([0.4, np.inf]), np.array([np.inf, np.inf]), MARGIN)
    assert scores.tolist() == [0.4, np.inf]


@pytest.mark.parametrize(
    "change",
    [
        {"impostor_deviation": 0.0}, {"genuine_mean": 2.0}, {"dispersion": -1.0}, {"trials": -1},
        {"impostor_mean": float("inf")}, {"genuine_deviation": float("nan")},
    ],
)  # fmt: skip
def test_impossible_models_are_refused(change: dict[str, float]) -> None:
    fields = {
        "impostor_mean": 0.8, "impostor_deviation": 0.1, "genuine_mean": 0.4,
        "genuine_deviation": 0.1, "dispersion": 10.0, "trials": 100,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"."):
        ScoreModel(**(fields | change))  # type: ignore[arg-type]


@pytest.mark.parametrize("described", BUILT_IN.values(), ids=list(BUILT_IN))
def test_a_description_survives_json(described: EmbedderDescription) -> None:
    assert EmbedderDescription.from_json(json.dumps(described.to_dict())) == described


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../etc"}, {"name": "A"}, {"name": 7}, {"dimension": 0}, {"dimension": 10**9},
        {"dimension": True}, {"side": 4096}, {"template": [[1, 2]]}, {"template": "abcde"},
        {"template": [[1, 2, 3]] * 5}, {"template": [[1e300, 2]] * 5}, {"color": "cmyk"},
        {"metric": "manhattan"}, {"scale": 0}, {"scale": "1"}, {"threshold": None},
        {"margin": -1}, {"sha256": "abc"}, {"license": "a\nb"}, {"license": "x" * 201},
        {"scores": None}, {"scores": {}}, {"scores": []}, {"mean": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_hostile_descriptions_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(DescriptionError):
        EmbedderDescription.from_json(json.dumps(RESNET128.to_dict() | change))


@pytest.mark.parametrize("given", [None, [], "x", 7, {}])
def test_what_is_no_description_is_refused(given: object) -> None:
    with pytest.raises(DescriptionError):
        EmbedderDescription.from_json(json.dumps(given))
