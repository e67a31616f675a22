"""``facerec load`` against a web tier and workers."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local.processes.child import Child

from .conftest import Web, photo

LINES = """\
Total number of requests: 100
Total number of requests completed successfully: 100
Total number of failed requests: 0
Total number of correct predictions : 98
Total number of wrong predictions: 2
Total response time: """


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Fifty photos of fifty people, their names with a colon; one label beside it is wrong."""
    folder = tmp_path / "album"
    folder.mkdir()
    rows = ["Image,Results"]
    for n in range(50):
        (folder / f"test_{n:03}.jpg").write_bytes(photo(name=f"Person: {n}"))
        rows.append(f"test_{n:03},Person: {n or 'else'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return folder


def load(web: Web, album: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = ["--url", f"127.0.0.1:{web.port}", "--image_folder", str(album)]
    return subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", "load", *where, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_load_command_counts_and_times(
    start_web: Callable[..., Web], start_worker: Callable[..., Child], album: Path
) -> None:
    web = start_web()
    start_worker("--concurrency", "2")
    labels = ["--prediction_file", str(album.with_name("labels.csv"))]
    done = load(web, album, "--num_request", "100", *labels)
    assert done.stdout.startswith(LINES), done.stderr
    assert "p99" in done.stdout
    assert done.returncode == 1  # two predictions were wrong

    out = ["--out", str(album.with_name("run")), "--json"]
    done = load(web, album, "--rate", "20", "--duration", "2", *out)
    report = json.loads(done.stdout)
    assert (report["completed"], report["failed"], report["wrong"]) == (40, 0, 0)
    assert report["seconds"] > 1.9
    assert done.returncode == 0
    written = {file.name for file in album.with_name("run").iterdir()}
    assert written == {"report.json", "requests.csv", "latency.svg"}


def test_load_command_reports_unreachable_url(album: Path) -> None:
    nowhere = Web(9, child=None)  # type: ignore[arg-type]
    done = load(nowhere, album, "--num_request", "3")
    assert "Total number of failed requests: 3" in done.stdout
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_load_command_needs_number_or_duration(album: Path) -> None:
    done = load(Web(9, child=None), album)  # type: ignore[arg-type]
    assert done.returncode == 2
    assert "--duration" in done.stderr
