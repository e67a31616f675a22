"""``python -m webapp``: the web tier on ``FACEREC_HOST`` and ``PORT`` until SIGTERM."""

import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from pydantic import ValidationError

from celery_sqs import ProcessSlot
from facerec_tasks import logs
from facerec_tasks import settings as configuration
from facerec_tasks.backoff import Backoff
from facerec_tasks.errors import AwsError
from facerec_tasks.settings import Settings

MAX_PREPARE_PAUSE = 30.0
"""Seconds between two attempts to create the response queue."""


def main() -> int:
    """Serves; 0 after a drain, 1 when it cannot start."""
    try:
        settings = Settings()
    except ValidationError as error:
        print(*configuration.faults(error), sep="\n", file=sys.stderr)
        return 1
    logs.configure("web", as_json=settings.log_format == "json")
    for line in configuration.unknown_variables(os.environ):
        logging.getLogger("webapp").warning("%s", line)
    try:
        return _serve(settings)
    except OSError as error:
        print(_reason(error, settings), file=sys.stderr)
        return 1


def _serve(settings: Settings) -> int:
    """Raises :class:`OSError` when an address or the state directory cannot be used."""
    # Imported here: the application reads the settings when it is imported.
    from webapp.http.listening import sockets
    from webapp.process import WebProcess, tune_malloc
    from webapp.services.in_flight import InFlight
    from webapp.services.metrics import WebMetrics
    from webapp.services.task_client import TaskClient

    log = logging.getLogger("webapp")
    tune_malloc()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    slot = ProcessSlot(settings.state_dir, "web")
    in_flight = InFlight(f"{settings.machine}-{slot.number}")
    metrics = WebMetrics(settings.state_dir / "metrics")
    task_client = TaskClient(settings, in_flight, metrics)
    public, admin = sockets((settings.host, settings.port), settings.admin_address)
    process = WebProcess(settings, task_client, public, admin)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.stop())
    log.info("listening on %s, for operators on %s", _url(public), _url(admin))
    threading.Thread(target=_prepare, args=(task_client,), name="prepare", daemon=True).start()
    process.serve()
    return 0


def _prepare(task_client: Any) -> None:
    """Creates the response queue before the first photo. A process that is not ready gets no
    photo from a load balancer, so this is tried until AWS is there."""
    from webapp.process import tune_collector

    pauses = Backoff(1.0, MAX_PREPARE_PAUSE)
    while True:
        try:
            task_client.start()
            return tune_collector()
        except AwsError as error:
            logging.getLogger("webapp").warning("no response queue yet: %s", error)
        time.sleep(pauses.failed(time.monotonic()))


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _reason(error: OSError, settings: Settings) -> str:
    where = error.filename or settings.state_dir
    if error.errno == errno.EADDRINUSE:
        return f"{where}: the port is taken; set PORT or FACEREC_ADMIN_PORT to another one"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine has no such address; see FACEREC_HOST, FACEREC_ADMIN_HOST"
    if isinstance(error, PermissionError | FileExistsError | NotADirectoryError):
        return f"{where}: {error.strerror}; see FACEREC_STATE_DIR, PORT"
    return f"{where}: {error.strerror or error}"


if __name__ == "__main__":
    sys.exit(main())
