"""A connection that nobody closed is collected in any thread, also in one that holds its locks."""

import os
import threading

import pytest
from celery_sqs._aws.publisher import BackgroundPublisher
from celery_sqs._broker.transport import finalize


class Ending:
    """The three things to end, as one; it needs a lock its caller holds."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.publisher: BackgroundPublisher[str] = BackgroundPublisher(self._send, "test")
        self.closed = threading.Event()

    def _send(self, messages: list[str]) -> None:
        self.begun.set()
        self.go.wait(10)

    def flush(self) -> None:
        self.publisher.flush()

    def close(self) -> None:
        self.closed.set()


def collected_while_sending(pid: int) -> Ending:
    ending = Ending()
    ending.publisher.put("on its way")
    assert ending.begun.wait(5)
    ended = threading.Thread(target=finalize, args=(pid, ending, ending, ending))
    ended.start()
    ended.join(timeout=5)
    assert not ended.is_alive()  # it did not wait for the lock
    assert not ending.closed.is_set()
    ending.go.set()
    return ending


def test_the_collecting_thread_waits_for_nothing() -> None:
    assert collected_while_sending(os.getpid()).closed.wait(5)


def test_a_forked_child_ends_nothing() -> None:
    assert not collected_while_sending(os.getpid() + 1).closed.wait(0.2)


def test_while_the_process_ends_another_thread_leaves_it_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own locks would be waited for, for ever, and the process with them."""
    monkeypatch.setattr(threading, "main_thread", threading.Thread)  # one that does not live
    assert not collected_while_sending(os.getpid()).closed.wait(0.2)
