"""The integration tests of Celery and kombu, from their source distributions."""

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

DOWNLOAD_TIMEOUT = 300.0


def unpack_tests(project: str, cache: Path) -> Path:
    """Folder with ``t/`` and the configuration of pytest of the installed version of a project.

    Downloaded from the package index once for each version. The package itself is left out, so
    that the tests import the one that is installed. Raises :class:`subprocess.CalledProcessError`
    when the index has no source distribution.
    """
    release = f"{project}-{version(project)}"
    folder = cache / release
    if not (folder / "t").is_dir():
        _unpack(_download(project, cache), release, cache)
    return folder


def _download(project: str, cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    pinned = f"{project}=={version(project)}"
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet",
         "--no-binary", ":all:", "--no-deps", "--no-build-isolation", "--dest", str(cache), pinned],
        check=True,
        timeout=DOWNLOAD_TIMEOUT,
    )  # fmt: skip
    return cache / f"{project}-{version(project)}.tar.gz"


def _unpack(archive: Path, release: str, cache: Path) -> None:
    wanted = (f"{release}/t/", f"{release}/pyproject.toml", f"{release}/setup.cfg")
    with tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if m.name.startswith(wanted)]
        tar.extractall(cache, members=members, filter="data")
