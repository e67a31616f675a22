import threading
import time

from webapp.services.in_flight import Ledger


def test_accepted_is_answered_plus_outstanding() -> None:
    ledger = Ledger("here-0")
    for task in "abc":
        ledger.accept(task)
    ledger.answer("a")
    entry = ledger.entry()
    assert (entry.accepted, entry.answered, entry.outstanding) == (3, 1, 2)
    assert ledger.holds("b")
    assert not ledger.holds("a")


def test_the_oldest_is_the_oldest_that_is_not_answered() -> None:
    ledger = Ledger("here-0")
    assert ledger.entry().oldest_accepted_at is None
    ledger.accept("a")
    first = ledger.entry().oldest_accepted_at
    ledger.accept("b")
    assert ledger.entry().oldest_accepted_at == first
    ledger.answer("a")
    later = ledger.entry().oldest_accepted_at
    assert first is not None
    assert later is not None
    assert later >= first


def test_answering_twice_counts_once() -> None:
    ledger = Ledger("here-0")
    ledger.accept("a")
    ledger.answer("a")
    ledger.answer("a")
    assert ledger.entry().answered == 1


def test_the_report_names_the_process_and_sums() -> None:
    ledger = Ledger("here-0")
    ledger.accept("a")
    report = ledger.report()
    assert report["outstanding"] == 1
    assert report["processes"][0]["process"] == "here-0"  # type: ignore[index]


def test_counts_are_exact_from_many_threads() -> None:
    ledger = Ledger("here-0")

    def work(name: str) -> None:
        for n in range(500):
            ledger.accept(f"{name}{n}")
            ledger.answer(f"{name}{n}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert (ledger.entry().accepted, ledger.outstanding) == (4000, 0)


def test_videos_are_counted_apart_and_their_time_is_no_photos_time() -> None:
    ledger = Ledger("here-0")
    ledger.accept("film", video=True)
    ledger.accept("photo")
    assert (ledger.entry().outstanding, ledger.entry().videos) == (2, 1)
    ledger.answer("film")
    assert (ledger.entry().outstanding, ledger.entry().videos) == (1, 0)
    assert ledger.recent.total(time.time()).count == 0
    ledger.answer("photo")
    assert ledger.recent.total(time.time()).count == 1
