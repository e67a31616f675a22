"""The web tier stopped, killed and doubled while photos wait: none is lost, none is mixed up."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def test_restarts_and_crashes_refuse_and_lose_nothing(
    spawn: Callable[..., Child],
    resources: Settings,
    start_worker: Callable[..., Child],
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    """The listening socket belongs to the supervisor, as it does in ``facerec up`` and with
    systemd: clients wait while a process starts, instead of being refused."""
    public, admin = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    port, numbers = public.getsockname()[1], (public.fileno(), admin.fileno())
    start_worker("--concurrency", "2")
    environment = {"PORT": str(port), "FACEREC_LISTEN_FDS": ",".join(map(str, numbers))}

    def start() -> Child:
        command = [sys.executable, "-m", "webapp"]
        return spawn(command, log="web", environment=environment, pass_fds=numbers)

    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(10):
        (folder / f"p{n}.jpg").write_bytes(photo(name=f"Person{n}"))
    predictions = tmp_path / "predictions.csv"
    lines = "".join(f"p{n},Person{n}\n" for n in range(10))
    predictions.write_text(f"Image,Results\n{lines}")
    web = start()
    load = subprocess.Popen(
        [sys.executable, "-c", "from cli.main import main; main()", "load", "--rate", "10",
         "--duration", "25", "--url", f"http://127.0.0.1:{port}", "--image_folder", folder,
         "--prediction_file", predictions, "--json"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        time.sleep(5)
        web.signal(number)
        if number == signal.SIGKILL:
            web.wait(timeout=5)
        web = start()  # while the one before still drains
    out, _ = load.communicate(timeout=120)
    report = json.loads(out)
    public.close()
    admin.close()
    assert (report["failed"], report["wrong"], report["errors"]) == (0, 0, {})
    assert report["correct"] == report["requests"] >= 200
