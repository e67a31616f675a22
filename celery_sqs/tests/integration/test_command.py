"""``celery -A APP sqs``, as operators use it."""

import json
import subprocess
import sys
from typing import Any

from celery_sqs._aws import queues


def run(*arguments: str, entry: tuple[str, ...] = ("celery_sqs",), code: int = 0) -> str:
    command = [sys.executable, "-m", entry[0], "-A", "sample_app", *entry[1:], *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_status_redrive_and_purge(sample: Any) -> None:
    dead = queues.queue_url(sample.sqs, sample.graveyard)
    sample.send("work", "a")
    sample.sqs.send_message(QueueUrl=dead, MessageBody="dead")
    found = json.loads(run("status", "--json"))
    assert {name: counts["visible"] for name, counts in found.items()} == {
        sample.queue: 1, sample.graveyard: 1,
    }  # fmt: skip
    assert json.loads(run("redrive", "--json")) == {"moved": 1, "refused": 0}
    assert sample.counts().visible == 2
    assert json.loads(run("purge", "--yes", "--json")) == {"queue": sample.queue, "about": 2}
    assert sample.empty()
    assert "2 queues" not in run("cleanup")


def test_it_is_a_command_of_celery_and_faults_are_one_line(sample: Any) -> None:
    """By the entry point ``celery.commands``."""
    assert "visible" in run("status", entry=("celery", "sqs"))
    error = run("purge", "-Q", "nowhere", "--yes", code=1)
    assert "Error: nowhere" in error
    assert "Traceback" not in error
    commands = run("--help", entry=("celery", "sqs"))
    assert all(name in commands for name in ("status", "redrive", "purge", "cleanup", "flower"))
