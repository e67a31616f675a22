"""Log lines that can be followed from the web tier through the task: every one has a request id."""

import logging
import sys
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Id of the request (web, task) or of the step (controller) this thread is working on."""


class _Formatter(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__(
            f"%(asctime)s %(levelname)s {role} %(request_id)s %(name)s %(message)s",
            defaults={"request_id": "-"},
        )

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id.get()
        return super().format(record)


def formatter(role: str) -> logging.Formatter:
    """``time level role request_id logger message``."""
    return _Formatter(role)


def configure(role: str, level: int = logging.INFO) -> None:
    """Sends this process's log lines to standard error in the one format of the system."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(role))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("botocore", "urllib3", "boto3", "s3transfer"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # full pools are no news
    # Celery writes every result into its line of success, with the names of people in it.
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
