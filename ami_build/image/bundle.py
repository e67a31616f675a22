"""What a machine is provisioned from: this checkout's wheels, the pins, the script, the units.

One archive, made of what git knows of, so that nothing that lies about gets into an image.
"""

import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facerec_tasks.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("worker", "web", "controller", "flower", "convert", "data")
"""The pins of requirements/ that a machine installs."""
FOLDER = "ami_build/image"
PARTS = ("provision.sh", "cloud-init.cfg", "units", "bin")
README = "ami_build/README.md"
WEIGHTS = "facenet.pt"


@dataclass(frozen=True)
class SourceVersion:
    """Which state of the sources."""

    described: str
    """As ``git describe`` says, in letters, digits, dots and hyphens."""

    @property
    def local(self) -> str:
        """For the wheels: https://packaging.python.org/en/latest/specifications/version-specifiers/"""
        return re.sub(r"[^a-z0-9]+", ".", self.described.lower()).strip(".")


def version(root: Path = ROOT) -> SourceVersion:
    """The checkout's; raises :class:`ConfigurationError` where there is none."""
    try:
        said = _git(root, "describe", "--always", "--dirty", "--abbrev=12", "--tags")
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(
            f"an image is baked from a git checkout of this project, and {root} is none"
        ) from error
    return SourceVersion(re.sub(r"[^A-Za-z0-9.-]+", "-", said.strip()))


def pack(root: Path = ROOT, weights: Path | None = None) -> bytes:
    """The archive, gzipped; the same sources give the same bytes.

    ``weights``: a checkpoint of FaceNet to convert as well. Raises :class:`ConfigurationError`.
    """
    built = version(root)
    with tempfile.TemporaryDirectory(prefix="facerec-bundle-") as folder:
        source, wheels = Path(folder) / "source", Path(folder) / "wheels"
        _copy(root, source)
        _build_wheels(source, built, wheels, _git(root, "log", "-1", "--format=%ct").strip())
        contents = {wheel.name: wheel for wheel in sorted(wheels.iterdir())}
        contents |= {part: source / FOLDER / part for part in PARTS}
        contents["README.md"] = source / README
        pins = source / "requirements"
        hashes = dict(line.split() for line in (pins / "hashes.txt").read_text().splitlines())
        for role in ROLES:
            path = pins / f"{role}.txt"
            path.write_text(with_hashes(path.read_text(), hashes))
            contents[f"requirements/{role}.txt"] = path
        if weights:
            contents[WEIGHTS] = weights
        return _archive(contents)


def with_hashes(pins: str, hashes: Mapping[str, str]) -> str:
    """Pins with the digest of the file that the image installs, for pip's --require-hashes.

    Raises :class:`ConfigurationError` naming the pins without one.
    """
    found = [line.split()[0] for line in pins.splitlines() if re.match(r"[\w.-]+==", line)]
    missing = [pin for pin in found if pin not in hashes]
    if missing:
        raise ConfigurationError(f"no hash of {', '.join(missing)}: make hashes")
    return "".join(f"{pin} {hashes[pin]}\n" for pin in found)


def _archive(contents: Mapping[str, Path]) -> bytes:
    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, path in contents.items():
            archive.add(path, name, filter=anonymous)
    return buffer.getvalue()


def _copy(root: Path, target: Path) -> None:
    """What git keeps, as it lies here: changes not committed yet are in, stray files are not."""
    for name in _git(root, "ls-files", "-z").split("\0"):
        if name and (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


def _build_wheels(source: Path, built: SourceVersion, wheels: Path, epoch: str) -> None:
    """``epoch``: the time its files bear, https://reproducible-builds.org/specs/source-date-epoch/"""
    projects = (source, source / "celery_sqs")
    for project in projects:
        (project / "setup.cfg").write_text(f"[egg_info]\ntag_build = +{built.local}\n")
    command = (
        sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--no-build-isolation", "--wheel-dir", str(wheels), *map(str, projects),
    )  # fmt: skip
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
    )
    if done.returncode != 0:
        raise ConfigurationError(f"the wheels cannot be built:\n{done.stderr[-2000:]}")


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ("git", "-C", str(root), *arguments), check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    """``python -m ami_build.image.bundle FILE``: to provision a machine in another way."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m ami_build.image.bundle FILE.tar.gz")
    try:
        Path(sys.argv[1]).write_bytes(pack())
    except (ConfigurationError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
