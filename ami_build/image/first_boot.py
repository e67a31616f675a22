"""Runs on the machine that becomes the image: fetch the bundle, provision, report.

Sent as user data and run by the AMI's own Python (3.11.2 on Debian 12) with the standard library
alone: no AWS credentials, no ssh, no agent. It may use three presigned URLs. The report is written
whether or not provisioning succeeds. ``python3 - ORDER`` with an order as JSON.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path

ATTEMPTS = 5
TIMEOUT = 60.0
BYTES = {"Content-Type": "application/octet-stream"}  # never a form, which urllib would say it is
LOG_BYTES = 256 * 1024
"""Of the end of the log, which are enough to see why."""


def transfer(method: str, url: str, data: bytes | None = None) -> bytes:
    """One request, again after 1, 2, 4 … s. Raises what the last one did."""
    for attempt in range(ATTEMPTS):
        try:
            request = urllib.request.Request(url, data, BYTES, method=method)  # noqa: S310
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                body: bytes = answer.read()
                return body
        except (OSError, HTTPException) as error:  # the latter: a body that ends too soon
            print(f"{method} failed: {error}", file=sys.stderr)
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(2.0**attempt)
    raise AssertionError("unreachable")


def unpack(url: str, sha256: str, into: Path) -> None:
    """The bundle, if it is the one that was sent; raises :class:`ValueError` if it is another."""
    data = transfer("GET", url)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(f"the bundle's SHA-256 is {found}, not {sha256}")
    archive = into / "bundle.tar.gz"
    archive.write_bytes(data)
    with tarfile.open(archive) as packed:
        # Debian 12's own Python 3.11.2 has no filters: they came with 3.11.4. The digest is ours.
        if hasattr(tarfile, "data_filter"):
            packed.extractall(into, filter="data")
        else:
            packed.extractall(into)  # noqa: S202
    archive.unlink()


def provision(bundle: Path, log: Path) -> dict[str, object]:
    """What the script says it has made. Raises :class:`ValueError` with its last words."""
    with log.open("ab") as output:
        done = subprocess.run(
            ["bash", str(bundle / "provision.sh"), str(bundle)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            check=False,
        )
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    if done.returncode != 0:
        words = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise ValueError(f"provision.sh ended with {done.returncode}: {' '.join(words)}")
    made: dict[str, object] = json.loads(lines[-1])
    return made


def end_unless_told_otherwise(minutes: int) -> None:
    """The machine ends itself if nobody does: whoever bakes may be gone. Then it is terminated."""
    try:
        subprocess.run(["shutdown", "-h", f"+{minutes}"], check=False)
    except OSError as error:
        print(f"no end can be set: {error}", file=sys.stderr)


def main() -> int:
    order, began = json.loads(sys.argv[1]), time.monotonic()
    end_unless_told_otherwise(order["minutes"])
    report: dict[str, object] = {"version": order["version"], "status": "failed"}
    with tempfile.TemporaryDirectory(prefix="facerec-bake-", dir=order.get("folder")) as folder:
        log = Path(folder) / "log.txt"
        log.touch()
        try:
            bundle = Path(folder) / "bundle"
            bundle.mkdir()
            unpack(order["bundle"], order["sha256"], bundle)
            report |= {"made": provision(bundle, log), "status": "ok"}
        except Exception as error:  # noqa: BLE001  whatever it is, somebody waits for the report
            report["error"] = f"{type(error).__name__}: {error}"
        report["seconds"] = round(time.monotonic() - began, 1)
        tail = log.read_bytes()[-LOG_BYTES:]
    try:
        transfer("PUT", order["log"], tail)
    finally:
        transfer("PUT", order["report"], json.dumps(report).encode())
    return 0 if report["status"] == "ok" else 1


if __name__ == "__main__":
    sys.exit(main())
