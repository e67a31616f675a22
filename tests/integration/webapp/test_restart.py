"""The web tier stopped, killed and doubled while photos wait: none is lost, none is mixed up."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from facerec_tasks import aws
from facerec_tasks.settings import Settings
from facerec_tasks.storage.state_bucket import StateBucket
from local.processes.child import Child
from webapp.http.listening import listen

from .conftest import Web, photo

Eventually = Callable[..., None]


def outstanding(web: Web) -> int:
    return int(web.json("/internal/in-flight")["outstanding"])


def test_sigterm_answers_waiting_requests(
    start_web: Callable[..., Web],
    start_worker: Callable[..., Child],
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    web = start_web()
    start_worker("--concurrency", "2")
    eventually(lambda: " ready" in (tmp_path / "worker.log").read_text(), within=60)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(web.post, photo(name="Paul", seconds=1)) for _ in range(4)]
        eventually(lambda: outstanding(web) == 4)
        web.child.signal(signal.SIGTERM)
        assert [one.result().data for one in waiting] == [b"test_00:Paul"] * 4
    assert web.child.wait(timeout=5)
    assert web.child.exit_code == 0


def test_sigterm_without_workers_returns_task_ids(
    start_web: Callable[..., Web], eventually: Eventually
) -> None:
    web = start_web(FACEREC_DRAIN_TIMEOUT="3")
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(web.post, photo(name="Paul")) for _ in range(4)]
        eventually(lambda: outstanding(web) == 4)
        began = time.monotonic()
        web.child.signal(signal.SIGTERM)
        answers = [one.result() for one in waiting]
    assert {one.status for one in answers} == {504}
    assert len({one.headers["X-Task-ID"] for one in answers}) == 4
    assert web.child.wait(timeout=5)
    assert web.child.exit_code == 0
    assert time.monotonic() - began < 6


def test_sigkill_loses_no_accepted_photo(
    start_web: Callable[..., Web],
    start_worker: Callable[..., Child],
    resources: Settings,
    eventually: Eventually,
) -> None:
    web = start_web()
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(_post_until_cut, web, f"Person {n}") for n in range(20)]
        eventually(lambda: outstanding(web) == 20)
        web.child.signal(signal.SIGKILL)
        assert [one.result() for one in waiting] == [None] * 20
    start_worker("--concurrency", "2")
    state = StateBucket(resources)
    eventually(lambda: len(list(state.list("results/"))) == 20, within=30)
    anew = start_web()
    assert anew.post(photo(name="Paul")).data == b"test_00:Paul"
    assert outstanding(anew) == 0


def _post_until_cut(web: Web, name: str) -> int | None:
    try:
        return web.post(photo(name=name), name=f"{name}.jpg").status
    except urllib3.exceptions.HTTPError:
        return None


def test_two_web_processes_route_results(
    start_web: Callable[..., Web], start_worker: Callable[..., Child], resources: Settings
) -> None:
    webs = [start_web(), start_web()]
    start_worker("--concurrency", "2")
    names = [f"Person {n}" for n in range(100)]

    def send(n: int) -> str:
        return webs[n % 2].post(photo(name=names[n]), name="photo.jpg").data.decode()

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(send, range(100))) == [f"photo:{name}" for name in names]
    processes = [web.json("/internal/in-flight")["processes"][0] for web in webs]
    assert [(p["process"], p["accepted"], p["outstanding"]) for p in processes] == [
        ("testmachine-0", 50, 0),
        ("testmachine-1", 50, 0),
    ]
    queues = aws.client(resources, "sqs").list_queues(QueueNamePrefix=resources.response_queue)
    assert len(queues["QueueUrls"]) == 2


@contextmanager
def listening() -> Iterator[tuple[socket.socket, socket.socket]]:
    with listen("127.0.0.1", 0) as public, listen("127.0.0.1", 0) as admin:
        yield public, admin


def as_systemd(public: socket.socket, admin: socket.socket) -> tuple[list[str], tuple[int, ...]]:
    """Command and inherited files of a web process: the sockets are files 3 and 4, and the
    environment says so (sd_listen_fds(3))."""
    numbers = (public.fileno(), admin.fileno())
    # First out of the way: one of them may be 3 or 4.
    script = (
        f"exec 98<&{numbers[0]} 99<&{numbers[1]}; exec 3<&98 4<&99 98<&- 99<&-; "
        f"LISTEN_PID=$$ LISTEN_FDS=2 exec {sys.executable} -m webapp"
    )
    return ["/bin/bash", "-c", script], numbers


def test_sockets_of_systemd_outlive_a_killed_process(
    spawn: Callable[..., Child], resources: Settings
) -> None:
    """Clients wait while there is no process, instead of being refused."""
    with listening() as sockets, ThreadPoolExecutor(1) as pool:
        command, numbers = as_systemd(*sockets)
        url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/healthz"
        web = spawn(command, log="web", pass_fds=numbers)
        assert urllib3.request("GET", url, timeout=30).data == b"ok"
        web.signal(signal.SIGKILL)
        web.wait(timeout=5)
        meanwhile = pool.submit(urllib3.request, "GET", url, timeout=30, retries=False)
        spawn(command, log="web", pass_fds=numbers)
        assert meanwhile.result().data == b"ok"
        metrics = f"http://127.0.0.1:{sockets[1].getsockname()[1]}/metrics"
        assert urllib3.request("GET", metrics, timeout=30).status == 200


@pytest.mark.soak
def test_restarts_and_crashes_refuse_and_lose_nothing(
    spawn: Callable[..., Child],
    resources: Settings,
    start_worker: Callable[..., Child],
    tmp_path: Path,
) -> None:
    """``facerec load`` at 20 a second, over three restarts and three crashes."""
    start_worker("--concurrency", "2")
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(10):
        (folder / f"p{n}.jpg").write_bytes(photo(name=f"Person{n}"))
    predictions = tmp_path / "predictions.csv"
    lines = "".join(f"p{n},Person{n}\n" for n in range(10))
    predictions.write_text(f"Image,Results\n{lines}")
    with listening() as sockets:
        command, numbers = as_systemd(*sockets)
        web = spawn(command, log="web", pass_fds=numbers)
        load = subprocess.Popen(
            [sys.executable, "-c", "from cli.main import main; main()", "load", "--rate", "20",
             "--duration", "60", "--url", f"http://127.0.0.1:{sockets[0].getsockname()[1]}",
             "--image_folder", folder, "--prediction_file", predictions, "--json"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        for number in (signal.SIGTERM, signal.SIGKILL) * 3:
            time.sleep(8)
            web.signal(number)
            if number == signal.SIGKILL:
                web.wait(timeout=5)
            web = spawn(command, log="web", pass_fds=numbers)  # while the one before drains
        out, _ = load.communicate(timeout=180)
    report = json.loads(out)
    print(report)
    assert (report["failed"], report["wrong"], report["errors"]) == (0, 0, {})
    assert report["correct"] == report["requests"] >= 1000
