"""Request bodies on their way: when their bytes are let go of."""

import asyncio
from typing import Any

import pytest

from facerec_tasks.settings import Settings
from webapp.http.spool import Body, Spool


@pytest.mark.parametrize("size", [10, 100_000, 1_000_000])
def test_closed_body_holds_no_bytes(size: int) -> None:
    """A request refers to its body's stream for as long as it waits for its answer."""
    spool = Spool(Settings())
    body = Body(spool, "client", size, 2_000_000)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * size, "more_body": False}

    asyncio.run(body.receive(receive))
    stream = body.open()
    assert len(stream.read()) == size
    body.close()
    assert stream.closed
    assert spool.used == 0
