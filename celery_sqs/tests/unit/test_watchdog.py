"""The watchdog bites the stuck and the dead, not the failing, full, stopping or thawed."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from celery_sqs._broker.receiver import ReceiverHealth
from celery_sqs._worker.watchdog import Watchdog, is_stuck


@dataclass
class Monitored:
    """A receiver in any state."""

    last_poll: float = 0.0
    stopping: bool = False
    has_capacity: bool = True
    alive: bool = True
    queue: str = "q"
    refused_since: float | None = None
    health: ReceiverHealth = field(init=False)

    def __post_init__(self) -> None:
        self.health = ReceiverHealth(self.last_poll, refused_since=self.refused_since)

    def is_alive(self) -> bool:
        return self.alive


@pytest.mark.parametrize(
    ("monitored", "since", "stuck"),
    [
        (Monitored(), 0, True),
        (Monitored(last_poll=45), 0, False),
        (Monitored(has_capacity=False), 0, False),
        (Monitored(has_capacity=False, alive=False), 0, True),
        (Monitored(stopping=True), 0, False),
        (Monitored(), 50, False),
        (Monitored(last_poll=99, refused_since=30), 0, True),
        (Monitored(last_poll=99, refused_since=70), 0, False),
    ],
)
def test_which_receiver_is_stuck(monitored: Monitored, since: float, stuck: bool) -> None:
    assert is_stuck(monitored, 100, since, 60) is stuck  # type: ignore[arg-type]


def test_it_ends_the_process_once(eventually: Callable[..., None]) -> None:
    ended: list[float] = []
    begin = time.monotonic()
    monitored = Monitored(last_poll=begin)
    dog = Watchdog(lambda: [monitored], 0.3, end=lambda: ended.append(time.monotonic()))  # type: ignore[list-item]
    dog.start()
    eventually(lambda: ended)
    dog.join(5)
    assert not dog.is_alive()
    assert len(ended) == 1
    assert ended[0] - begin >= 0.3


def test_a_frozen_watchdog_starts_its_count_again(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 5.0, 10.0, 500.0, 505.0])  # looks; SIGSTOP between the third and fourth
    stop = threading.Event()

    def monotonic() -> float:
        try:
            return next(times)
        except StopIteration:
            stop.set()
            return 506.0

    ended: list[int] = []
    dog = Watchdog(
        lambda: [Monitored(last_poll=9.0)],  # type: ignore[list-item]
        60,
        end=lambda: ended.append(1),
        wait=lambda _: stop.is_set(),
    )
    monkeypatch.setattr("celery_sqs._worker.watchdog.time.monotonic", monotonic)
    dog.run()
    assert ended == []
