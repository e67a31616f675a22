"""Writes hashes.txt: the SHA-256 of every file that the machine image installs.

``python requirements/hashes.py`` asks pip which file it takes for each pin of the image, on the
image's platform: Debian 12 on x86-64, CPython 3.11. :mod:`ami_build.image.bundle` puts the hashes
beside the pins, and the image is provisioned with ``--require-hashes``.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
ROLES = ("worker", "web", "controller", "flower", "convert")
"""Installed from wheels; ``data`` from source archives too."""
PLATFORM = (
    "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3",
    "--abi", "none",
    *(f"--platform=manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)),
    "--platform=manylinux2014_x86_64", "--platform=any", "--only-binary", ":all:",
)  # fmt: skip


def files(role: str, *options: str) -> Iterator[tuple[str, str]]:
    """Pin and SHA-256 of each file that pip would install; raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as target:
        command = (
            sys.executable, "-m", "pip", "install", "--isolated", "--quiet", "--dry-run",
            "--ignore-installed", "--no-deps", "--disable-pip-version-check", "--report", "-",
            "--target", target, *options, "-r", str(FOLDER / f"{role}.txt"),
        )  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=kept)
    for item in json.loads(done.stdout)["install"]:
        name = item["metadata"]["name"].lower().replace("_", "-").replace(".", "-")
        pin = f"{name}=={item['metadata']['version']}"
        yield pin, item["download_info"]["archive_info"]["hashes"]["sha256"]


def main() -> None:
    found = {pin: digest for role in ROLES for pin, digest in files(role, *PLATFORM)}
    found |= dict(files("data"))
    lines = [f"{pin} --hash=sha256:{digest}" for pin, digest in sorted(found.items())]
    (FOLDER / "hashes.txt").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} files")


if __name__ == "__main__":
    main()
