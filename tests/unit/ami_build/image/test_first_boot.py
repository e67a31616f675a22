"""The script that a bake sends as user data, run as the bare AMI runs it."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ami_build.image import first_boot

DEBIAN_PYTHON = Path("/usr/bin/python3")
OLD_TARFILE = """
import tarfile
if hasattr(tarfile, "data_filter"):
    del tarfile.data_filter
    new = tarfile.TarFile.extractall
    def extractall(self, path=".", members=None, *, numeric_owner=False):
        new(self, path, members, numeric_owner=numeric_owner)
    tarfile.TarFile.extractall = extractall
"""
"""``tarfile`` of Python 3.11.2, which Debian 12 has: PEP 706 came with 3.11.4."""


class Bucket(ThreadingHTTPServer):
    """Three presigned URLs: the bundle to read, the report and the log to write."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.faults: list[str] = []
        """Of the next requests: ``busy`` is a 503, ``cut`` an answer that ends too soon."""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Bucket

    def do_GET(self) -> None:
        fault = self.server.faults.pop(0) if self.server.faults else ""
        body = self.server.objects[self.path.strip("/")]
        self.send_response(503 if fault == "busy" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault else body)

    def do_PUT(self) -> None:
        size = int(self.headers["Content-Length"])
        self.server.objects[self.path.strip("/")] = self.rfile.read(size)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with Bucket() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def bundle(script: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("provision.sh")
        member.size = len(script)
        archive.addfile(member, io.BytesIO(script.encode()))
    return packed.getvalue()


def boot(python: str, bucket: Bucket, folder: Path, script: str, prelude: str = "") -> dict:
    """Runs the script as the user data does, on standard input; returns the report."""
    packed = bucket.objects["bundle"] = bundle(script)
    order = {
        "version": "v1", "bundle": bucket.url("bundle"), "report": bucket.url("report"),
        "sha256": hashlib.sha256(packed).hexdigest(), "log": bucket.url("log"), "minutes": 1,
        "folder": str(folder),
    }  # fmt: skip
    (folder / "bin").mkdir()
    shutdown = folder / "bin" / "shutdown"
    shutdown.write_text("#!/bin/sh\n")
    shutdown.chmod(0o755)
    subprocess.run(
        (python, "-I", "-", json.dumps(order)),
        input=(prelude + Path(first_boot.__file__).read_text()).encode(),
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        timeout=60,
        check=False,
    )
    report: dict = json.loads(bucket.objects["report"])
    return report


WORKS = 'echo log >&2; echo "{\\"made\\": true}"\n'


def test_it_provisions_with_the_tarfile_of_debian_12(bucket: Bucket, tmp_path: Path) -> None:
    report = boot(sys.executable, bucket, tmp_path, WORKS, OLD_TARFILE)
    assert report | {"seconds": 0} == {
        "version": "v1", "status": "ok", "made": {"made": True}, "seconds": 0,
    }  # fmt: skip
    assert bucket.objects["log"] == b"log\n"


def test_it_provisions_under_debians_own_python(bucket: Bucket, tmp_path: Path) -> None:
    if not DEBIAN_PYTHON.exists() or not Path("/etc/debian_version").exists():
        pytest.skip("this machine is not Debian")
    assert boot(str(DEBIAN_PYTHON), bucket, tmp_path, WORKS)["status"] == "ok"


def test_a_failure_of_the_script_is_reported_with_its_last_line(
    bucket: Bucket, tmp_path: Path
) -> None:
    report = boot(sys.executable, bucket, tmp_path, "echo no room >&2; exit 3\n", OLD_TARFILE)
    assert (report["status"], "ended with 3: no room" in report["error"]) == ("failed", True)


def test_a_download_that_fails_or_is_cut_is_tried_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.faults = ["cut", "busy"]
    assert boot(sys.executable, bucket, tmp_path, WORKS)["status"] == "ok"


@pytest.mark.parametrize("script", ["first_boot.py", "bin/machine.py"])
def test_scripts_of_the_bare_ami_compile_under_debians_python(script: str) -> None:
    if not DEBIAN_PYTHON.exists() or not Path("/etc/debian_version").exists():
        pytest.skip("this machine is not Debian")
    path = Path(first_boot.__file__).parent / script
    code = "import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 11))"
    subprocess.run((DEBIAN_PYTHON, "-c", code, path), check=True, timeout=30)
