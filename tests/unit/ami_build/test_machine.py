"""Which machine this is: bin/machine.py as its unit runs it, against a metadata service."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local.ports import free_port

SCRIPT = Path("ami_build/bin/machine.py")


@dataclass
class Metadata:
    """IMDSv2; answers ``says`` one after another, the last for ever."""

    says: list[tuple[int, str]] = field(default_factory=lambda: [(200, "i-0123456789abcdef0")])
    url: str = ""


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    told = Metadata()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._answer(200, "a-token")

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") != "a-token":
                self._answer(401, "")
                return
            self._answer(*(told.says.pop(0) if len(told.says) > 1 else told.says[0]))

        def _answer(self, status: int, body: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Silence."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def run(target: Path, endpoint: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, SCRIPT, target],
        env={"PATH": os.environ["PATH"], "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint}
        | environment,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_it_asks_with_a_token(metadata: Metadata, tmp_path: Path) -> None:
    assert run(tmp_path / "machine", metadata.url).returncode == 0
    assert (tmp_path / "machine").read_text() == "FACEREC_MACHINE=i-0123456789abcdef0\n"


def test_it_asks_until_it_knows(metadata: Metadata, tmp_path: Path) -> None:
    metadata.says[:0] = [(503, ""), (200, "<html>not found</html>"), (200, "")]
    done = run(tmp_path / "machine", metadata.url)
    assert done.stderr.count("again in") == 3
    assert (tmp_path / "machine").read_text() == "FACEREC_MACHINE=i-0123456789abcdef0\n"


def test_a_name_that_was_given_is_taken(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    assert run(tmp_path / "machine", nobody, FACEREC_MACHINE="rack-7").returncode == 0
    assert (tmp_path / "machine").read_text() == "FACEREC_MACHINE=rack-7\n"


def test_a_name_that_no_queue_could_bear_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "machine", "http://127.0.0.1:9", FACEREC_MACHINE="a b\nX=1")
    assert done.returncode != 0
    assert not (tmp_path / "machine").exists()
