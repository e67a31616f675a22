"""Visibility is extended while a message is held, up to a bound, whatever AWS answers."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import pytest
from celery_sqs._broker.held_messages import HeldMessage, VisibilityExtender

Eventually = Callable[..., None]
TIMEOUT = 0.3


class Queue:
    """Notes extensions; ``trouble`` is raised and ``failed`` answered by receipt."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.trouble: set[str] = set()
        self.failed: dict[str, bool] = {}
        self.delay = 0.0
        self.parallel = self.most_parallel = 0
        self._lock = threading.Lock()

    def extend(self, url: str, receipts: Sequence[str], seconds: int) -> Mapping[int, bool]:
        with self._lock:
            self.parallel += 1
            self.most_parallel = max(self.parallel, self.most_parallel)
        time.sleep(self.delay)
        with self._lock:
            self.parallel -= 1
            self.calls.append((url, tuple(receipts)))
        if url in self.trouble:
            raise OSError("no route")
        return {n: self.failed[each] for n, each in enumerate(receipts) if each in self.failed}

    def times(self, receipt: str) -> int:
        return sum(receipt in receipts for _, receipts in self.calls)


def held(receipt: str, url: str = "u", age: float = 0.0) -> HeldMessage:
    return HeldMessage("q", url, receipt, "body", 1, since=time.monotonic() - age)


def started(queue: Queue, longest: int = 100, timeout: float = TIMEOUT) -> VisibilityExtender:
    extender = VisibilityExtender(queue.extend, timeout, longest)  # type: ignore[arg-type]
    extender.start()
    return extender


def test_what_is_held_is_extended_until_it_is_popped(eventually: Eventually) -> None:
    queue = Queue()
    extender = started(queue)
    for receipt in "ab":
        extender.add(held(receipt))
    eventually(lambda: queue.times("a") >= 3)
    assert extender.pop("a") is not None
    assert extender.pop("a") is None
    seen = queue.times("a")
    eventually(lambda: queue.times("b") >= seen + 2)
    assert queue.times("a") <= seen + 1
    extender.close()


def test_what_has_ended_is_extended_until_its_result_is_sent(eventually: Eventually) -> None:
    queue = Queue()
    extender = started(queue)
    extender.add(held("a"))
    assert extender.end("a") is not None
    assert extender.end("a") is None
    assert not extender.held()  # nothing to requeue
    eventually(lambda: queue.times("a") >= 2)
    extender.close()


def test_the_bound_is_logged_once_and_kept(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Queue()
    extender = started(queue, longest=1)
    extender.add(held("old", age=0.8))
    eventually(lambda: "extended no further" in caplog.text)
    seen = queue.times("old")
    time.sleep(3 * TIMEOUT)
    assert queue.times("old") == seen
    assert caplog.text.count("extended no further") == 1
    assert extender.is_lost("old")
    extender.close()


def test_one_failing_queue_harms_no_other(eventually: Eventually) -> None:
    queue = Queue()
    queue.trouble = {"bad"}
    extender = started(queue)
    extender.add(held("a", url="bad"))
    extender.add(held("b", url="good"))
    eventually(lambda: queue.times("b") >= 4)
    assert not extender.is_lost("b")
    eventually(lambda: extender.is_lost("a"))
    extender.close()


def test_a_lost_message_is_logged_and_not_extended_again(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Queue()
    queue.failed = {"gone": False}
    extender = started(queue)
    extender.add(held("gone"))
    eventually(lambda: extender.is_lost("gone"))
    assert "others have it" in caplog.text
    seen = queue.times("gone")
    time.sleep(TIMEOUT)
    assert queue.times("gone") == seen
    extender.close()


def test_thousands_are_extended_in_parallel(eventually: Eventually) -> None:
    queue = Queue()
    queue.delay = 0.02
    extender = started(queue, timeout=3)
    for number in range(1500):
        extender.add(held(str(number)))
    eventually(lambda: len(queue.calls) >= 150, within=5)
    assert queue.most_parallel > 8
    assert not any(extender.is_lost(str(number)) for number in range(1500))
    extender.close()


def test_a_capacity_that_does_not_suffice_is_logged(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Queue()
    queue.delay = 0.2
    extender = started(queue)
    extender.add(held("a"))
    eventually(lambda: "hold fewer messages" in caplog.text)
    extender.close()
