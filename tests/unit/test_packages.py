"""What is built holds what it uses: wheels by pyproject.toml, images by their Dockerfiles."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LAMBDA = Path("serverless/Dockerfile").read_text()
ROLES = Path("Dockerfile").read_text()


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


@pytest.mark.parametrize(
    ("stage", "module"),
    [
        ("models", "facerec_tasks.recognition.conversion.convert"),
        ("worker", "facerec_tasks.worker"),
        ("web", "webapp.__main__"),
        ("controller", "autoscale.controller"),
        ("flower", "facerec_tasks.app"),
    ],
)
def test_images_hold_every_module_that_a_role_imports(
    stage: str, module: str, tmp_path: Path
) -> None:
    (lines,) = re.findall(
        rf"^FROM \S+ AS {stage}\n(.*?)(?=^FROM |\Z)", ROLES, re.DOTALL | re.MULTILINE
    )
    for copied in re.findall(r"^COPY (?!--from)(.+)$", lines, re.MULTILINE):
        *sources, to = copied.split()
        for source in map(Path, sources):
            if source.is_dir():
                shutil.copytree(source, tmp_path / to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (tmp_path / to).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, tmp_path / to)
    code = (  # without the editable installation, which would find what is not copied
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'Editable' not in repr(f)]\n"
        f"import {module}; print({module}.__file__)"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))


def test_the_image_of_the_tests_holds_what_they_import() -> None:
    """Those that the compose file runs, and the conftest.py files above them."""
    command = Path("docker-compose.test.yml").read_text().rpartition("command:")[2]
    ignored = set(map(Path, re.findall(r"--ignore (\S+)", command)))
    run = set(re.findall(r"(?<!--ignore )\b((?:celery_sqs/)?tests/[\w/.]+)", command))
    found = {
        file
        for path in map(Path, run)
        for file in (path.rglob("*.py") if path.is_dir() else [path])
    }
    found -= ignored
    found |= {
        p / "conftest.py" for file in found for p in file.parents if (p / "conftest.py").exists()
    }
    tops = {
        name.partition(".")[0]
        for file in found
        for node in ast.parse(file.read_text()).body
        for name in _imported(node)
    }
    pinned = set(re.findall(r"^([\w-]+)==", Path("requirements/integration.txt").read_text(), re.M))
    distributions = importlib.metadata.packages_distributions()
    assert {"pytest", "boto3", "hypothesis"} <= tops
    missing = {
        top for top in tops
        if top in distributions and not Path(top).exists()
        and not pinned & {re.sub(r"[_.]", "-", one.lower()) for one in distributions[top]}
    }  # fmt: skip
    assert missing == set()


def _imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


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
