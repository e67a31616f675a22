"""Tests use what is public of our classes and modules: no underscored name of another object."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("ami_build", "autoscale", "benchmarks", "celery_sqs/src", "cli", "facerec_tasks")
PRODUCT += ("local", "serverless", "webapp")
TESTS = ("tests", "celery_sqs/tests/unit", "celery_sqs/tests/integration")
"""Not ``celery_sqs/tests/compat``, whose subject are the internals of Celery."""
OWN = re.compile(r"(?:\bself\.|\bcls\.|\bdef |\bclass |^)(_[a-zA-Z]\w*)(?:\(| *[:=])", re.MULTILINE)
USED = re.compile(r"(?<!\bself)(?<!\bcls)(?<!\bcelery_sqs)\.(_[a-zA-Z]\w*)(?! import)")


def texts(*folders: str) -> list[tuple[Path, str]]:
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    return [(file, file.read_text()) for file in files]


def test_tests_touch_no_private_state() -> None:
    ours = {name for _, text in texts(*PRODUCT) for name in OWN.findall(text)}
    assert "_lease" in ours
    found = [
        f"{file.relative_to(ROOT)}: {name}"
        for file, text in texts(*TESTS)
        for name in USED.findall(text)
        if name in ours
    ]
    assert found == []
