"""The image, built as a bake builds it, booted in containers with systemd and cloud-init.

``FACEREC_TEST_IMAGE`` names one that is built already.

A container is no machine: it has this kernel and no disk of its own, and what systemd cannot set up
in it it leaves out. What that is, the tests say.
"""

import io
import os
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ami_build.image import bundle
from facerec_tasks.settings import Settings
from local.processes.ports import free_port
from tests.answering import Silent, serving

TAG = "facerec-image-test"
BUILD_TIMEOUT = 1500
BOOT = (
    "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro",
    "--tmpfs=/run", "--tmpfs=/run/lock", "--network=host",
)  # fmt: skip
"""What systemd needs of Docker. No extra capability: it is the sandbox's own doing what works."""
NAMESPACES = (
    "--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
)  # fmt: skip
"""With these systemd can set up mount namespaces too, as it does on a machine."""


def docker(*arguments: str, timeout: float = 60, text: str | None = None) -> str:
    """Output of a docker command; fails the test with what it said."""
    done = subprocess.run(
        ("docker", *arguments), capture_output=True, text=True, timeout=timeout, input=text,
        check=False, env={**os.environ, "DOCKER_BUILDKIT": "0"},
    )  # fmt: skip
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr}"
    return done.stdout


def _engine_is_there() -> bool:
    try:
        found = subprocess.run(("docker", "info"), capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tag of the built image; the same sources are built once."""
    if not _engine_is_there():
        pytest.skip("no Docker engine answers on this machine")
    if "FACEREC_TEST_IMAGE" in os.environ:
        return os.environ["FACEREC_TEST_IMAGE"]
    context = tmp_path_factory.mktemp("image")
    with tarfile.open(fileobj=io.BytesIO(bundle.pack())) as packed:
        packed.extractall(context / "bundle", filter="data")
    dockerfile = Path(__file__).with_name("Dockerfile")
    (context / "Dockerfile").write_text(dockerfile.read_text())
    docker(
        "build", "--quiet", "--network=host", f"--tag={TAG}", str(context), timeout=BUILD_TIMEOUT
    )
    return TAG


class Machine:
    """One booted container."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.booted_at = time.monotonic()

    def run(self, *command: str, timeout: float = 60) -> str:
        return docker("exec", self.name, *command, timeout=timeout).strip()

    def tried(self, *command: str) -> tuple[int, str]:
        """Exit code and output, of a command that may fail."""
        done = subprocess.run(
            ("docker", "exec", self.name, *command), capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def shows(self, unit: str, what: str) -> str:
        return self.run("systemctl", "show", "--property", what, "--value", unit)

    def active(self, unit: str) -> bool:
        return self.tried("systemctl", "is-active", "--quiet", unit)[0] == 0

    def pid(self, unit: str) -> int:
        return int(self.shows(unit, "MainPID"))

    def log(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit", unit)

    @property
    def up(self) -> bool:
        """Whether systemd has started all it was to start."""
        return self.tried("systemctl", "is-system-running")[1].strip() in ("running", "degraded")

    def reboot(self) -> None:
        docker("restart", "--time=160", self.name, timeout=200)
        self.booted_at = time.monotonic()


Boot = Callable[..., Machine]


class Metadata:
    """IMDS, version 2 only: without a token it answers 401."""

    def __init__(self, instance: str) -> None:
        self.instance, self.url = instance, ""
        self.refused = 0


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    told = Metadata(f"i-{uuid.uuid4().hex[:17]}")

    class Handler(Silent):
        def do_PUT(self) -> None:
            asked = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
            self.answer(200 if asked else 400, b"a-token")

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") != "a-token":
                told.refused += 1
                self.answer(401)
            elif self.path == "/latest/meta-data/instance-id":
                self.answer(200, told.instance.encode())
            else:
                self.answer(404)

    with serving(Handler) as told.url:
        yield told


def _other_ports(settings: Settings) -> str:
    """The machine shares this one's network, so its socket unit gets free ports."""
    folder = "/etc/systemd/system/facerec-web.socket.d"
    listen = f"ListenStream=\nListenStream=0.0.0.0:{settings.port}\n"
    listen += "ListenStream={}:{}\n".format(*settings.admin_address)
    return (
        f"mkdir -p {folder}\ncat >{folder}/ports.conf <<'END'\n[Socket]\n{listen}END\n"
        "systemctl daemon-reload\n"
    )


@pytest.fixture
def boot(image: str, resources: Settings, metadata: Metadata, tmp_path: Path) -> Iterator[Boot]:
    """Boots an instance as the stack does: its user data writes the environment, enables a tier."""
    booted: list[Machine] = []

    def one(tier: str, *docker_options: str, **environment: str) -> Machine:
        lines = {
            "FACEREC_ID": resources.id,
            "AWS_REGION": resources.region,
            "AWS_ENDPOINT_URL": str(resources.endpoint_url),
            "AWS_ACCESS_KEY_ID": "embedded",
            "AWS_SECRET_ACCESS_KEY": "embedded",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url,
            "FACEREC_CONCURRENCY": "1",
            "FACEREC_POLL_SECONDS": "2",
            "PORT": str(resources.port),
            "FACEREC_FLOWER_PORT": str(free_port()),
            **environment,
        }
        written = "".join(f"{name}={value}\n" for name, value in lines.items())
        seed = tmp_path / f"seed{len(booted)}"
        seed.mkdir()
        (seed / "meta-data").write_text(f"instance-id: {metadata.instance}\n")
        (seed / "user-data").write_text(
            f"#!/bin/bash\nset -e\ncat >/etc/facerec/environment <<'END'\n{written}END\n"
            f"{_other_ports(resources)}systemctl enable --now facerec-{tier}-tier.target\n"
        )
        machine = Machine(f"{TAG}-{uuid.uuid4().hex[:8]}")
        booted.append(machine)
        volume = f"--volume={seed}:/var/lib/cloud/seed/nocloud:ro"
        docker("run", "--detach", f"--name={machine.name}", *BOOT, volume, *docker_options, image)
        return machine

    yield one
    for machine in booted:
        subprocess.run(
            ("docker", "rm", "--force", machine.name), capture_output=True, timeout=60, check=False
        )


@pytest.fixture(scope="module")
def sandboxed(image: str) -> Iterator[Callable[[str], "subprocess.CompletedProcess[str]"]]:
    """Runs a shell command in the sandbox of our units: their drop-in goes by the unit's name."""
    machine = Machine(f"{TAG}-{uuid.uuid4().hex[:8]}")
    try:
        docker("run", "--detach", f"--name={machine.name}", *BOOT, *NAMESPACES, image)
        deadline = time.monotonic() + 120
        while not machine.up and time.monotonic() < deadline:
            time.sleep(0.5)

        def attempt(command: str) -> "subprocess.CompletedProcess[str]":
            probe = (
                "docker", "exec", machine.name, "systemd-run", "--quiet", "--wait", "--pipe",
                "--collect", "--unit=facerec-sandboxed", "--property=StateDirectory=facerec/probe",
                "sh", "-c", command,
            )  # fmt: skip
            return subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)

        yield attempt
    finally:
        docker("rm", "--force", machine.name)
