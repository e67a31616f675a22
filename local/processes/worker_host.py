"""Runs a worker for every app-tier machine that the emulated EC2 says is running.

``python -m local.processes.worker_host`` is what boots and shuts down machines on AWS: one
``celery worker`` per running instance, SIGTERM when it is stopped or terminated and SIGKILL after
a grace, started again when it dies by itself, as its systemd unit would. Neither the controller
nor the workers can tell it from AWS. Its workers die with it, however it dies.
"""

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoscale.fleet import MEMBER_TAG, NAME
from facerec_tasks import aws, logs
from facerec_tasks.errors import AwsError
from facerec_tasks.heartbeat_file import HeartbeatFile
from facerec_tasks.settings import Settings, get_settings
from local.processes.readiness import wait_until
from local.processes.service import Service, ServiceSpec
from local.processes.shutdown import ShutdownRequested, end_on_signals

log = logging.getLogger("worker-host")

LOOK_EVERY = 0.5
"""Seconds between two looks at EC2."""
START_EVERY = 0.4
"""Seconds between two starts: a worker needs about a second of one core to boot."""
STOP_GRACE = 30.0
"""Seconds a stopped machine's worker has to finish its task and its last poll."""
POLL_SECONDS = "1"
"""Of the workers' long polls, which a stopping worker awaits; calls cost nothing here."""
END_GRACE = 1.0
"""Seconds all workers have when the worker host itself ends."""


@dataclass(frozen=True)
class WorkerChanges:
    """What to do with workers, by instance id."""

    start: tuple[str, ...]
    stop: tuple[str, ...]


def plan(running: Mapping[str, str], hosted: Mapping[str, bool]) -> WorkerChanges:
    """Compares machines with workers.

    ``running`` maps the ids of running machines to their names, ``hosted`` those of machines we
    have a worker for to whether it is being stopped. A machine that was started again waits until
    its old worker has ended.
    """
    return WorkerChanges(
        start=tuple(sorted(running.keys() - hosted.keys(), key=lambda i: (running[i], i))),
        stop=tuple(
            sorted(i for i, stopping in hosted.items() if i not in running and not stopping)
        ),
    )


def running_machines(settings: Settings) -> dict[str, str]:
    """App-tier machines that run on the emulated EC2: name by id; raises :class:`AwsError`.

    A machine is ours by its fleet tag, or, when it has none, by its name.
    """
    ec2 = aws.client(settings, "ec2")
    filters = [{"Name": "instance-state-name", "Values": ["running"]}]
    found: dict[str, str] = {}
    with aws.translated():
        pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)  # type: ignore[arg-type]
        for page in pages:
            for instance in (i for r in page["Reservations"] for i in r["Instances"]):
                tags = {t["Key"]: t["Value"] for t in instance.get("Tags", [])}
                name = tags.get("Name", "")
                if tags.get(MEMBER_TAG, settings.id) != settings.id:
                    continue
                if MEMBER_TAG in tags or name.startswith(NAME):
                    found[instance["InstanceId"]] = name
    return found


class Host:
    """One machine's worker, from its first start until its last process has ended."""

    def __init__(self, spec: ServiceSpec) -> None:
        self.service = Service(spec)
        self.kill_at: float | None = None
        """``time.monotonic()`` at which a worker that was told to stop is killed."""

    @property
    def stopping(self) -> bool:
        return self.kill_at is not None

    def stop(self, grace: float) -> None:
        """Tells the worker to finish what it does and end."""
        self.kill_at = time.monotonic() + grace
        self.service.signal(signal.SIGTERM)

    def gone(self) -> bool:
        """Whether it has been stopped and nothing of it is left; kills it when its time is up."""
        if self.kill_at is None or not (self.service.ended or time.monotonic() >= self.kill_at):
            return False
        if not self.service.ended:
            log.warning("%s does not end within its grace: killing it", self.service.name)
        self.service.kill()
        return True


