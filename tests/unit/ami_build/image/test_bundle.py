"""What a machine is provisioned from: what git knows of, and nothing that lies about."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from ami_build.image import bundle
from facerec_tasks.errors import ConfigurationError


def names(packed: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {member.name for member in archive}


def test_the_same_sources_give_the_same_bytes_named_after_them() -> None:
    first, second = bundle.pack(), bundle.pack()
    assert first == second
    (wheel,) = (name for name in names(first) if name.endswith(".whl"))
    assert f"+{bundle.version().local}-" in wheel
    assert {"provision.sh", "cloud-init.cfg", "bin/machine.py", "requirements/worker.txt"} <= names(
        first
    )
    assert "units/facerec-.service.d/sandbox.conf" in names(first)


def test_a_stray_file_is_not_in_it(tmp_path: Path) -> None:
    """In a checkout of its own: a secret that somebody left beside the sources."""
    root = tmp_path / "checkout"
    subprocess.run(("git", "clone", "-q", ".", root), check=True, timeout=60)
    (root / "facerec_tasks" / "secret.py").write_text("KEY = 1\n")
    (root / "ami_build" / "units" / "secret.service").write_text("[Service]\n")
    packed = bundle.pack(root)
    assert "units/secret.service" not in names(packed)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        (wheel,) = (m for m in archive if m.name.endswith(".whl"))
        found = archive.extractfile(wheel)
        assert found is not None
        assert b"secret.py" not in found.read()


def test_without_a_checkout_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="git checkout"):
        bundle.pack(tmp_path)


@pytest.mark.parametrize(
    ("described", "local"),
    [("3aa6b51f0c12", "3aa6b51f0c12"), ("v0.1.0-3-g3aa6b51-dirty", "v0.1.0.3.g3aa6b51.dirty")],
)
def test_a_version_is_one_for_python_too(described: str, local: str) -> None:
    assert bundle.Version(described).local == local
