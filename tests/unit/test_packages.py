"""What is built holds what it uses: wheels by pyproject.toml, images by their Dockerfiles."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LAMBDA = Path("serverless/Dockerfile").read_text()


def test_the_wheel_holds_every_package() -> None:
    """An editable installation finds a package that the wheel forgets; a baked machine does not."""
    listed = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    roots = {name.partition(".")[0] for name in listed}
    present = {
        ".".join(init.parent.parts) for root in roots for init in Path(root).rglob("__init__.py")
    }
    assert set(listed) == present


@pytest.mark.parametrize("handler", ["video_splitting", "face_recognition"])
def test_lambdas_images_hold_every_module_that_a_handler_imports(handler: str) -> None:
    code = f"import sys, serverless.{handler}; print(*sys.modules)"
    done = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, check=True, timeout=60
    )
    ours = {m for m in done.stdout.split() if m.startswith(("facerec_tasks.", "serverless."))}
    copied = set(re.findall(r"^COPY (facerec_tasks|serverless)/(\S+) ", LAMBDA, re.MULTILINE))
    folders = {f"{package}.{name}" for package, name in copied if "*" not in name}
    missing = {
        module for module in ours
        if module.count(".") > 1 and module.rpartition(".")[0] not in folders
        and not any(module.startswith(f"{folder}.") for folder in folders)
    }  # fmt: skip
    assert missing == set()


def test_slimmed_images_keep_the_services_that_the_code_calls() -> None:
    kept = set(re.findall(r"! -name (\S+)", Path("docker/slim.sh").read_text()))
    called: set[str] = set()
    for package in ("facerec_tasks", "webapp", "autoscale", "celery_sqs/src", "cli"):
        for path in Path(package).rglob("*.py"):
            text = path.read_text()
            called |= set(re.findall(r"""\bclient\([\w.]+, "([a-z0-9-]+)"\)""", text))
            called |= set(re.findall(r"""get_service_model\("([a-z0-9-]+)"\)""", text))
    assert {"s3", "sqs", "rekognition"} <= called
    assert called <= kept
