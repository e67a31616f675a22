"""Web machines behind one address share nothing but AWS, and any of them may end."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autoscale.signals import read_in_flight
from celery_sqs import queues
from facerec_tasks import aws
from facerec_tasks.settings import Settings
from local.processes.child import Child
from local.processes.ports import free_port

from .conftest import Web, photo


@pytest.fixture
def machines(start_web: Callable[..., Web], tmp_path: Path) -> list[tuple[Web, int]]:
    """Three, with their operators' ports: own names, own disks."""

    def start(name: str) -> tuple[Web, int]:
        disk, admin = tmp_path / name, free_port()
        disk.mkdir()
        return start_web(
            FACEREC_MACHINE=name, FACEREC_STATE_DIR=str(disk), FACEREC_ADMIN_PORT=str(admin)
        ), admin

    return [start(f"i-{n:017x}") for n in range(3)]


def test_each_answers_its_own_and_the_others_find_what_one_left(
    machines: list[tuple[Web, int]],
    start_worker: Callable[..., Child],
    resources: Settings,
    eventually: Callable[..., None],
) -> None:
    webs = [web for web, _ in machines]
    with ThreadPoolExecutor(31) as pool:
        slow = pool.submit(webs[0].post, photo(name="Ada"), "late.jpg", Idempotency_Key="late")
        asked = [
            pool.submit(webs[n % 3].post, photo(name=f"P{n}"), f"test_{n}.jpg") for n in range(30)
        ]

        def waiting() -> int | None:
            urls = [f"http://127.0.0.1:{admin}" for _, admin in machines]
            found = read_in_flight(urls, 0.0)
            return found and found.outstanding

        eventually(lambda: waiting() == 31)
        webs[0].child.kill()
        start_worker("--concurrency", "2")
        answers = [one for one in asked if one not in asked[::3]]
        told = {one.result().data.decode() for one in answers}
        assert told == {f"test_{n}:P{n}" for n in range(30) if n % 3}
        with pytest.raises(Exception, match=r"."):
            slow.result()
    again = webs[1].post(photo(name="Ada"), "late.jpg", Idempotency_Key="late")
    assert (again.status, again.data) == (200, b"late:Ada")
    sqs = aws.client(resources, "sqs")
    eventually(lambda: queues.counts(sqs, resources.request_queue).total == 0)
    found = list(queues.queue_urls(sqs, resources.response_queue))
    assert len(found) == 3, "one of each process"
