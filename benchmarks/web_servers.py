"""``python -m benchmarks.web_servers PYTHON``: servers for a Flask application, side by side.

``PYTHON`` is the interpreter of an environment of its own with flask, uvicorn, uvloop, httptools,
a2wsgi, waitress, gunicorn, hypercorn and granian. Each server runs the same application in one
process with threads for 1,000 waiting requests. For each: ``get_per_s`` and ``post_per_s`` (a
health check; 100 kB that are refused), ``get_us`` and ``post_us`` (processor time of one, which
other work on the machine hardly changes), ``mb_base``, ``waiting`` (how many of 1,000 requests that
wait got a thread), ``mb_waiting``, ``idle_open`` (how many of 10,000 idle connections more it took
within 90 s and still holds) and ``mb_idle``.
"""

import argparse
import json
import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.web import GET, answer, cost, wait_for_port
from local.processes.child import Child
from local.processes.ports import free_port

WAITING, IDLE, THREADS = 1000, 10_000, 1016
IDLE_SECONDS = 90.0
APPLICATION = f"""
import threading
from flask import Flask, request
app = Flask("bare", static_folder=None)
app.get("/healthz")(lambda: ("ok", {{"Content-Type": "text/plain"}}))
@app.get("/wait")
def wait():
    with open("WAITING_LOG", "a") as log:
        log.write(".")
    threading.Event().wait(300)
    return "waited"
@app.post("/")
def refuse():
    request.files["inputFile"].read()
    return "not-a-picture", 415
def asgi():
    from a2wsgi import WSGIMiddleware
    return WSGIMiddleware(app, workers={THREADS})
"""
SERVERS: dict[str, tuple[str, ...]] = {
    "uvicorn": ("uvicorn", "--factory", "site_app:asgi", "--port", "PORT", "--no-access-log",
                "--timeout-keep-alive", "600", "--backlog", "4096", "--log-level", "warning"),
    "waitress": ("waitress", "--listen=127.0.0.1:PORT", f"--threads={THREADS}",
                 "--connection-limit=20000", "--channel-timeout=600",
                 "--asyncore-use-poll", "site_app:app"),
    "gunicorn gthread": ("gunicorn", "-k", "gthread", "--threads", str(THREADS), "-b",
                         "127.0.0.1:PORT", "--worker-connections", "20000", "--keep-alive", "600",
                         "--backlog", "4096", "site_app:app"),
    "hypercorn": ("hypercorn", "-k", "uvloop", "-b", "127.0.0.1:PORT", "--keep-alive", "600",
                  "--backlog", "4096", "site_app:app"),
    "granian": ("granian", "--interface", "wsgi", "--port", "PORT", "--backpressure", "20000",
                "--blocking-threads", str(THREADS), "--backlog", "4096", "--no-access-log",
                "site_app:app"),
}  # fmt: skip


def resident_mb(pid: int) -> float:
    """Of a process and its children, without what they share."""
    total = 0.0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            total = int(line.split()[1]) / 1000
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            children = (task / "children").read_text().split()
            total += sum(resident_mb(int(child)) for child in children)
    return total


def ask(port: int, path: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 30)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


def settled(read: Callable[[], int]) -> int:
    """The value once it has not grown for two seconds."""
    value, since = read(), time.monotonic()
    while time.monotonic() - since < 2:
        time.sleep(0.2)
        if (now := read()) > value:
            value, since = now, time.monotonic()
    return value


def measure(
    python: str, command: tuple[str, ...], folder: Path, seconds: float
) -> dict[str, float]:
    """All figures of one server."""
    port = free_port()
    arguments = [part.replace("PORT", str(port)) for part in command]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    server = Child((python, "-m", *arguments), environment=environment, log=folder / "server.log")
    with server, ExitStack() as clients:
        wait_for_port(port)
        answer(ask(port, "/healthz"))
        figures = {"mb_base": resident_mb(server.pid)}
        for kind in ("get", "post"):
            figures[f"{kind}_per_s"], spent = cost(server, port, seconds, kind)
            figures[f"{kind}_us"] = 1e6 * spent
        for _ in range(WAITING):
            clients.enter_context(ask(port, "/wait"))
        log = folder / "waiting"
        figures["waiting"] = settled(lambda: log.stat().st_size if log.exists() else 0)
        figures["mb_waiting"] = resident_mb(server.pid)
        idle: list[socket.socket] = []
        with suppress(OSError, ValueError, IndexError):
            began = time.monotonic()
            while len(idle) < IDLE and time.monotonic() < began + IDLE_SECONDS:
                client = clients.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                client.sendall(GET)
                answer(client)
                idle.append(client)
        poll = select.poll()
        for client in idle:
            poll.register(client, select.POLLIN)
        figures["idle_open"] = len(idle) - len(poll.poll(0))
        figures["mb_idle"] = resident_mb(server.pid)
    return {name: round(value, 1) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web_servers", description=__doc__)
    parser.add_argument("python")
    parser.add_argument("--only", choices=SERVERS, action="append")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement of a rate")
    given = parser.parse_args()
    found = {}
    for name in given.only or SERVERS:
        with TemporaryDirectory(prefix="facerec-servers-") as folder:
            application = APPLICATION.replace("WAITING_LOG", f"{folder}/waiting")
            (Path(folder) / "site_app.py").write_text(application)
            found[name] = measure(given.python, SERVERS[name], Path(folder), given.seconds)
        print(name, found[name], flush=True)
    print(json.dumps({"figures": found}))


if __name__ == "__main__":
    main()
