import threading
import time

from webapp.services.in_flight import InFlight


def test_in_flight_is_accepted_minus_answered() -> None:
    in_flight = InFlight("here-0")
    for task in "abc":
        in_flight.accept(task)
    in_flight.answer("a")
    report = in_flight.process_report()
    assert (report.accepted, report.answered, report.outstanding) == (3, 1, 2)
    assert in_flight.holds("b")
    assert not in_flight.holds("a")


def test_in_flight_oldest_unanswered() -> None:
    in_flight = InFlight("here-0")
    assert in_flight.process_report().oldest_accepted_at is None
    in_flight.accept("a")
    first = in_flight.process_report().oldest_accepted_at
    in_flight.accept("b")
    assert in_flight.process_report().oldest_accepted_at == first
    in_flight.answer("a")
    later = in_flight.process_report().oldest_accepted_at
    assert first is not None
    assert later is not None
    assert later >= first


def test_in_flight_counts_answer_once() -> None:
    in_flight = InFlight("here-0")
    in_flight.accept("a")
    in_flight.answer("a")
    in_flight.answer("a")
    assert in_flight.process_report().answered == 1


def test_in_flight_report_sums_processes() -> None:
    in_flight = InFlight("here-0")
    in_flight.accept("a")
    report = in_flight.report()
    assert report["outstanding"] == 1
    assert report["processes"][0]["process"] == "here-0"  # type: ignore[index]


def test_in_flight_is_thread_safe() -> None:
    in_flight = InFlight("here-0")

    def work(name: str) -> None:
        for n in range(500):
            in_flight.accept(f"{name}{n}")
            in_flight.answer(f"{name}{n}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert (in_flight.process_report().accepted, in_flight.outstanding) == (4000, 0)


def test_in_flight_counts_videos_separately() -> None:
    in_flight = InFlight("here-0")
    in_flight.accept("film", video=True)
    in_flight.accept("photo")
    assert (in_flight.process_report().outstanding, in_flight.process_report().videos) == (2, 1)
    in_flight.answer("film")
    assert (in_flight.process_report().outstanding, in_flight.process_report().videos) == (1, 0)
    assert in_flight.recent.total(time.time()).count == 0
    in_flight.answer("photo")
    assert in_flight.recent.total(time.time()).count == 1
