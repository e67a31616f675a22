"""The machines of a deployed system: each boots its user data once, then runs its tier's services.

What cloud-init and systemd do of the image's units: user data at the first boot only, one
environment a service of ``/etc/facerec/environment``, the machine's name and its role's settings
file, a reading of the settings every few seconds, a restart when a role's file changes or its
process dies, SIGTERM when the instance stops and the plug pulled when it has stopped. Each process
has the access key of its own policy.
"""

import base64
import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from celery_sqs.testing import isolated

from facerec_tasks.settings import Settings
from local.processes.child import Child
from local.processes.ports import free_port

TIERS = {"web": ("web", "controller", "flower"), "app": ("worker",)}
READ_EVERY = {"web": 5.0, "app": 60.0}
"""Seconds between two readings of the settings, by tier; a minute on a machine."""
PROBE_EVERY = 60.0
LOOK_EVERY = 0.5
GRACE = 40.0
COMMANDS = {
    "web": ("-m", "webapp"),
    "controller": ("-m", "autoscale.controller"),
    "flower": ("-m", "celery_sqs", "-A", "facerec_tasks.app", "flower", "--port={flower}"),
    "worker": ("-m", "celery", "-A", "facerec_tasks.worker", "worker", "--pool", "prefork",
               "--concurrency", "1", "--hostname", "app-tier-instance@{machine}"),
}  # fmt: skip
"""As the units start them."""


