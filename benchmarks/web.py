"""``python -m benchmarks.web``: the web tier beside a bare Flask on the same server machine.

Figures: ``get_vs_bare`` and ``post_vs_bare`` (ours / bare, requests a second: a health check, and a
100 kB upload that is refused), ``get_processor_vs_bare`` and ``post_processor_vs_bare`` (bare /
ours, processor time of a request: hardly disturbed by other work), ``accepted_per_s`` (100 kB
uploads stored and sent), ``mb_base`` and ``mb_with_1000_waiting`` (resident memory),
``mb_with_1000_waiting_and_10000_idle`` (connections that have had their response; left out when the
system allows fewer open files), ``in_flight_ms`` (the slowest report of the requests in flight
during the intake) and ``refused_during_restart``.
"""

import argparse
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import urllib3
from celery_sqs.testing import isolated

from benchmarks.processor_time import tree_seconds
from facerec_tasks.settings import Settings
from local.emulators import embedded_aws
from local.emulators.resources import create_resources
from local.processes.child import Child
from local.processes.ports import free_port
from local.processes.readiness import listens, wait_until
from webapp.http.listening import listen

BARE = """
import sys
from flask import Flask, request
from waitress import serve
app = Flask("bare", static_folder=None)
app.get("/healthz")(lambda: ("ok", {"Content-Type": "text/plain"}))
@app.post("/")
def refuse():
    request.files["inputFile"].read()
    return "not-a-picture", 415
serve(app, host="127.0.0.1", port=int(sys.argv[1]), threads=16)
"""
PHOTO = b"\xff\xd8\xff" + bytes(100_000)
REFUSED = b"x" * 100_000


def multipart(data: bytes, name: str = "a.jpg") -> bytes:
    """A whole request, as it goes over the wire."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="inputFile"; filename="'
        + name.encode()
        + b'"\r\n\r\n'
        + data
        + b"\r\n--b--\r\n"
    )
    head = (
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def answer(stream: socket.socket) -> bytes:
    """Reads one response with a Content-Length; returns its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(65536)
        if not piece:
            raise ConnectionError
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += stream.recv(65536)
    return head


CLIENT = """
import socket, sys, time
sys.path.insert(0, ".")
from benchmarks.web import GET, REFUSED, answer, multipart
port, seconds, kind = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
data = GET if kind == "get" else multipart(REFUSED)
streams = [socket.create_connection(("127.0.0.1", port)) for _ in range(16)]
count, end = 0, time.monotonic() + seconds
while time.monotonic() < end:
    for stream in streams: stream.sendall(data)
    for stream in streams: answer(stream)
    count += len(streams)
print(count / seconds)
"""


WATCHER = """
import socket, sys, time
sys.path.insert(0, ".")
from benchmarks.web import answer
stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
slowest = 0.0
print("ready", flush=True)
while True:
    began = time.monotonic()
    stream.sendall(b"GET /internal/in-flight HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    answer(stream)
    slowest = max(slowest, time.monotonic() - began)
    print(slowest, flush=True)
    time.sleep(0.02)
"""


def throughput(port: int, seconds: float, kind: str) -> float:
    """Requests a second over 16 kept connections, from a process of its own."""
    command = [sys.executable, "-c", CLIENT, str(port), str(seconds), kind]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def cost(server: Child, port: int, seconds: float, kind: str) -> tuple[float, float]:
    """Requests a second, and the server's processor seconds for each."""
    before = tree_seconds([server.pid])
    rate = throughput(port, seconds, kind)
    return rate, (tree_seconds([server.pid]) - before) / (rate * seconds)


def resident_mb(child: Child) -> float:
    """Resident memory, in MB."""
    for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1000, 1)
    raise RuntimeError("no VmRSS")


@contextmanager
def system(folder: Path) -> Iterator[tuple[Callable[[], Child], tuple[int, int]]]:
    """The embedded AWS; gives what starts a web process on inherited sockets, and their ports."""
    aws_port = free_port()
    endpoint = f"http://127.0.0.1:{aws_port}"
    with ExitStack() as stack:
        public, admin = (stack.enter_context(listen("127.0.0.1", 0)) for _ in range(2))
        numbers = (public.fileno(), admin.fileno())
        environment = {
            **isolated(os.environ, endpoint, "us-east-1"),
            "FACEREC_ACCESS": "open",
            "FACEREC_RATE_LIMIT": "0",
            "FACEREC_STATE_DIR": str(folder / "state"),
            "FACEREC_MAX_CONNECTIONS_PER_ADDRESS": "20000",
            "FACEREC_ANSWER_TIMEOUT": "300",
            "FACEREC_LISTEN_FDS": ",".join(map(str, numbers)),
        }
        os.environ.update(environment)
        aws = embedded_aws.command(aws_port, pending=0, stopping=0)
        stack.enter_context(Child(aws, log=folder / "aws.log"))
        wait_for_port(aws_port)
        create_resources(Settings())

        def start() -> Child:
            command = (sys.executable, "-m", "webapp")
            web = Child(command, environment=environment, log=folder / "web.log", pass_fds=numbers)
            return stack.enter_context(web)

        yield start, (public.getsockname()[1], admin.getsockname()[1])


