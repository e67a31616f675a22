"""The declared range of celery and kombu is the tested one, and leaving it is said at import."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from celery_sqs import _compat

ROOT = Path(_compat.__file__).parents[2]


def test_the_declared_range_is_the_tested_one() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for project, (first, beyond) in _compat.TESTED.items():
        wanted = f"{project}>={first[0]}.{first[1]},<{beyond[0]}.{beyond[1]}"
        assert wanted in declared


@pytest.mark.parametrize("text", ["5.7.0", "5.7.0rc1", "5.7rc2", "5.7"])
def test_minor_versions_are_read(text: str) -> None:
    assert _compat.minor_version(text)[0] == 5
    assert str(_compat.minor_version(text)[1]).startswith("7")


def test_a_version_out_of_range_is_said_at_import(tmp_path: Path) -> None:
    """With the metadata of another release of kombu found first."""
    metadata = tmp_path / "kombu-5.9.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: kombu\nVersion: 5.9.1\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import celery_sqs"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "tested with kombu 5.7 to before 5.8, and 5.9.1 is installed" in done.stderr
