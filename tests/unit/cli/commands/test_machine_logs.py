"""Log lines of the machines as ``facerec aws logs`` shows them."""

import pytest

from cli.commands.machine_logs import line

EVENT = {"timestamp": 0, "logStreamName": "i-1", "eventId": "1"}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ('{"unit": "facerec-worker", "message": "ready"}', "00:00:00 i-1 worker: ready"),
        ("plain text", "00:00:00 i-1 plain text"),
        ("[1]", "00:00:00 i-1 [1]"),
        ('{"unit": 1}', '00:00:00 i-1 {"unit": 1}'),
    ],
)
def test_a_log_line_shows_machine_unit_and_message(message: str, shown: str) -> None:
    assert line({**EVENT, "message": message}) == shown
