"""``facerec up``: the whole system on this machine, from nothing to ready and back to nothing."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from celery_sqs.testing.server import HOST, isolated

from facerec_tasks.errors import ConfigurationError
from facerec_tasks.settings import Settings, get_settings
from local import system
from local.emulators import embedded_aws
from local.emulators.resources import create_resources
from local.processes import discovery, expiry, former_copy, ports
from local.processes.child import Child
from local.processes.shutdown import ShutdownRequested, end_on_signals, ignore_signals
from local.processes.supervisor import ServiceFailed, Supervisor

WATCH_EVERY = 0.1
"""Seconds between two looks at the services."""
STEP_TIMEOUT = 600.0
"""Seconds for the conversion of the models, once, on a slow machine."""
PHOTO_TIMEOUT = 180.0
"""Seconds for the first answer, above the sender's own time-out."""


def up(settings: Settings, *, parent: int | None = None) -> None:
    """Runs until SIGINT or SIGTERM; every process it started has ended when it returns.

    With ``parent``, the process that started this one, it also ends when that one does, were it by
    kill -9.

    Raises :class:`ConfigurationError` before anything is started when a port is taken, the state
    directory cannot be written, or it runs already; :class:`ServiceFailed` when a part of the
    system does not start or the embedded AWS dies.
    """
    began = time.monotonic()
    with discovery.exclusive(settings.state_dir):
        _check_ports(settings)
        settings = _isolate(settings)
        embedded_aws.check_region(settings.region)
        discovery.advertise(settings.state_dir)
        _put_away_logs(settings)
        with _supervised() as supervisor, expiry.running(settings):
            answer = _start(settings, supervisor)
            _say(f"its answer, {time.monotonic() - began:.1f} s after the start:")
            print(answer)
            print(f"ready: {system.web_url(settings)}", flush=True)
            while parent in (None, os.getppid()):
                supervisor.restart(irreplaceable=(system.AWS,))
                time.sleep(WATCH_EVERY)
            _say("the process that started this one has ended: ending as well")


@contextmanager
def _supervised() -> Iterator[Supervisor]:
    """A supervisor whose services have ended when the block has, also when a signal ends it."""
    supervisor = Supervisor(system.SHUTDOWN_STEPS)
    try:
        end_on_signals()
        yield supervisor
    except ShutdownRequested:
        _say("ending")
    except ServiceFailed as failure:
        if failure.name == system.AWS:
            supervisor.kill()  # nobody can finish anything without it
        raise
    finally:
        ignore_signals()
        supervisor.end(_say)


def _start(settings: Settings, supervisor: Supervisor) -> str:
    """Starts everything, the slowest first; returns the answer to the sample photo.

    The photo is sent as soon as somebody listens, and people are enrolled while its machine boots.
    No worker starts before they are: it would not know them.
    """
    environment = dict(os.environ)
    supervisor.start(system.aws_spec(settings, environment))
    _run("facerec_tasks.recognition.conversion.convert", "--out", str(settings.models_dir))
    sender = (sys.executable, "-m", "local.samples.first_photo", system.web_url(settings))
    with Child(sender, stdout=subprocess.PIPE) as photo:
        supervisor.wait_ready(system.AWS)
        create_resources(settings)
        former_copy.restore(settings)
        _say(
            "embedded AWS, buckets and queues are there; starting web, controller, workers, Flower"
        )
        _start_services(settings, supervisor, environment)
        return _answer(photo, supervisor)


def _start_services(
    settings: Settings, supervisor: Supervisor, environment: dict[str, str]
) -> None:
    services = system.service_specs(settings, environment)
    supervisor.start(services[system.WEB])
    supervisor.start(services[system.CONTROLLER])
    _run("local.samples.enrol")
    supervisor.start(services[system.WORKER_HOST])
    supervisor.start(services[system.FLOWER])
    supervisor.wait_ready(*services)


def _answer(photo: Child, supervisor: Supervisor) -> str:
    deadline = time.monotonic() + PHOTO_TIMEOUT
    while photo.exit_code is None and time.monotonic() < deadline:
        supervisor.restart(irreplaceable=(system.AWS,))
        time.sleep(WATCH_EVERY)
    answer = photo.first_line(timeout=0) if photo.exit_code == 0 else None
    if answer is None:
        raise ConfigurationError(
            "the first photo has no answer; the reason is above or in the logs"
        )
    return answer


def _run(module: str, *arguments: str) -> None:
    """Runs a module of ours to its end, its output on ours; raises :class:`ConfigurationError`."""
    with Child((sys.executable, "-m", module, *arguments)) as child:
        if not child.wait(STEP_TIMEOUT):
            raise ConfigurationError(f"{module} did not end within {STEP_TIMEOUT:.0f} s")
    if child.exit_code:
        raise ConfigurationError(f"{module} failed; its reason is above")


def _isolate(settings: Settings) -> Settings:
    """Turns this process and its children away from any real account; the settings from then on."""
    endpoint = f"http://{HOST}:{settings.local_aws_port}"
    environment = isolated(os.environ, endpoint, settings.region)
    os.environ.clear()
    os.environ.update(environment)
    get_settings.cache_clear()
    return get_settings()


def _check_ports(settings: Settings) -> None:
    wanted = system.ports(settings)
    found = ports.faults(wanted)
    if found:
        raise ConfigurationError(f"{'; '.join(found)}: see facerec up --help for other ports")


def _put_away_logs(settings: Settings) -> None:
    """Keeps the logs of the run before this one, and no older ones."""
    folder = system.logs_folder(settings)
    before = folder.with_name("logs.before")
    shutil.rmtree(before, ignore_errors=True)
    folder.rename(before)
    folder.mkdir()


def _say(line: str) -> None:
    print(f"facerec: {line}", flush=True)
