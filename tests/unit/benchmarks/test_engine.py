"""What the engine's benchmark makes of its measurements."""

import os

import pytest

from benchmarks import engine, memory, portraits, prefork
from benchmarks.engine import REFERENCE, EngineRow


def test_figures_divide_their_best_times_by_ours() -> None:
    rows = [
        EngineRow(contender, picture, best, 999.0)
        for picture, times in {
            "64 x 64": (100.0, 10.0, 50.0, 8.0),
            "250 x 250": (120.0, 16.0, 60.0, 12.0),
            "12.6 megapixels": (3000.0, 150.0, 200.0, 140.0),
        }.items()
        for contender, best in zip((REFERENCE, *engine.ENGINES, engine.INT8), times, strict=True)
    ]
    assert engine.figures(rows) == {
        "resnet128_vs_reference_64": 10.0,
        "resnet128_vs_reference_250": 7.5,
        "resnet128_int8_vs_reference_64": 12.5,
        "resnet128_int8_vs_reference_250": 10.0,
        "facenet_vs_reference_250": 2.0,
        "large_photo_vs_reference": 20.0,
    }


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 on
def test_children_that_fill_memory_of_their_own_are_seen() -> None:
    def work() -> None:
        kept.append(os.urandom(2**20))

    kept: list[bytes] = []
    idle = prefork.measure(lambda: None, children=2, calls=20)
    measured = prefork.measure(work, children=2, calls=20)
    assert kept == []
    assert 15 <= measured.private_mb - idle.private_mb < 60
    assert measured.per_second > 0


def test_this_process_has_a_peak() -> None:
    assert memory.peak_mb() > 10


def test_the_large_picture_is_what_a_telephone_takes() -> None:
    assert portraits.large().size == (4096, 3072)
