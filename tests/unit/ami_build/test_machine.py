"""Which machine this is: bin/machine.py as its unit runs it, against a metadata service."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local.processes.ports import free_port
from tests.answering import Silent, serving

SCRIPT = Path("ami_build/image/bin/machine.py")


@dataclass
class Metadata:
    """IMDSv2; answers ``says`` one after another, the last for ever."""

    says: list[tuple[int, str]] = field(default_factory=lambda: [(200, "i-0123456789abcdef0")])
    url: str = ""


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    told = Metadata()

    class Handler(Silent):
        def do_PUT(self) -> None:
            self.answer(200, b"a-token")

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") != "a-token":
                self.answer(401)
                return
            status, body = told.says.pop(0) if len(told.says) > 1 else told.says[0]
            self.answer(status, body.encode())

    with serving(Handler) as told.url:
        yield told


def run(target: Path, endpoint: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, SCRIPT, target],
        env={"PATH": os.environ["PATH"], "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint}
        | environment,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_instance_metadata_is_read_with_a_token(metadata: Metadata, tmp_path: Path) -> None:
    assert run(tmp_path / "machine", metadata.url).returncode == 0
    assert (tmp_path / "machine").read_text() == "FACEREC_MACHINE=i-0123456789abcdef0\n"


def test_instance_metadata_is_retried(metadata: Metadata, tmp_path: Path) -> None:
    metadata.says[:0] = [(503, ""), (200, "<html>not found</html>"), (200, "")]
    done = run(tmp_path / "machine", metadata.url)
    assert done.stderr.count("again in") == 3
    assert (tmp_path / "machine").read_text() == "FACEREC_MACHINE=i-0123456789abcdef0\n"


def test_given_machine_name_is_used(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    assert run(tmp_path / "machine", nobody, FACEREC_MACHINE="rack-7").returncode == 0
    assert (tmp_path / "machine").read_text() == "FACEREC_MACHINE=rack-7\n"


def test_machine_name_illegal_for_a_queue_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "machine", "http://127.0.0.1:9", FACEREC_MACHINE="a b\nX=1")
    assert done.returncode != 0
    assert not (tmp_path / "machine").exists()
