"""What of the journal goes into one call, within CloudWatch's limits."""

import json
import os
import tracemalloc
from collections.abc import Iterator

import pytest

from facerec_tasks import log_shipper
from facerec_tasks.log_shipper import Cursor, Lines, LogBatch, LogLine, entry

DAY = 24 * 3600 * 1000


def line(message: object = "hello", cursor: object = "s=1;i=2", **more: object) -> bytes:
    fields = {"__CURSOR": cursor, "__REALTIME_TIMESTAMP": "1700000000123456", "MESSAGE": message}
    return json.dumps({**fields, "_SYSTEMD_UNIT": "facerec-web.service", **more}).encode()


def said(raw: bytes) -> dict[str, str]:
    found = entry(raw)
    assert found is not None
    read: dict[str, str] = json.loads(found.text)
    return read


def test_a_line_has_its_time_its_unit_and_its_place() -> None:
    found = entry(line())
    assert found is not None
    assert (found.at, found.cursor) == (1_700_000_000_123, "s=1;i=2")
    assert json.loads(found.text) == {"unit": "facerec-web", "message": "hello"}


def test_what_systemd_says_of_a_unit_is_that_units() -> None:
    of_init = line(_SYSTEMD_UNIT="init.scope", UNIT="facerec-worker.service")
    assert said(of_init)["unit"] == "facerec-worker"


@pytest.mark.parametrize(
    ("message", "read"),
    [
        (None, ""),
        ("", ""),
        ([104, 105, 255], "hi�"),
        (["one", "two"], "one two"),
        ("\ud800", "?"),
        (7, "7"),
    ],
)
def test_a_message_of_any_kind_is_text(message: object, read: str) -> None:
    assert said(line(message))["message"] == read


@pytest.mark.parametrize(
    "raw",
    [b"", b"no json", b"[]", b"7", b"{}", line(cursor=3), line(cursor="--lines=1 x"), b"\xff"],
)
def test_what_is_no_entry_is_none(raw: bytes) -> None:
    assert entry(raw) is None


@pytest.mark.parametrize("letter", ["a", "é", "𝄞", "\x1b", '"'])
def test_a_line_that_is_too_long_is_cut_to_what_an_event_may_have(letter: str) -> None:
    found = entry(line(letter * 300_000))
    assert found is not None
    assert len(found.text.encode()) <= log_shipper.LONGEST
    assert json.loads(found.text)["message"].endswith("…")


def test_a_batch_ends_with_ten_thousand_events() -> None:
    batch = LogBatch()
    taken = sum(batch.add(LogLine(i, "x", "c")) for i in range(log_shipper.MAX_EVENTS + 5))
    assert taken == len(batch.events) == 10_000


def test_a_batch_counts_bytes_and_26_for_each() -> None:
    batch, half = LogBatch(), "é" * ((log_shipper.MAX_BYTES // 2 - 26) // 2)
    assert batch.add(LogLine(1, half, "c"))
    assert batch.add(LogLine(2, half, "c"))
    assert batch.size == log_shipper.MAX_BYTES
    assert not batch.add(LogLine(3, "", "c"))


@pytest.mark.parametrize(
    ("times", "taken"),
    [((0, DAY), 2), ((0, DAY + 1), 1), ((DAY + 1, 0), 1), ((DAY, 0, DAY), 3), ((5, DAY + 5, 4), 2)],
)
def test_a_batch_spans_a_day_at_most(times: tuple[int, ...], taken: int) -> None:
    batch = LogBatch()
    assert sum(batch.add(LogLine(at, "x", "c")) for at in times) == taken


def test_events_are_in_the_order_of_time_though_the_clock_was_set_back() -> None:
    batch = LogBatch()
    for at, text in ((5, "a"), (3, "b"), (5, "c")):
        batch.add(LogLine(at, text, "c"))
    assert [event["message"] for event in batch.events] == ["b", "a", "c"]
    assert batch.entries[-1].text == "c", "the place is the journal's"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    os.close(ends[0])


def test_lines_come_whole_however_they_are_cut(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[0])
    found: list[bytes] = []
    for part in (b"on", b"e\ntwo\nth", b"ree\n", b"a rest"):
        os.write(pipe[1], part)
        found += lines.read() or ()
    os.close(pipe[1])
    assert found == [b"one", b"two", b"three"]
    assert lines.read() is None


def test_a_line_without_an_end_takes_no_memory(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipper, "LONGEST_LINE", 10)
    lines = Lines(pipe[0])
    found: list[bytes] = []
    tracemalloc.start()
    try:
        for part in (*[b"x" * 60_000] * 50, b"z\nnext\n"):
            os.write(pipe[1], part)
            found += lines.read() or ()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000  # of three million bytes that came
    os.close(pipe[1])
    assert found == [b"next"]


@pytest.mark.parametrize("spoilt", [b"", b"\xff\xfe", b"--since=today", b"x" * 5000, b"a\nb"])
def test_a_spoilt_place_is_the_beginning(tmp_path, spoilt: bytes) -> None:
    place = Cursor(tmp_path / "cursor")
    assert place.load() == ""
    place.save("s=1;i=2")
    assert place.load() == "s=1;i=2"
    (tmp_path / "cursor").write_bytes(spoilt)
    assert place.load() == ""
