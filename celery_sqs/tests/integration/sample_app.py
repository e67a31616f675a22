"""A Celery application as any project might have it, to be run by the tests of the transport.

Configured by the environment, so that workers are started with the ordinary ``celery`` command.
What tasks do is written to the file ``SAMPLE_NOTES``, one line of words per note.
"""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import Reject
from kombu import Queue
from kombu.common import Broadcast

OPTIONS: dict[str, Any] = {
    "visibility_timeout": 5,
    "max_message_size": 1024,
    "backoff": [1, 4],
    "wait_time_seconds": 1,  # tests stop many workers, and each awaits its open poll
}


def make_app() -> Celery:
    """The application of the test whose environment this is."""
    identity = os.environ["SAMPLE_ID"]
    made = Celery(os.environ.get("SAMPLE_NAME", identity), set_as_current=False)
    made.conf.update(
        broker_url="sqs://",
        broker_transport="celery_sqs:Transport",
        broker_transport_options={
            **OPTIONS,
            "namespace": identity,
            **json.loads(os.environ.get("SAMPLE_OPTIONS", "{}")),
        },
        broker_connection_retry_on_startup=True,
        task_default_queue=f"{identity}-req-queue",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_lost_wait=1,
    )
    if "SAMPLE_BROADCAST" in os.environ:
        everybody = Broadcast(f"{identity}-everybody")
        made.conf.task_queues = (Queue(made.conf.task_default_queue), everybody)
    if "SAMPLE_ANSWERS" in os.environ:
        made.conf.update(
            task_ignore_result=False,
            result_backend="celery_sqs:ResponseQueueBackend",
            result_backend_thread_safe=True,
            result_backend_transport_options={
                "response_queue": f"{identity}-resp-queue",
                "state_dir": os.environ["SAMPLE_STATE_DIR"],
                "wait_time_seconds": 2,
            },
        )
    if "SAMPLE_STORE" in os.environ:
        made.conf.result_backend_transport_options["result_store"] = os.environ["SAMPLE_STORE"]
    made.conf.update(json.loads(os.environ.get("SAMPLE_SETTINGS", "{}")))
    _add_tasks(made)
    _add_answering_tasks(made)
    return made


def note(*words: object) -> None:
    """Appends a line; one write, so that lines of many processes do not mix."""
    line = " ".join(map(str, words)) + "\n"
    fd = os.open(os.environ["SAMPLE_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def notes() -> list[list[str]]:
    """All lines so far, as words."""
    path = Path(os.environ["SAMPLE_NOTES"])
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def _add_tasks(app: Celery) -> None:
    @app.task(name="sample.work", shared=False, bind=True)
    def work(self: Any, label: str, seconds: float = 0.0) -> None:
        note("begin", label, self.request.sqs_receive_count, os.getpid())
        time.sleep(seconds)
        note("end", label, self.request.sqs_receive_count, time.time())

    @app.task(name="sample.hand_back", shared=False, bind=True)
    def hand_back(self: Any, label: str, until: int) -> None:
        note("try", label, self.request.sqs_receive_count, time.time())
        if self.request.sqs_receive_count < until:
            raise Reject("not yet", requeue=True)

    @app.task(name="sample.dead_letter", shared=False, bind=True)
    def dead_letter(self: Any, label: str) -> None:
        note("dead_letter", label)
        raise Reject("poison", requeue=False)

    @app.task(name="sample.crash", shared=False, bind=True)
    def crash(self: Any, label: str, until: int) -> None:
        note("try", label, self.request.sqs_receive_count, time.time())
        if self.request.sqs_receive_count < until:
            os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="sample.overrun", shared=False, bind=True, time_limit=1)
    def overrun(self: Any, label: str, until: int) -> None:
        note("try", label, self.request.sqs_receive_count, time.time())
        if self.request.sqs_receive_count < until:
            time.sleep(60)

    @app.task(name="sample.pass_on", shared=False, bind=True)
    def pass_on(self: Any, label: str) -> None:
        app.tasks["sample.work"].delay(label)
        note("passed", label, os.getpid())


def _add_answering_tasks(app: Celery) -> None:
    @app.task(name="sample.answer", shared=False, bind=True)
    def answer(self: Any, label: str, size: int = 0, seconds: float = 0.0) -> str:
        note("begin", label, self.request.sqs_receive_count, os.getpid())
        time.sleep(seconds)
        return label + size * "x"

    @app.task(name="sample.answer_and_die", shared=False, bind=True)
    def answer_and_die(self: Any, label: str, seconds: float) -> str:
        note("begin", label, self.request.sqs_receive_count, os.getpid())
        if self.request.sqs_receive_count == 1:  # in the middle of giving its answer, or after it
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return label

    @app.task(name="sample.answer_and_dead_letter", shared=False, bind=True)
    def answer_and_dead_letter(self: Any, label: str) -> None:
        self.backend.store_result(self.request.id, label, "SUCCESS", request=self.request)
        raise Reject("poison", requeue=False)

    @app.task(name="sample.add", shared=False)
    def add(first: int, second: int) -> int:
        return first + second

    @app.task(name="sample.total", shared=False, bind=True)
    def total(self: Any, numbers: list[int]) -> int:
        note("total", self.request.id)
        return sum(numbers)

    @app.task(name="sample.replaced", shared=False, bind=True)
    def replaced(self: Any, number: int) -> None:
        raise self.replace(app.signature("sample.add", (number, number)))

    @app.task(name="sample.progress", shared=False, bind=True)
    def progress(self: Any) -> str:
        self.update_state(state="PROGRESS", meta={"at": 1})
        time.sleep(5)
        return "done"

    @app.task(name="sample.fail", shared=False)
    def fail(label: str) -> None:
        raise ValueError(label)


def decode_order(body: str, queue: str) -> Any:
    """The hook ``decode_foreign``: an order of another system is a task."""
    try:
        order = json.loads(body)["order"]
    except (KeyError, TypeError, ValueError):
        return None
    return app.signature("sample.work", (order,))


def _die_once(*_: Any, **__: Any) -> None:
    """Kills this process, unless one has died so already."""
    try:
        os.close(os.open(os.environ["SAMPLE_CHORD_KILLED"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_chords(step: str) -> None:
    """Has the process die once before a step of :mod:`celery_sqs._results.chords`, or after it."""
    from celery_sqs._results import chords

    names = {"count": "part_returned", "claim": "_claim", "join": "_join", "send": "_send",
             "sent": "_send", "done": "_finish"}  # fmt: skip
    original = getattr(chords.Chords, names[step])

    def dying(*args: Any) -> Any:
        if step in ("sent", "done"):
            value = original(*args)
            _die_once()
            return value
        _die_once()
        return original(*args)

    setattr(chords.Chords, names[step], dying)


if "SAMPLE_STORE" in os.environ:
    from celery_sqs._results import chords as _chords

    _chords.CLAIM_LASTS = 3.0
if "SAMPLE_CHORD_KILL" in os.environ:
    _die_in_chords(os.environ["SAMPLE_CHORD_KILL"])
if "SAMPLE_CLOCK" in os.environ:
    # Before Celery's modules take their own reference: the clock of this machine is wrong.
    right, offset = time.time, float(os.environ["SAMPLE_CLOCK"])
    time.time = lambda: right() + offset

if "SAMPLE_NOTES" in os.environ:
    app = make_app()