def wait_for_port(port: int) -> None:
    if not wait_until(lambda: listens(port), 60, every=0.1):
        raise TimeoutError(f"nothing listens on port {port} after 60 s")


def wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 25
    url = f"http://127.0.0.1:{port}/readyz"
    while (answered := urllib3.request("GET", url, timeout=60, retries=False)).status != 200:
        if time.monotonic() > deadline:
            raise TimeoutError(answered.data.decode())
        time.sleep(0.2)


def intake(ports: tuple[int, int], count: int) -> tuple[float, float, list[socket.socket]]:
    """(accepted a second, slowest report of the requests in flight in ms, the waiting clients)."""
    url = f"http://127.0.0.1:{ports[1]}/internal/in-flight"
    admin = urllib3.PoolManager(retries=False, timeout=30)

    def outstanding() -> int:
        return int(admin.request("GET", url).json()["outstanding"])

    before = outstanding()
    command = [sys.executable, "-c", WATCHER, str(ports[1])]
    # A process of its own: the senders' threads would delay its clock.
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert watcher.stdout
    watcher.stdout.readline()
    began = time.monotonic()

    def send(number: int) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", ports[0]), 60)
        client.sendall(multipart(PHOTO, f"p{number}.jpg"))
        return client

    with ThreadPoolExecutor(50) as pool:
        clients = list(pool.map(send, range(count)))
    while outstanding() < before + count and time.monotonic() - began < 240:
        time.sleep(0.05)
    took = time.monotonic() - began
    watcher.terminate()
    slowest = float(watcher.communicate()[0].split()[-1])
    return count / took, 1000 * slowest, clients


@contextmanager
def idle_connections(port: int, count: int) -> Iterator[bool]:
    """That many kept-alive connections; ``False`` when the system allows fewer open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = hard == resource.RLIM_INFINITY or hard >= count + 2500
    if allowed and soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 2500), hard))
    idle = []
    for _ in range(count if allowed else 0):
        client = socket.create_connection(("127.0.0.1", port), 60)
        client.sendall(GET)
        answer(client)
        idle.append(client)
    try:
        yield allowed
    finally:
        for client in idle:
            client.close()


def refused_during_restart(web: Child, port: int, start: Callable[[], Child]) -> int:
    """Connections refused or reset while the process is ended and started again, 50 a second."""
    refused, over = 0, threading.Event()

    def knock() -> None:
        nonlocal refused
        while not over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), 60) as client:
                    client.sendall(GET)
                    answer(client)
            except OSError:
                refused += 1
            time.sleep(0.02)

    knocking = threading.Thread(target=knock)
    knocking.start()
    time.sleep(0.5)
    web.signal(signal.SIGTERM)
    start()
    web.wait(20)
    wait_until_ready(port)
    time.sleep(0.5)
    over.set()
    knocking.join()
    return refused


def measure(folder: Path, *, quick: bool) -> dict[str, float]:
    """All figures."""
    seconds, rounds, waiting, idle = (2.0, 2, 200, 1000) if quick else (3.0, 5, 1000, 10_000)
    figures: dict[str, float] = {}
    bare_port = free_port()
    bare_command = (sys.executable, "-c", BARE, str(bare_port))
    with Child(bare_command, log=folder / "bare.log") as bare, system(folder) as (start, ports):
        web = start()
        wait_until_ready(ports[0])
        wait_for_port(bare_port)
        figures["mb_base"] = resident_mb(web)
        for kind in ("get", "post"):
            ratios, costs = [], []
            for _ in range(rounds):
                theirs, their_cost = cost(bare, bare_port, seconds, kind)
                ours, our_cost = cost(web, ports[0], seconds, kind)
                ratios.append(ours / theirs)
                costs.append(their_cost / our_cost)
                figures[f"{kind}_per_s"], figures[f"{kind}_per_s_bare"] = ours, theirs
            figures[f"{kind}_vs_bare"] = round(median(ratios), 3)
            figures[f"{kind}_processor_vs_bare"] = round(median(costs), 3)
        accepted, slowest, clients = intake(ports, waiting)
        figures["accepted_per_s"] = round(accepted, 1)
        figures["in_flight_ms"] = round(slowest, 1)
        figures[f"mb_with_{waiting}_waiting"] = resident_mb(web)
        with idle_connections(ports[0], idle) as allowed:
            if allowed:
                figures[f"mb_with_{waiting}_waiting_and_{idle}_idle"] = resident_mb(web)
        for client in clients:
            client.close()
        figures["refused_during_restart"] = refused_during_restart(web, ports[0], start)
    return {name: round(value, 3) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--quick", action="store_true", help="fewer requests; figures are rough")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="facerec-web-") as folder:
        figures = measure(Path(folder), quick=arguments.quick)
    for name, value in figures.items():
        print(f"{name:24} {value:g}")
    if arguments.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
