"""The images as ``make images`` built them: small, without what they have no use for, and running.

Skipped where there is no Docker or they are not built.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

ROLES = ("worker", "web", "controller", "flower")
WORKER_BYTES = 400e6
ABSENT = {
    "worker": ("torch", "flask", "flower", "moto", "pycurl"),
    "web": ("onnxruntime", "numpy", "PIL", "torch", "autoscale"),
    "controller": ("onnxruntime", "numpy", "PIL", "flask", "webapp"),
    "flower": ("onnxruntime", "numpy", "PIL", "flask", "webapp", "autoscale"),
}
"""Modules that must not be there, by role."""
TOOLS = ("gcc", "cc", "make", "pip", "apt-get", "perl")


def docker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    if shutil.which("docker") is None or docker("info").returncode:
        pytest.skip("no Docker engine")
    if docker("image", "inspect", f"facerec-{request.param}").returncode:
        pytest.skip(f"facerec-{request.param} is not built: make images")
    return str(request.param)


def run(role: str, *command: str) -> "subprocess.CompletedProcess[str]":
    hardened = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none")
    return docker("run", "--rm", *hardened, f"facerec-{role}", *command)


def inspect(role: str) -> dict[str, Any]:
    (found,) = json.loads(docker("image", "inspect", f"facerec-{role}").stdout)
    return dict(found)


def test_an_image_is_its_role_and_nothing_else(role: str) -> None:
    wanted = json.dumps([*ABSENT[role], "pip", "setuptools"])
    code = f"from importlib.util import find_spec; print([m for m in {wanted} if find_spec(m)])"
    assert run(role, "python", "-c", code).stdout == "[]\n"
    found = run(role, "sh", "-c", f"which {' '.join(TOOLS)}; find / -xdev -type f -perm /6000")
    assert not found.stdout, found.stdout


def test_it_runs_without_rights_and_says_how_it_does(role: str) -> None:
    config = inspect(role)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert not [v for v in config["Env"] if "SECRET" in v or "PASSWORD" in v or "TOKEN" in v]


def test_its_process_starts_on_a_file_system_that_cannot_be_written(role: str) -> None:
    module = {
        "worker": "facerec_tasks.worker, facerec_tasks.video.decoder",
        "web": "webapp.__main__",
        "controller": "autoscale.controller",
        "flower": "celery_sqs.__main__, flower.app, facerec_tasks.app",
    }[role]
    imported = run(role, "python", "-W", "ignore", "-c", f"import {module}")
    assert imported.returncode == 0, imported.stderr


def test_the_worker_is_small_and_recognizes_without_a_network(
    role: str, eventually: Callable[..., None]
) -> None:
    if role != "worker":
        pytest.skip("about the worker")
    assert inspect(role)["Size"] <= WORKER_BYTES
    code = (
        "from pathlib import Path\n"
        "from facerec_tasks.recognition.gallery.gallery import Gallery\n"
        "from facerec_tasks.recognition.recognizer import Recognizer\n"
        "import io; from PIL import Image\n"
        "photo = io.BytesIO(); Image.new('RGB', (64, 64)).save(photo, 'PNG')\n"
        "recognizer = Recognizer.load(Path('models'), Gallery.empty('resnet128'))\n"
        "print(recognizer.recognize(photo.getvalue()).faces)"
    )
    seen = run(role, "python", "-c", code)
    assert seen.stdout == "()\n", seen.stderr
