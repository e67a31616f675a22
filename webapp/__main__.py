"""``python -m webapp``: the web tier on ``FACEREC_HOST`` and ``PORT`` until SIGTERM."""

import errno
import logging
import signal
import sys
import threading

from pydantic import ValidationError

from celery_sqs import ProcessSlot
from facerec_tasks import logs
from facerec_tasks.errors import AwsError
from facerec_tasks.settings import get_settings
from webapp.http.application import create_app
from webapp.http.malloc import tune_malloc
from webapp.http.server import Server
from webapp.services.in_flight import InFlight
from webapp.services.metrics import WebMetrics
from webapp.services.task_client import TaskClient

log = logging.getLogger("webapp")


def main() -> int:
    """Serves; 0 after a drain, 1 when it cannot start."""
    logs.configure("web")
    tune_malloc()
    try:
        settings = get_settings()
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 1
    slot = ProcessSlot(settings.state_dir, "web")
    in_flight = InFlight(f"{settings.machine}-{slot.number}")
    task_client = TaskClient(settings, in_flight, WebMetrics(settings.state_dir / "metrics"))
    try:
        server = Server(create_app(settings, task_client), settings)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        print(f"port {settings.port} is taken: set PORT to another one", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    log.info("listening on http://%s:%s", server.effective_host, server.effective_port)
    threading.Thread(target=_prepare, args=(task_client,), name="prepare", daemon=True).start()
    server.serve(draining=task_client.stop, drain_timeout=settings.drain_timeout)
    return 0


def _prepare(task_client: TaskClient) -> None:
    """The first photo should not wait for the response queue; without AWS, it will have to."""
    try:
        task_client.start()
    except AwsError as error:
        log.warning("no response queue yet: %s", error)


if __name__ == "__main__":
    sys.exit(main())
