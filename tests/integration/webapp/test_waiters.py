"""A thousand uploads wait on each of two processes, all with one file name: memory, and who gets
whose answer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from local.processes.child import Child

from .conftest import Web, photo

EACH = 1000
PHOTO_BYTES = 100_000
MOST_MB = 300


def memory_mb(web: Web) -> float:
    """Resident memory at its highest."""
    status = Path(f"/proc/{web.child.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@pytest.mark.soak
def test_thousand_waiting_requests_on_two_processes(
    start_web: Callable[..., Web],
    start_worker: Callable[..., Child],
    eventually: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    webs = [start_web(FACEREC_ANSWER_TIMEOUT="300") for _ in range(2)]
    for web in webs:
        web.http = urllib3.PoolManager(maxsize=EACH + 10, retries=False, timeout=400)

    def send(n: int) -> bool:
        answer = webs[n % 2].post(photo(PHOTO_BYTES, name=f"Person {n}"), name="photo.jpg")
        return answer.data.decode() == f"photo:Person {n}"

    with ThreadPoolExecutor(2 * EACH) as pool:
        right = [pool.submit(send, n) for n in range(2 * EACH)]
        for web in webs:
            eventually(
                lambda w=web: w.json("/internal/in-flight")["outstanding"] == EACH, within=180
            )
            assert web.alive
        with capsys.disabled():
            print("MB with 1,000 waiting:", [round(memory_mb(web)) for web in webs])
        start_worker("--concurrency", "2")
        assert sum(one.result() for one in right) == 2 * EACH
    assert all(memory_mb(web) < MOST_MB for web in webs)
