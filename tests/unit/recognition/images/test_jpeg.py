"""How many scans a JPEG has, whatever stands around them."""

import pytest

from facerec_tasks.recognition.images import jpeg

START, END = b"\xff\xd8", b"\xff\xd9"
SCAN = b"\xff\xda\x00\x03x" + b"data\xff\x00\xff\xd3data"


@pytest.mark.parametrize(
    ("data", "scans"),
    [
        (b"", 0),
        (START + END, 0),
        (START + SCAN + END, 1),
        (START + SCAN * 7 + END, 7),
        (START + SCAN, 1),
        (START + b"\xff\xe1\x00\x12" + SCAN + SCAN + END, 1),  # 16 bytes in a segment
        (START + SCAN + END + START + SCAN, 1),
        (START + b"\xff\xff\xff" + SCAN + END, 1),
        (START + b"\xff\x01" + SCAN + END, 1),
        (START + b"\xff\xe1\xff\xff", 0),
        (START + b"\xff\x01" * jpeg.MOST_SEGMENTS + SCAN, jpeg.MOST_SEGMENTS),
    ],
)
def test_scans(data: bytes, scans: int) -> None:
    assert jpeg.scans(data) == scans
