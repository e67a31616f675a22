"""The Lambda functions in their container images, confined as Lambda confines them.

Read-only but for ``/tmp``, without shared memory, capabilities or a user that owns anything.
"""

import os
import shutil
import subprocess
from dataclasses import replace

from local.emulators.lambda_runtime import Function

TOLD = (
    "AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL",
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA", "AWS_REGION", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "FACEREC_ID",
)  # fmt: skip
"""Variables that go into a container; paths of this machine do not."""
CONFINED = (
    "--rm", "--init", "--network", "host", "--read-only", "--tmpfs", "/tmp:rw,size=1g",  # noqa: S108
    "--ipc", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
    "--user", "993:990",
)  # fmt: skip
BUILD_TIMEOUT = 1800.0
"""Seconds."""


def has_docker() -> bool:
    """Whether a Docker engine runs here."""
    docker = shutil.which("docker")
    if not docker:
        return False
    return subprocess.run([docker, "info"], capture_output=True, timeout=60).returncode == 0


def in_image(function: Function) -> Function:
    """That function in its image, which is made if need be."""
    image = f"facerec-{function.name}"
    subprocess.run(
        (
            "docker", "build", "-q", "-f", "serverless/Dockerfile",
            "--target", function.name, "-t", image, ".",
        ),
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        timeout=BUILD_TIMEOUT,
    )  # fmt: skip
    told = [part for name in TOLD for part in ("--env", name)]
    memory = ("--memory", f"{function.memory}m")
    return replace(function, command=("docker", "run", *CONFINED, *memory, *told, image))