@dataclass
class Machine:
    """One instance's disk and processes."""

    id: str
    tier: str
    disk: Path
    settings: Settings
    endpoint: str
    address: str
    port: int
    ports: dict[str, int]
    """Of Flower and of the operators."""
    services: dict[str, Child] = field(default_factory=dict)
    boots: int = 0
    restarted: list[str] = field(default_factory=list)
    """Roles whose settings changed."""
    user_data: "subprocess.Popen[bytes] | None" = None
    off: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    failures: list[str] = field(default_factory=list)
    _read_at: float = -math.inf
    _probed_at: float = -math.inf
    _thread: "threading.Thread | None" = None

    def first_boot(self, script: str) -> None:
        """Runs the user data, its paths below this machine's disk, systemctl written down."""
        for folder in ("etc/facerec", "run/facerec", "bin", "settings"):
            (self.disk / folder).mkdir(parents=True)
        for before, after in (
            ("/etc/facerec/", f"{self.disk}/etc/facerec/"),
            ("/run/facerec/", f"{self.disk}/run/facerec/"),
            ("/opt/facerec/web/bin/python", sys.executable),
            ("FACEREC_HOST=0.0.0.0", f"FACEREC_HOST={self.address}"),
        ):
            script = script.replace(before, after)
        (self.disk / "user-data").write_text(script)
        systemctl = self.disk / "bin" / "systemctl"
        systemctl.write_text(f'#!/bin/sh\necho "$@" >>{self.disk}/systemctl.log\n')
        systemctl.chmod(0o755)
        (self.disk / "run/facerec/machine").write_text(f"FACEREC_MACHINE={self.id}\n")
        with (self.disk / "user-data.log").open("wb") as log:
            self.user_data = subprocess.Popen(
                ["/bin/bash", self.disk / "user-data"],
                env=self._environment(f"{self._journal}-journal")
                | {"PATH": f"{self.disk}/bin:{os.environ['PATH']}"},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def _journal(self) -> str:
        return "web" if self.tier == "web" else "worker"

    @property
    def enabled(self) -> bool:
        log = self.disk / "systemctl.log"
        return log.exists() and f"enable --now facerec-{self.tier}-tier.target" in log.read_text()

    def _environment(self, role: str) -> dict[str, str]:
        """Of a process: what the unit's EnvironmentFiles say, and the key of its policy."""
        found: dict[str, str] = {}
        for file in ("etc/facerec/environment", "run/facerec/machine", f"settings/{role}"):
            path = self.disk / file
            lines = path.read_text().splitlines() if path.exists() else []
            found |= dict(line.split("=", 1) for line in lines)
        state = self.disk / "state" / role
        state.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return isolated(kept, self.endpoint, self.settings.region) | found | {
            "AWS_ACCESS_KEY_ID": role,
            "FACEREC_HOST": self.address,
            "PORT": str(self.port),
            "FACEREC_ADMIN_PORT": str(self.ports["admin"]),
            "FACEREC_STATE_DIR": str(state),
            "FACEREC_MODELS_DIR": str(Path("models").resolve()),
            "FACEREC_POLL_SECONDS": "2",
            "FLOWER_UNAUTHENTICATED_API": "true",
            "TMPDIR": str(state),
        }  # fmt: skip

    def run(self) -> None:
        """Until it is gone: services up, settings read, what has changed restarted."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self.ended.wait(LOOK_EVERY):
            try:
                if self.enabled and not self.off:
                    self._look()
            except Exception as error:  # noqa: BLE001  the test shows it
                self.failures.append(repr(error))

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._read_at > READ_EVERY[self.tier]:
            self._read_at = now
            self._read_settings()
        if self.tier == "web" and now - self._probed_at > PROBE_EVERY:
            self._probed_at = now
            subprocess.run(
                (sys.executable, "-m", "facerec_tasks.web_probe"),
                env=self._environment("web-journal"), capture_output=True, timeout=60, check=False,
            )  # fmt: skip
        for role in TIERS[self.tier]:
            child = self.services.get(role)
            if child is None or child.exit_code is not None:
                self._start(role)

    def _read_settings(self) -> None:
        before = {path.name: path.read_text() for path in (self.disk / "settings").iterdir()}
        done = subprocess.run(
            (sys.executable, "-m", "facerec_tasks.machine_settings", self.disk / "settings"),
            env=self._environment(f"{self._journal}-journal"), capture_output=True, timeout=60,
            check=False,
        )  # fmt: skip
        with (self.disk / "settings.log").open("ab") as log:
            log.write(done.stderr)
        after = {path.name: path.read_text() for path in (self.disk / "settings").iterdir()}
        for role in TIERS[self.tier]:
            child = self.services.get(role)
            if child and before.get(role) != after.get(role):
                self.restarted.append(role)
                child.end(GRACE)
                self._start(role)

    def _start(self, role: str) -> None:
        if self.off:
            return
        if role in self.services:
            self.services.pop(role).kill()
        words = {"machine": self.id, "flower": self.ports["flower"]}
        command = [sys.executable, *(part.format(**words) for part in COMMANDS[role])]
        log = self.disk / f"{role}.log"
        self.services[role] = Child(command, environment=self._environment(role), log=log)
        if self.off:  # meanwhile
            self.pull_plug()

    def stop(self) -> None:
        """As EC2 stops a machine: every service gets SIGTERM, and the time until it is stopped."""
        if not self.off:
            self.off = True
            for child in [*self.services.values()]:
                child.signal(signal.SIGTERM)

    def pull_plug(self) -> None:
        self.off = True
        while self.services:
            self.services.popitem()[1].kill()
        if self.user_data and self.user_data.poll() is None:
            os.killpg(self.user_data.pid, signal.SIGKILL)
            self.user_data.wait(10)


class Machines:
    """All machines of one id and region, as EC2 itself has them: booted, turned on and off."""

    def __init__(self, settings: Settings, emulator: str, endpoint: str, folder: Path) -> None:
        self._settings, self._endpoint, self._folder = settings, endpoint, folder
        self._ports = {"flower": free_port(), "admin": free_port()}
        self._ec2: Any = boto3.client(
            "ec2", region_name=settings.region, endpoint_url=emulator,
            aws_access_key_id="cloudformation", aws_secret_access_key="x",
        )  # fmt: skip
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self.machines: dict[str, Machine] = {}
        self.most = 0
        """Workers that ran at once."""
        self.failures: list[str] = []

    def __enter__(self) -> "Machines":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)
        for machine in self.machines.values():
            machine.ended.set()
            machine.pull_plug()
            self.failures += machine.failures

    @property
    def web(self) -> Machine | None:
        return next((m for m in self.machines.values() if m.tier == "web" and m.services), None)

    def log(self, role: str) -> str:
        logs = sorted(self._folder.glob(f"*/{role}.log"))
        return "\n".join(path.read_text(errors="replace") for path in logs)

    def _play(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001  the test shows it
                self.failures.append(repr(error))

    def _look(self) -> None:
        listed = {
            instance["InstanceId"]: instance
            for reservation in self._ec2.describe_instances()["Reservations"]
            for instance in reservation["Instances"]
        }
        for id_, found in listed.items():
            if found["State"]["Name"] == "running" and id_ not in self.machines:
                self._boot(found)
        for id_, machine in self.machines.items():
            state = listed[id_]["State"]["Name"] if id_ in listed else "terminated"
            if state in ("stopping", "shutting-down"):
                machine.stop()
            elif state in ("stopped", "terminated"):
                machine.pull_plug()
            else:
                machine.off = False
        workers = [m for m in self.machines.values() if m.tier == "app" and m.services]
        self.most = max(self.most, len(workers))

    def _boot(self, found: dict[str, Any]) -> None:
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
        tier = "web" if tags.get("Name") == "web-instance" else ""
        tier = "app" if tags.get("facerec-fleet") == self._settings.id else tier
        if not tier:
            return
        id_, address = found["InstanceId"], "127.0.0.1"
        if tier == "web":
            filters = [{"Name": "instance-id", "Values": [id_]}]
            addresses = self._ec2.describe_addresses(Filters=filters)["Addresses"]
            if not addresses:
                return  # doctor will ask at it
            address = addresses[0]["PublicIp"]
        told = self._ec2.describe_instance_attribute(InstanceId=id_, Attribute="userData")
        machine = Machine(
            id_, tier, self._folder / id_, self._settings, self._endpoint, address, 8000,
            self._ports,
        )  # fmt: skip
        machine.first_boot(base64.b64decode(told["UserData"]["Value"]).decode())
        machine.boots += 1
        self.machines[id_] = machine
        machine.run()
