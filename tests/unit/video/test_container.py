"""Containers by their first bytes."""

import numpy as np
import pytest

from facerec_tasks.video.container import MPEG_TS, NEEDED, sniff


def packets(length: int, count: int) -> bytes:
    body = np.random.default_rng(0).integers(0, 64, length * count, np.uint8)  # no sync byte
    body[length - 188 :: length] = 0x47
    return body.tobytes()


@pytest.mark.parametrize("length", [188, 192])
@pytest.mark.parametrize("lost", [0, 1, 90, 187])
def test_a_transport_stream_that_begins_inside_a_packet(length: int, lost: int) -> None:
    assert sniff(packets(length, 20)[lost : lost + NEEDED]) is MPEG_TS


def test_a_short_transport_stream() -> None:
    assert sniff(packets(188, 2)) is MPEG_TS


def test_bytes_without_packets_are_no_transport_stream() -> None:
    for seed in range(200):
        noise = np.random.default_rng(seed).integers(0, 256, NEEDED, np.uint8)
        assert sniff(noise.tobytes()) is None
    assert sniff(b"GIF is not here, Good morning. " * 60) is None
