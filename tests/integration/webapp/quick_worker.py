"""A worker of the test, in its own process: real Celery, transport and tasks, an engine at once.

Its photos are JPEG in their first bytes; the rest is JSON saying what the engine shall answer:
``{"name": "Paul", "seconds": 0.5}``. ``{"starts": FILE, ...}`` writes a line for every start; the
first ``times`` of them (all, without it) end as ``fails`` says: ``crash``, ``bug`` or ``away``.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from celery.signals import worker_init

from facerec_tasks.app import app
from facerec_tasks.errors import Unavailable
from facerec_tasks.tasks.worker_context import set_engine

BEGIN = b"\xff\xd8\xff"


def engine(photo: bytes) -> dict[str, Any]:
    wish = json.loads(photo.removeprefix(BEGIN).rstrip(b"\0"))
    if "starts" in wish:
        fail(wish)
    time.sleep(wish.get("seconds", 0))
    if "code" in wish:
        return {"outcome": "rejected", "code": wish["code"], "detail": "as the test wished"}
    if "name" in wish:
        return {"outcome": "named", "name": wish["name"]}
    return {"outcome": wish["outcome"]}


def fail(wish: dict[str, Any]) -> None:
    starts = Path(wish["starts"])
    with starts.open("a") as lines:
        lines.write(f"{os.getpid()}\n")
    if len(starts.read_text().splitlines()) > wish.get("times", sys.maxsize):
        return
    match wish.get("fails"):
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "bug":
            raise RuntimeError("a bug of the engine")
        case "away":
            raise Unavailable("S3 is away, says the test")


@worker_init.connect
def _use_engine(**_: Any) -> None:
    set_engine(engine)


if __name__ == "__main__":
    app.worker_main(["worker", "--loglevel", "INFO", *sys.argv[1:]])
