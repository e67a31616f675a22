"""How a command finds the system that runs in its folder."""

import os
import sys
from pathlib import Path

import pytest

from facerec_tasks.errors import ConfigurationError
from facerec_tasks.settings import get_settings
from local.processes import discovery

HOLD = """
import signal, sys; from pathlib import Path; from local.processes import discovery
with discovery.exclusive(Path(sys.argv[1])):
    discovery.advertise(Path(sys.argv[1])); signal.pause()
"""


@pytest.fixture
def held(spawn, tmp_path: Path):
    """A state directory that another process holds."""
    child = spawn(
        (sys.executable, "-c", HOLD, str(tmp_path)),
        environment={
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
            "AWS_REGION": "eu-west-1",
            "PORT": "8123",
        },
        log="held",
    )
    return child, tmp_path


def test_discovery_finds_nothing_in_an_empty_folder(tmp_path: Path) -> None:
    assert discovery.find(tmp_path) is None


def test_what_runs_is_found_and_what_was_killed_is_not(held, eventually) -> None:
    child, folder = held
    eventually(lambda: discovery.find(folder), within=20)
    found = discovery.find(folder)
    assert found is not None
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert found["PORT"] == "8123"
    child.kill()
    assert (folder / "up.lock").read_text()
    assert discovery.find(folder) is None


def test_a_second_one_is_kept_out(held, eventually) -> None:
    _, folder = held
    eventually(lambda: discovery.find(folder), within=20)
    with pytest.raises(ConfigurationError, match="runs already"), discovery.exclusive(folder):
        pass


def test_discovery_removes_credentials_of_a_real_account(
    held, eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = held
    eventually(lambda: discovery.find(folder), within=20)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.delitem(os.environ, "AWS_ENDPOINT_URL", raising=False)
    os.environ.update(FACEREC_STATE_DIR=str(folder), AWS_PROFILE="mine", AWS_SECRET_ACCESS_KEY="s")
    get_settings.cache_clear()
    try:
        assert discovery.discover() == "http://127.0.0.1:1"
        assert "AWS_PROFILE" not in os.environ
        assert os.environ["AWS_SECRET_ACCESS_KEY"] != "s"
        assert os.environ["AWS_REGION"] == "eu-west-1"
    finally:
        get_settings.cache_clear()
