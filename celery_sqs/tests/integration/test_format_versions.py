"""Two releases on one queue, while machines are replaced: a task runs where it is understood."""

import json
import sys
from typing import Any

from celery_sqs._aws import queues

SHORT_BACKOFF = {"backoff": [1, 2]}
LONGER_POLLS = {"wait_time_seconds": 3}
"""Of one of two workers: LocalStack looks for visible messages once a second and gives them to who
has waited longest, so polls of one second each would meet in the same order for ever."""


def start_next(sample: Any) -> Any:
    """A worker of the next release."""
    log = sample.folder / "next.log"
    child = sample.spawn(
        [sys.executable, "-m", "celery", "-A", "next_release", "worker", "-n", "next@sample",
         "-c1", "--loglevel", "INFO"],
        log="next",
        environment={"SAMPLE_OPTIONS": json.dumps(SHORT_BACKOFF | LONGER_POLLS)},
    )  # fmt: skip
    sample.eventually(lambda: "next@sample ready." in log.read_text(errors="replace"), within=30)
    return child


def send_next(sample: Any, *labels: str) -> None:
    """Tasks sent by a process of the next release."""
    code = (
        "import sys; from next_release import app\n"
        "for label in sys.argv[1:]: app.tasks['sample.work'].delay(label)"
    )
    child = sample.spawn([sys.executable, "-c", code, *labels], log="send-next")
    sample.eventually(lambda: child.exit_code is not None, within=30)
    assert child.exit_code == 0


def done(sample: Any) -> list[str]:
    return sorted(label for _, label, *_ in sample.notes("end"))


def test_workers_of_the_next_release_understand_this_one(sample: Any) -> None:
    """The order of a roll, workers first: nothing waits for anything."""
    for n in range(5):
        sample.send("work", f"this-{n}")
    start_next(sample)
    sample.eventually(lambda: len(done(sample)) == 5, within=30)
    sample.eventually(sample.empty, within=15)


def test_a_task_of_the_next_release_waits_for_a_worker_that_knows_it(sample: Any) -> None:
    """The other order, a web tier that is ahead of all workers: late, and not lost."""
    worker = sample.start(SAMPLE_OPTIONS=json.dumps(SHORT_BACKOFF))
    send_next(sample, "next-0", "next-1")
    sample.eventually(lambda: "left to a newer worker" in worker.output, within=20)
    sample.send("work", "this-0")
    sample.eventually(lambda: done(sample) == ["this-0"], within=30)
    assert sample.empty(sample.graveyard)
    start_next(sample)
    sample.eventually(lambda: done(sample) == ["next-0", "next-1", "this-0"], within=60)
    sample.eventually(sample.empty, within=15)
    assert sample.empty(sample.graveyard)


def test_side_by_side_both_releases_lose_nothing_and_do_nothing_twice(sample: Any) -> None:
    sample.start(SAMPLE_OPTIONS=json.dumps(SHORT_BACKOFF))
    start_next(sample)
    for n in range(6):
        sample.send("work", f"this-{n}")
    send_next(sample, *(f"next-{n}" for n in range(6)))
    wanted = sorted(f"{release}-{n}" for release in ("this", "next") for n in range(6))
    sample.eventually(lambda: done(sample) == wanted, within=90)
    sample.eventually(sample.empty, within=15)
    assert len(sample.notes("begin")) == 12
    assert sample.empty(sample.graveyard)
    assert queues.counts(sample.sqs, sample.queue).total == 0
