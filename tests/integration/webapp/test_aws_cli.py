"""The AWS CLI, installed from the package index in an environment of its own, against us.

``FACEREC_TEST_AWS_CLI`` names one that is installed already.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facerec_tasks.settings import Settings
from local.processes.child import Child
from local.samples import portraits

from .conftest import Web

pytestmark = pytest.mark.install
GRACE, EILEEN = (portrait.path for portrait in portraits.portraits())


@pytest.fixture(scope="session")
def aws_cli(tmp_path_factory: pytest.TempPathFactory) -> str:
    if given := os.environ.get("FACEREC_TEST_AWS_CLI"):
        return given
    folder = tmp_path_factory.mktemp("aws-cli")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    command = [folder / "bin" / "pip", "install", "--quiet", "awscli"]
    done = subprocess.run(command, check=False, timeout=300, capture_output=True, text=True)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"awscli cannot be installed here: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    return str(folder / "bin" / "aws")


def test_the_aws_cli_indexes_and_finds_a_face(
    aws_cli: str,
    start_web: Callable[..., Web],
    resources: Settings,
    spawn: Callable[..., Child],
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "celery", "-A", "facerec_tasks.worker", "worker"]
    spawn([*command, "--concurrency", "1"], log="worker")
    web = start_web()
    endpoint = ["--endpoint-url", f"http://127.0.0.1:{web.port}", "--region", "us-east-1"]

    def aws(*arguments: str) -> Any:
        done = subprocess.run(
            [aws_cli, "rekognition", *arguments, *endpoint, "--output", "json"],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env={
                "HOME": str(tmp_path),
                "PATH": os.environ["PATH"],
                "AWS_ACCESS_KEY_ID": "any",
                "AWS_SECRET_ACCESS_KEY": "thing",
            },
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "{}")

    def image(path: Path) -> str:
        return f"fileb://{path}"

    assert aws("create-collection", "--collection-id", "staff")["StatusCode"] == 200
    for path, name in ((GRACE, "Grace"), (EILEEN, "Eileen")):
        indexed = aws(
            "index-faces", "--collection-id", "staff", "--external-image-id", name,
            "--image-bytes", image(path),
        )  # fmt: skip
        assert len(indexed["FaceRecords"]) == 1
    assert len(aws("list-faces", "--collection-id", "staff", "--page-size", "1")["Faces"]) == 2
    probe = tmp_path / "probe.jpg"
    probe.write_bytes(portraits.sample_photo("Grace_Hopper").data)
    found = aws("search-faces-by-image", "--collection-id", "staff", "--image-bytes", image(probe))
    assert [match["Face"]["ExternalImageId"] for match in found["FaceMatches"]] == ["Grace"]
    assert len(aws("detect-faces", "--image-bytes", image(probe))["FaceDetails"]) == 1
    compared = aws(
        "compare-faces", "--source-image-bytes", image(probe), "--target-image-bytes", image(EILEEN)
    )
    assert compared["FaceMatches"] == []
    assert aws("delete-collection", "--collection-id", "staff")["StatusCode"] == 200
    assert aws("list-collections")["CollectionIds"] == ["default"]
