"""The bill of docs/how-to/operations.md is the one that the calculation gives."""

from pathlib import Path

import pytest

from benchmarks import costs, prices


def test_the_page_shows_what_the_calculation_gives() -> None:
    assert costs.table() in Path("docs/how-to/operations.md").read_text()


def test_the_page_of_scale_shows_what_the_calculation_gives() -> None:
    page = Path("docs/explanation/scale.md").read_text()
    assert costs.load_table() in page
    assert f"at most ${costs.credits_at_most():.0f} a month" in page


def test_rekognition_is_cheaper_by_the_image_above_each_step() -> None:
    assert prices.rekognition(1_000_000) == pytest.approx(1_000)
    assert prices.rekognition(5_000_000) == pytest.approx(1_000 + 3_200)
    assert prices.rekognition(36_000_000) == pytest.approx(1_000 + 3_200 + 18_000 + 400)


def test_a_million_photos_a_day_cost_by_the_scaling_formula() -> None:
    assert costs.machines_for(1_000_000 / 86_400) == 5  # 11.6 x 0.5 / (2 x 0.7) = 4.1
    assert costs.machines_for(1_000 / 86_400) == 1


def test_each_line_is_a_price_and_no_line_is_free() -> None:
    for title, bill in costs.bills().items():
        assert all(cost.dollars > 0 for cost in bill), title


def test_the_address_of_a_month_is_a_month_of_its_hours() -> None:
    (address,) = (cost for cost in costs.at_rest() if "address" in cost.what)
    assert address.dollars == pytest.approx(3.60)
