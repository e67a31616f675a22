"""The wheel installs one package, and the guide's smallest application runs with it."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
pytestmark = pytest.mark.install


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # building leaves files in it
    shutil.copytree(PROJECT, source, ignore=shutil.ignore_patterns("tests", "build", "*.egg-info"))
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--wheel-dir", str(folder), str(source))  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


def run(*command: str, **options: Any) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=170, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_one_package_and_declares_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        needed = HeaderParser().parsestr(files.read(metadata).decode()).get_all("Requires-Dist")
    top = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"celery_sqs"}
    assert "celery_sqs/py.typed" in names
    required = {re.split(r"[<>=\[ ]", each)[0] for each in needed or () if "extra" not in each}
    assert required == {"celery", "kombu", "boto3"}


def test_the_smallest_application_of_the_guide_runs(
    wheel: Path, names: Any, tmp_path: Path, spawn: Callable[..., Any], eventually: Any
) -> None:
    """In an environment of its own; only what the wheel depends on is shared with this one."""
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if "site-" in path))
    block = re.search(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "myapp.py").write_text(block[1])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["TMPDIR"] = str(tmp_path)  # where the locks of response queues are
    where = {"cwd": tmp_path / "app", "env": environment}
    found = run(python, "-c", "import celery_sqs; print(celery_sqs.__file__)", **where)
    assert str(site) in found
    worker = subprocess.Popen(
        [python, "-m", "celery", "-A", "myapp", "worker", "-c1", "--loglevel", "WARNING"], **where
    )
    try:
        got = run(
            python, "-c", "import myapp; print(myapp.add.delay(2, 3).get(timeout=60))", **where
        )
    finally:
        worker.terminate()
        worker.wait(60)
    assert got.strip() == "5"