class WorkerHost:
    """Keeps workers and machines in step. Use it in one thread, which lives as long as it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wipe()  # what a killed one left behind
        self._hosts: dict[str, Host] = {}
        self._next_start = 0.0
        self._failing = False
        self.settled = True
        """Whether no machine waits for its worker to be started."""

    @property
    def count(self) -> int:
        """Machines that have a worker, those that end included."""
        return len(self._hosts)

    def step(self) -> None:
        """One look at EC2, and what follows from it. Without an answer nothing changes."""
        self._collect()
        try:
            running = running_machines(self._settings)
        except AwsError as error:
            if not self._failing:  # once, not twice a second
                log.warning("EC2 does not answer, leaving all as it is: %s", error)
            self._failing = True
            return
        self._failing = False
        todo = plan(running, {i: host.stopping for i, host in self._hosts.items()})
        for machine in todo.stop:
            log.info("%s is stopped", self._hosts[machine].service.name)
            self._hosts[machine].stop(STOP_GRACE)
        self.settled = not todo.start
        if todo.start and time.monotonic() >= self._next_start:
            self._boot(todo.start[0], running[todo.start[0]])

    def _collect(self) -> None:
        now = time.monotonic()
        for machine, host in list(self._hosts.items()):
            if host.gone():
                shutil.rmtree(self._disk(machine), ignore_errors=True)
                del self._hosts[machine]
            elif not host.stopping:
                host.service.restart(now)

    def _boot(self, machine: str, name: str) -> None:
        self._next_start = time.monotonic() + START_EVERY
        (self._disk(machine) / "tmp").mkdir(parents=True, exist_ok=True)
        host = self._hosts[machine] = Host(self._spec(machine, name))
        host.service.start()
        log.info("%s runs, process %s", host.service.name, host.service.pid)

    def _spec(self, machine: str, name: str) -> ServiceSpec:
        concurrency = str(self._settings.local_concurrency)
        node = f"{name or 'app-tier-instance'}@{machine}"
        return ServiceSpec(
            name=node,
            command=(
                sys.executable, "-m", "celery", "-A", "facerec_tasks.worker", "worker",
                "-P", "prefork", "-c", concurrency, "-n", node,
                "--include", "local.processes.pool_death_signal",
            ),
            environment={
                **os.environ,
                "FACEREC_MACHINE": machine,
                "FACEREC_STATE_DIR": str(self._disk(machine)),
                "TMPDIR": str(self._disk(machine) / "tmp"),  # what a killed worker leaves goes too
                "FACEREC_CONCURRENCY": concurrency,
                "FACEREC_POLL_SECONDS": os.environ.get("FACEREC_POLL_SECONDS", POLL_SECONDS),
            },
            log=self._logs / f"worker-{machine}.log",
        )  # fmt: skip

    @property
    def _logs(self) -> Path:
        return self._settings.state_dir.absolute() / "logs"

    def _disk(self, machine: str) -> Path:
        return self._settings.state_dir.absolute() / "machines" / machine

    def end(self, grace: float) -> None:
        """Stops all workers at once; kills those left after ``grace`` seconds."""
        for host in self._hosts.values():
            host.stop(grace)
        wait_until(lambda: all(h.service.ended for h in self._hosts.values()), grace)
        for host in self._hosts.values():
            host.service.kill()
        self._wipe()

    def _wipe(self) -> None:
        shutil.rmtree(self._settings.state_dir / "machines", ignore_errors=True)


def main() -> None:
    logs.configure("worker-host")
    settings = get_settings()
    (settings.state_dir / "logs").mkdir(parents=True, exist_ok=True)
    worker_host = WorkerHost(settings)
    heartbeat = HeartbeatFile(settings.state_dir, "worker-host")
    try:
        end_on_signals()
        log.info("looking after the app-tier machines of %s", settings.endpoint_url)
        while True:
            heartbeat.touch()
            worker_host.step()
            time.sleep(LOOK_EVERY if worker_host.settled else START_EVERY / 2)
    except ShutdownRequested:
        log.info("ending")
    finally:
        worker_host.end(END_GRACE)


if __name__ == "__main__":
    main()
