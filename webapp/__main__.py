"""``python -m webapp``: the web tier on ``FACEREC_HOST`` and ``PORT`` until SIGTERM."""

import errno
import logging
import signal
import sys
import threading

from celery_sqs._results.response_queue import Slot
from pydantic import ValidationError

from facerec_tasks import logs
from facerec_tasks.errors import AwsError
from facerec_tasks.settings import get_settings
from webapp.http.application import create_app
from webapp.http.malloc import give_back_large_blocks
from webapp.http.server import Server
from webapp.services.in_flight import Ledger
from webapp.services.metrics import Metrics
from webapp.services.task_client import Doorbell

log = logging.getLogger("webapp")


def main() -> int:
    """Serves; 0 after a drain, 1 when it cannot start."""
    logs.configure("web")
    give_back_large_blocks()
    try:
        settings = get_settings()
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 1
    slot = Slot(settings.state_dir, "web")
    ledger = Ledger(f"{settings.machine}-{slot.number}")
    doorbell = Doorbell(settings, ledger, Metrics(settings.state_dir / "metrics"))
    try:
        server = Server(create_app(settings, doorbell), settings)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        print(f"port {settings.port} is taken: set PORT to another one", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    log.info("listening on http://%s:%s", server.effective_host, server.effective_port)
    threading.Thread(target=_prepare, args=(doorbell,), name="prepare", daemon=True).start()
    server.serve(draining=doorbell.stop, drain_timeout=settings.drain_timeout)
    return 0


def _prepare(doorbell: Doorbell) -> None:
    """The first photo should not wait for the response queue; without AWS, it will have to."""
    try:
        doorbell.start()
    except AwsError as error:
        log.warning("no response queue yet: %s", error)


if __name__ == "__main__":
    sys.exit(main())
