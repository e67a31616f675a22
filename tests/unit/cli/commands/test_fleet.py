"""``facerec fleet`` where it needs no AWS."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from autoscale.decisions import Decision
from cli.commands.fleet import fleet


def run(*arguments: str) -> Any:
    return CliRunner().invoke(fleet, arguments)


def test_simulate_compares_policies() -> None:
    result = run("simulate", "--policy", "slo", "--policy", "keda-hpa", "--seeds", "1", "--json")
    assert result.exit_code == 0
    ours, keda = json.loads(result.stdout)
    assert (ours["policy"], keda["policy"]) == ("slo", "keda-hpa")
    assert ours["billed"] < keda["billed"]


def test_simulate_table_shows_the_lower_bound() -> None:
    lines = run("simulate", "--policy", "slo", "--seeds", "1").stdout.splitlines()
    assert lines[0].endswith("no policy stays below 60 billed s")
    assert lines[2].startswith("slo ")
    assert max(map(len, lines)) <= 100


def test_simulate_options_change_the_environment() -> None:
    arguments = ("simulate", "--policy", "course", "--seeds", "1", "--json", "--cap", "4")
    (found,) = json.loads(run(*arguments, "--boot", "2", "4", "--terminate").stdout)
    assert found["peak"] == 4
    assert found["p99"] < 30


def test_simulate_draws_a_plot(tmp_path: Path) -> None:
    file = tmp_path / "burst.png"
    result = run("simulate", "--policy", "slo", "--seeds", "1", "--plot", str(file))
    assert result.exit_code == 0
    assert file.read_bytes().startswith(b"\x89PNG")


def test_a_log_is_replayed(tmp_path: Path) -> None:
    log = tmp_path / "steps.jsonl"
    steps = [
        Decision(f"r-{n}", 2.0 * n, 0, 0, 0, "exact", 0, 5.0 * n, {}, 0, 0, 0, {}, {})
        for n in range(9)
    ]
    log.write_text("\n".join(s.to_json() for s in steps))
    (found,) = json.loads(run("simulate", "--log", str(log), "--policy", "slo", "--json").stdout)
    assert (found["trace"], found["tasks"]) == ("recorded", 40)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--boot", "60", "20"), "the fastest boot comes first"),
        (("--policy", "magic"), "magic"),
        (("--seeds", "0"), "--seeds"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], words: str) -> None:
    result = run("simulate", *arguments)
    assert result.exit_code == 2
    assert words in result.output


def test_a_log_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    log = tmp_path / "steps.jsonl"
    log.write_text("rubbish")
    result = run("simulate", "--log", str(log))
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert "nothing has arrived" in run("simulate", "--log", str(empty)).output
