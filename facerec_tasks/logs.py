"""Log lines with a request id, from the web tier through the task; text or JSON."""

import json
import logging
import re
import sys
import time
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Id of the request (web, task) or of the step (controller) this thread is working on."""

_PLAIN = re.compile(r"[!#-<>-~]+")
"""Needs no quotes in ``name=value``."""


class _TextFormatter(logging.Formatter):
    """``time level role request_id logger message``."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        # By hand: the web tier writes a line for each request, and logging's way takes thrice as
        # long.
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        moment = f"{self._time(int(record.created))},{int(record.msecs):03d}"
        place = f"{self._role} {request_id.get()} {record.name}"
        line = f"{moment} {record.levelname} {place} {text}"
        fields = getattr(record, "fields", None)
        return line + "".join(f" {k}={_quoted(v)}" for k, v in fields.items()) if fields else line

    def _time(self, second: int) -> str:
        if self._second[0] != second:
            self._second = (second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second)))
        return self._second[1]


class _JsonFormatter(_TextFormatter):
    """One JSON object a line; what a record carries as ``fields`` becomes members."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "role": self._role,
            "request_id": request_id.get(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def configure(role: str, *, as_json: bool = False) -> None:
    """Sends this process's log lines to standard error in the one format of the system."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((_JsonFormatter if as_json else _TextFormatter)(role))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # No line shows these, and looking them up costs as much as the rest of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for noisy in ("botocore", "urllib3", "boto3", "s3transfer"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # full pools are no news
    # Celery writes every result into its line of success, with the names of people in it.
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
