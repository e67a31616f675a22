"""The processes of the whole system on one machine, and when each of them is ready."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from celery_sqs.testing.server import HOST

from facerec_tasks.settings import Settings
from local.emulators import embedded_aws
from local.processes.readiness import answers
from local.processes.service import ServiceSpec
from local.processes.supervisor import ShutdownStep
from webapp.http.listening import listen

AWS, WEB, CONTROLLER, WORKER_HOST, FLOWER = (
    "embedded AWS", "web", "controller", "worker-host", "flower",
)  # fmt: skip

BOOTS = {"FACEREC_BOOT": "8", "FACEREC_BOOT_WORST": "40"}
"""Seconds that machines of this kind take: the controller assumes slower ones until it has seen
some, and starts two for the first photo, which on one machine makes both slower."""
WEB_GRACE = 2.5
"""Seconds the web tier has to answer those who wait when all ends: 10 s are for everything."""
SHUTDOWN_STEPS = (
    ShutdownStep((WEB, CONTROLLER, FLOWER), WEB_GRACE + 0.5),  # workers still answer the web tier
    ShutdownStep((WORKER_HOST,), 2.0),
    ShutdownStep((AWS,), 0.5),
)


def aws_spec(settings: Settings, environment: Mapping[str, str]) -> ServiceSpec:
    """The embedded AWS, which everything else needs first."""
    command = embedded_aws.command(
        settings.local_aws_port,
        pending=settings.local_pending,
        stopping=settings.local_stopping,
        folder=objects_folder(settings),
    )
    log = _log(settings, AWS)

    def ready() -> bool:
        # It prints its address once it has the port. To connect would not do: who answers there
        # may be another's, started at the same moment.
        return log.exists() and log.read_text().startswith("http://")

    return ServiceSpec(AWS, command, environment, log, ready)


def service_specs(settings: Settings, environment: Mapping[str, str]) -> dict[str, ServiceSpec]:
    """Everything that runs on the embedded AWS, by name; may be started in any order."""
    python = sys.executable
    flower = (
        python, "-m", "celery_sqs", "-A", "facerec_tasks.app", "flower",
        f"--port={settings.flower_port}",
    )  # fmt: skip
    listening = web_sockets(settings)
    web_environment = {
        **environment,
        "FACEREC_DRAIN_TIMEOUT": str(WEB_GRACE),
        "FACEREC_LISTEN_FDS": ",".join(map(str, listening)),
    }
    web_ready = partial(answers, f"{web_url(settings)}/healthz")
    flower_ready = partial(answers, f"http://127.0.0.1:{settings.flower_port}/")
    controller = (python, "-m", "autoscale.controller")
    host = (python, "-m", "local.processes.worker_host")
    specs = (
        ServiceSpec(
            WEB,
            (python, "-m", "webapp"),
            web_environment,
            _log(settings, WEB),
            web_ready,
            listening,
        ),
        ServiceSpec(CONTROLLER, controller, {**BOOTS, **environment}, _log(settings, CONTROLLER)),
        ServiceSpec(WORKER_HOST, host, environment, _log(settings, WORKER_HOST)),
        ServiceSpec(FLOWER, flower, environment, _log(settings, FLOWER), flower_ready),
    )
    return {spec.name: spec for spec in specs}


def ports(settings: Settings) -> dict[str, tuple[str, int]]:
    """Host and port by what wants to listen there."""
    return {
        "web": (settings.host, settings.port),
        "web, for operators": settings.admin_address,
        "embedded AWS": (HOST, settings.local_aws_port),
        "Flower": ("127.0.0.1", settings.flower_port),
    }


def web_sockets(settings: Settings) -> tuple[int, int]:
    """Numbers of the web tier's listening sockets, which stay open as long as this process: a
    client that connects while the web tier restarts waits instead of being refused.

    Raises :class:`OSError`.
    """
    public = listen(settings.host, settings.port)
    admin = listen(*settings.admin_address)
    return public.detach(), admin.detach()


def web_url(settings: Settings) -> str:
    """Where the web tier is reached from this machine."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def logs_folder(settings: Settings) -> Path:
    """One file a process."""
    return settings.state_dir.absolute() / "logs"


def _log(settings: Settings, name: str) -> Path:
    return logs_folder(settings) / f"{name.replace(' ', '-')}.log"


def objects_folder(settings: Settings) -> Path:
    """What the embedded S3 keeps from one run to the next."""
    return settings.state_dir.absolute() / "objects"
