"""The bundle that a machine is provisioned from holds what git tracks, and nothing else."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from ami_build.image import bundle
from facerec_tasks.errors import ConfigurationError

IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.org")


def names(packed: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {member.name for member in archive}


def wheels(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = {m.name: archive.extractfile(m) for m in archive if m.name.endswith(".whl")}
        return {name: file.read() for name, file in found.items() if file is not None}


def git(root: Path, *arguments: str) -> None:
    subprocess.run(("git", "-C", str(root), *IDENTITY, *arguments), check=True, timeout=60)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git checkout of these sources, also where the tests run from an archive without git."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path_factory.mktemp("bundle") / "checkout"
    ignored = shutil.ignore_patterns(".git", ".venv*", "models", ".local", "*.egg-info", "*_cache")
    shutil.copytree(bundle.ROOT, root, ignore=ignored)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "sources")
    return root


def test_the_same_sources_give_the_same_bytes_named_after_them(checkout: Path) -> None:
    first, second = bundle.pack(checkout), bundle.pack(checkout)
    assert first == second
    assert {name.split("-")[0] for name in wheels(first)} == {"facerec", "celery_sqs"}
    assert all(f"+{bundle.version(checkout).local}-" in wheel for wheel in wheels(first))
    assert {"provision.sh", "cloud-init.cfg", "bin/machine.py", "requirements/worker.txt"} <= names(
        first
    )
    assert "units/facerec-.service.d/sandbox.conf" in names(first)


def test_untracked_files_are_not_packed(checkout: Path, tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    subprocess.run(("git", "clone", "-q", checkout, root), check=True, timeout=60)
    (root / "facerec_tasks" / "secret.py").write_text("KEY = 1\n")
    (root / bundle.FOLDER / "units" / "secret.service").write_text("[Service]\n")
    packed = bundle.pack(root)
    assert "units/secret.service" not in names(packed)
    assert all(b"secret.py" not in wheel for wheel in wheels(packed).values())


def test_packing_outside_a_git_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="git checkout"):
        bundle.pack(tmp_path)


@pytest.mark.parametrize(
    ("described", "local"),
    [("3aa6b51f0c12", "3aa6b51f0c12"), ("v0.1.0-3-g3aa6b51-dirty", "v0.1.0.3.g3aa6b51.dirty")],
)
def test_a_source_version_is_a_python_local_version(described: str, local: str) -> None:
    assert bundle.SourceVersion(described).local == local


def test_every_pin_of_the_image_has_the_hash_of_its_file() -> None:
    folder = bundle.ROOT / "requirements"
    hashes = dict(line.split() for line in (folder / "hashes.txt").read_text().splitlines())
    for role in bundle.ROLES:
        pinned = bundle.with_hashes((folder / f"{role}.txt").read_text(), hashes)
        assert all("--hash=sha256:" in line for line in pinned.splitlines())
    with pytest.raises(ConfigurationError, match=r"no hash of other==1.0: make hashes"):
        bundle.with_hashes("other==1.0  # new", hashes)
