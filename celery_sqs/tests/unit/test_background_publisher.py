"""An publisher keeps order and never stops, whatever becomes of single messages."""

import threading
from collections.abc import Callable

import pytest
from celery_sqs._aws import publisher as module
from celery_sqs._aws.publisher import BackgroundPublisher


def test_order_is_kept_and_failures_end_nothing(eventually: Callable[..., None]) -> None:
    sent: list[int] = []
    failed = threading.Event()

    def send(messages: list[int]) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError("gone")
        sent.extend(messages)

    publisher = BackgroundPublisher(send, "test")
    publisher.put(0)
    assert failed.wait(5)
    for n in range(1, 100):
        publisher.put(n)
    eventually(lambda: len(sent) >= 99)
    assert sent == list(range(1, 100))


def test_flush_sends_what_waits_and_awaits_what_is_being_sent() -> None:
    sent: list[int] = []
    begun, go = threading.Event(), threading.Event()

    def send(messages: list[int]) -> None:
        begun.set()
        go.wait(5)
        sent.extend(messages)

    publisher = BackgroundPublisher(send, "test")
    publisher.put(1)
    assert begun.wait(5)
    publisher.put(2)
    go.set()
    publisher.flush()
    assert sent == [1, 2]


def test_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 3)
    sent: list[int] = []
    begun, go = threading.Event(), threading.Event()

    def send(messages: list[int]) -> None:
        begun.set()
        go.wait(5)
        sent.extend(messages)

    publisher = BackgroundPublisher(send, "test")
    publisher.put(-1)
    assert begun.wait(5)
    for number in range(10):
        publisher.put(number)
    go.set()
    publisher.flush()
    assert sent == [-1, 7, 8, 9]
