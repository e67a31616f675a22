"""Which queue is whose."""

import pytest
from celery_sqs._broker.auto_delete import is_control, is_reply


@pytest.mark.parametrize(
    ("queue", "control", "reply"),
    [
        ("w1@host.celery.pidbox", True, False),
        ("0f5e-1.reply.celery.pidbox", False, True),
        ("celeryev.0f5e", False, False),
        ("facerec-req-queue", False, False),
    ],
)
def test_kinds(queue: str, control: bool, reply: bool) -> None:
    assert (is_control(queue), is_reply(queue)) == (control, reply)
