import csv
import json
import time
from pathlib import Path

import pytest

from cli.load_client import RequestOutcome
from cli.load_report import lines, summarize, write
from cli.workload import Turn, Workload, photos, read_predictions


def sent(image: str, answer: str, status: int = 200, seconds: float = 1.0) -> RequestOutcome:
    return RequestOutcome(image, began=0.0, seconds=seconds, status=status, answer=answer)


def test_photos_are_the_pictures_of_a_folder_by_name(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "labels.csv", "c.jpeg"):
        (tmp_path / name).touch()
    assert [p.name for p in photos(tmp_path)] == ["a.PNG", "b.jpg", "c.jpeg"]


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        photos(tmp_path)


def turns(workload: Workload) -> list[Turn]:
    return list(iter(workload.next, None))  # type: ignore[arg-type]


def test_fewer_photos_than_requests_begin_anew() -> None:
    few = [Path("a"), Path("b")]
    assert [turn.photo.name for turn in turns(Workload(few, requests=5))] == list("ababa")


def test_rate_gives_due_times() -> None:
    planned = turns(Workload([Path("a")], requests=4, rate=2.0))
    due = [turn.due or 0.0 for turn in planned]
    assert [round(one - due[0], 6) for one in due] == [0.0, 0.5, 1.0, 1.5]


def test_a_duration_ends_a_workload() -> None:
    assert len(turns(Workload([Path("a")], duration=3.0, rate=10.0))) == 30
    began = time.monotonic()
    assert turns(Workload([Path("a")], duration=0.05))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_predictions_are_read_with_or_without_extensions(tmp_path: Path, begin: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(f"{begin}Image,Results\ntest_000,Paul\ntest_001.jpg, Emily\n")
    assert read_predictions(file) == {"test_000": "Paul", "test_001": "Emily"}


def test_a_csv_without_the_columns_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="Image, Results"):
        read_predictions(file)


def test_right_wrong_and_failed_are_counted_apart() -> None:
    outcomes = [sent("a", "Paul"), sent("b", "Paul"), sent("c", "Paul"), sent("a", "late", 504)]
    report = summarize(outcomes, {"a": "Paul", "b": "Emily"}, seconds=2.0)
    counts = (report.requests, report.completed, report.failed, report.correct, report.wrong)
    assert counts == (4, 3, 1, 1, 1)
    assert report.errors == {"504: late": 1}


def test_percentiles_are_of_the_completed_by_nearest_rank() -> None:
    outcomes = [sent("a", "Paul", seconds=n) for n in range(1, 101)]
    report = summarize([*outcomes, sent("a", "", 0, seconds=999)], {}, seconds=1.0)
    assert report.percentiles == {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}


def test_the_lines_are_those_of_the_original_generator() -> None:
    report = summarize([sent("a", "Paul"), sent("b", "x", 503)], {"a": "Paul"}, seconds=12.34)
    assert lines(report).splitlines()[:6] == [
        "Total number of requests: 2",
        "Total number of requests completed successfully: 1",
        "Total number of failed requests: 1",
        "Total number of correct predictions : 1",
        "Total number of wrong predictions: 0",
        "Total response time: 12.3 (seconds)",
    ]


def test_a_run_can_be_kept(tmp_path: Path) -> None:
    outcomes = [sent("a", "Paul"), sent("b", "late", 504)]
    write(tmp_path / "run", summarize(outcomes, {}, seconds=1.0), outcomes)
    with (tmp_path / "run" / "requests.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["status"]) for row in rows] == [("a", "200"), ("b", "504")]
    assert json.loads((tmp_path / "run" / "report.json").read_text())["failed"] == 1
    assert "</svg>" in (tmp_path / "run" / "latency.svg").read_text()
