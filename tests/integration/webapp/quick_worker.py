"""A worker of the test, in its own process: real Celery, transport and tasks, an engine at once.

Its photos are JPEG in their first bytes; the rest is JSON saying what the engine shall answer:
``{"name": "Paul", "seconds": 0.5}``.
"""

import json
import sys
import time
from typing import Any

from celery.signals import worker_init

from facerec_tasks.app import app
from facerec_tasks.tasks import use_engine

BEGIN = b"\xff\xd8\xff"


def engine(photo: bytes) -> dict[str, Any]:
    wish = json.loads(photo.removeprefix(BEGIN).rstrip(b"\0"))
    time.sleep(wish.get("seconds", 0))
    if "code" in wish:
        return {"outcome": "rejected", "code": wish["code"], "detail": "as the test wished"}
    if "name" in wish:
        return {"outcome": "named", "name": wish["name"]}
    return {"outcome": wish["outcome"]}


@worker_init.connect
def _use_engine(**_: Any) -> None:
    use_engine(engine)


if __name__ == "__main__":
    app.worker_main(["worker", "--loglevel", "INFO", *sys.argv[1:]])
