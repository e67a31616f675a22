"""The Celery application. Any process may import it: it brings neither engine nor web framework."""

from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown

from facerec_tasks import logs, tracing

app = Celery("facerec")
app.config_from_object("celeryconfig")


@setup_logging.connect
def _one_log_format(**_: Any) -> None:
    """Celery leaves logging alone when this signal has a receiver."""
    logs.configure("worker")


@worker_process_init.connect
def _trace(**_: Any) -> None:
    if tracing.configure("worker"):
        worker_process_shutdown.connect(tracing.flush)
