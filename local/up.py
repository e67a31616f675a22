"""``facerec up``: the whole system on this machine, from nothing to ready and back to nothing."""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import urllib3

from facerec_tasks.errors import ConfigurationError
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.storage import Storage
from local import embedded_aws, ports, system
from local.child import Child
from local.keeper import GalleryKeeper
from local.resources import create_resources
from local.samples import probe
from local.supervisor import Supervisor

WATCH_EVERY = 0.25
STEP_TIMEOUT = 600.0
"""Seconds for the conversion of the models, once, on a slow machine."""
LAST_SAVE = 1.0
"""Seconds that copying the gallery may take from the ten in which all ends."""
PROBE_TIMEOUT = 120.0
"""Seconds for the first answer: a machine starts, a worker boots, a photo is recognised."""


class _Ended(BaseException):
    """Raised in the main thread by a signal, wherever it is waiting."""


def up(settings: Settings) -> None:
    """Runs until SIGINT or SIGTERM; every process it started has ended when it returns.

    Raises :class:`ConfigurationError` before anything is started when a port is taken, the state
    directory cannot be written, or it runs already; :class:`ServiceFailed` when a part of the
    system does not start or the embedded AWS dies.
    """
    began = time.monotonic()
    with _only_one(settings.state_dir):
        _check_ports(settings)
        isolated = _isolate(settings)
        supervisor = Supervisor(system.ENDINGS)
        keeper = GalleryKeeper(Storage(isolated), isolated.state_dir / "kept" / isolated.id)
        try:
            _end_on_signals()
            _start(isolated, supervisor, keeper)
            print(f"{_first_answer(isolated)}  ({time.monotonic() - began:.1f} s from the start)")
            print(f"ready: {system.web_url(isolated)}", flush=True)
            while True:
                supervisor.revive(irreplaceable=(system.AWS,))
                time.sleep(WATCH_EVERY)
        except _Ended:
            _say("ending")
        finally:
            _ignore_signals()  # the way down is short and has an end
            keeper.stop(LAST_SAVE)
            supervisor.end(_say)


def _start(settings: Settings, supervisor: Supervisor, keeper: GalleryKeeper) -> None:
    environment = dict(os.environ)
    supervisor.start(system.aws_definition(settings, environment))
    _run("facerec_tasks.recognition.convert", "--out", str(settings.models_dir))
    supervisor.wait_ready(system.AWS)
    create_resources(settings)
    keeper.restore()
    keeper.watch()
    _say("embedded AWS, buckets and queues are there; starting web, controller, workers, Flower")
    services = system.service_definitions(settings, environment)
    for definition in services:
        supervisor.start(definition)
    _run("local.sample_people")
    supervisor.wait_ready(*(definition.name for definition in services))


def _first_answer(settings: Settings) -> str:
    """Sends the sample photo as any client does; raises :class:`ConfigurationError`."""
    sample = probe()
    _say(f"sending {sample.file_name}, another picture of {sample.name.replace('_', ' ')}")
    answer = urllib3.request(
        "POST",
        system.web_url(settings) + "/",
        fields={"inputFile": (sample.file_name, sample.data, "image/jpeg")},
        timeout=PROBE_TIMEOUT,
        retries=False,
    )
    text = answer.data.decode(errors="replace").strip()
    if answer.status != 200:
        raise ConfigurationError(
            f"the first photo was answered with {answer.status}: {text}; "
            f"see {system.logs_folder(settings)}"
        )
    return text


def _run(module: str, *arguments: str) -> None:
    """Runs a module of ours to its end, its output on ours; raises :class:`ConfigurationError`."""
    child = Child((sys.executable, "-m", module, *arguments))
    try:
        if not child.wait(STEP_TIMEOUT):
            raise ConfigurationError(f"{module} did not end within {STEP_TIMEOUT:.0f} s")
    finally:
        child.kill()
    if child.exit_code:
        raise ConfigurationError(f"{module} failed; its reason is above")


def _isolate(settings: Settings) -> Settings:
    """Turns this process and its children away from any real account; the settings from then on."""
    endpoint = f"http://{embedded_aws.HOST}:{settings.local_aws_port}"
    environment = embedded_aws.isolated(os.environ, endpoint, settings.region)
    os.environ.clear()
    os.environ.update(environment)
    get_settings.cache_clear()
    return get_settings()


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Holds the state directory for this process, also against one that starts at this moment."""
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        lock = (folder / "up.lock").open("a+")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {folder.absolute()} ({error.strerror}): "
            "set FACEREC_STATE_DIR to a folder of yours"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"facerec up runs already in {folder.absolute()}") from None
        yield


def _check_ports(settings: Settings) -> None:
    wanted = system.ports(settings)
    found = ports.faults(wanted)
    if found:
        raise ConfigurationError(f"{'; '.join(found)}: see facerec up --help for other ports")


def _end_on_signals() -> None:
    def end(number: int, frame: FrameType | None) -> NoReturn:
        _ignore_signals()
        raise _Ended

    # Set even where they are ignored, as SIGINT is in a shell's background job; only nohup's
    # ignored SIGHUP is meant.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, end)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _say(line: str) -> None:
    print(f"facerec: {line}", flush=True)
