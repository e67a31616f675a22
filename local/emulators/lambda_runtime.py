"""One execution environment of a Lambda function on this machine.

A process of the function, in a container or not, asks the Runtime API for work, as on AWS: nothing
of the function's is called from here. See
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.
"""

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from local.processes.child import Child

HOST = "127.0.0.1"
VERSION = "2018-06-01"
REGION, ACCOUNT = "us-east-1", "123456789012"
INIT_TIMEOUT = 60.0
"""Seconds until a new environment asks for its first event. AWS allows an image ten, then again as
many as the function may run."""


@dataclass(frozen=True)
class Function:
    """What Lambda is told about a function."""

    name: str
    command: tuple[str, ...]
    """Starts its runtime. ``{address}`` becomes the Runtime API's."""
    timeout: float
    """Seconds of one run."""
    memory: int = 1769
    """MB, told and not enforced."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"


@dataclass(frozen=True)
class InvocationResult:
    """What came of one event."""

    payload: Any
    """What the handler returned; or ``errorType``, ``errorMessage`` and more."""
    failed: bool
    seconds: float
    """From handing the event over to the answer."""


@dataclass
class _Work:
    payload: bytes
    deadline: float
    """Unix seconds."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    result: "Queue[tuple[Any, bool]]" = field(default_factory=lambda: Queue(1))


class FunctionEnvironment:
    """One process and the Runtime API it asks; one event at a time, as on AWS."""

    def __init__(self, function: Function, folder: Path) -> None:
        """``folder``: its ``/tmp`` and its log; emptied by :meth:`close`."""
        self._function = function
        self._folder = folder
        self._waiting: Queue[_Work] = Queue()
        self._running: dict[str, _Work] = {}
        self._asked = threading.Event()
        self.init_error: Any = None
        self._api = _Api(self)
        self.started_at = time.monotonic()
        self.asked_after = 0.0
        """Seconds from its start to its first question for work."""
        self._child = self._start()

    @property
    def log(self) -> Path:
        """What the function wrote."""
        return self._folder / "log"

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.exit_code is None

    def ready(self, timeout: float = INIT_TIMEOUT) -> bool:
        """Waits until it asks for work; false when it failed to, or ended."""
        deadline = time.monotonic() + timeout
        while not self._asked.wait(0.05):
            if self.init_error is not None or not self.alive or time.monotonic() > deadline:
                return False
        return True

    def invoke(self, payload: bytes) -> InvocationResult:
        """Hands one event over and waits for what comes of it.

        After the function's time it is killed, as Lambda does; so it is lost to further events.
        """
        begin = time.monotonic()
        work = _Work(payload, time.time() + self._function.timeout)
        self._waiting.put(work)
        while True:
            try:
                answer, failed = work.result.get(timeout=0.05)
                break
            except Empty:
                pass
            if time.time() > work.deadline:
                self._child.kill()
                message = f"{work.id} Task timed out after {self._function.timeout:.2f} seconds"
                answer, failed = {"errorType": "Sandbox.Timedout", "errorMessage": message}, True
                break
            if not self.alive and work.result.empty():
                answer, failed = self.init_error or _exited(self._child), True
                break
        return InvocationResult(answer, failed, time.monotonic() - begin)

    def stop_answering(self) -> None:
        """Takes the Runtime API away, as when the machine under it is lost."""
        self._api.close()

    def close(self) -> None:
        self._child.kill()
        self._api.close()
        shutil.rmtree(self._folder / "tmp", ignore_errors=True)

    def _start(self) -> Child:
        scratch = self._folder / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        told = {
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_LAMBDA_FUNCTION_NAME": self._function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._function.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self._function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "INFO",
            "TMPDIR": str(scratch),
            "FACEREC_STATE_DIR": str(scratch),
        }
        command = [part.format(address=self._api.address) for part in self._function.command]
        environment = {**os.environ, **told, **self._function.environment}
        return Child(command, environment=environment, log=self.log)

    # What the Runtime API does

    def next(self, gone: Callable[[], bool]) -> _Work | None:
        """The next event; none when whoever asked is ``gone`` or we are closed."""
        if not self._asked.is_set():
            self.asked_after = time.monotonic() - self.started_at
            self._asked.set()
        while not gone():
            try:
                work = self._waiting.get(timeout=0.1)
            except Empty:
                continue
            self._running[work.id] = work
            return work
        return None

    def answer(self, request_id: str, payload: bytes, failed: bool) -> bool:
        """Whether there was such an event to be answered."""
        work = self._running.pop(request_id, None)
        if work is None:
            return False
        work.result.put((json.loads(payload), failed))
        return True

    @property
    def arn(self) -> str:
        return self._function.arn


def _exited(child: Child) -> dict[str, str]:
    message = f"Runtime exited with error: exit status {child.exit_code}"
    return {"errorType": "Runtime.ExitError", "errorMessage": message}


class JsonHandler(BaseHTTPRequestHandler):
    """Requests of a function or to one."""

    protocol_version = "HTTP/1.1"

    def say(self, status: int, body: bytes, headers: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The function's own log is enough."""


class JsonServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A function that was killed takes its connection with it: no news."""


class _Api(JsonServer):
    """The Runtime API of one environment, on a port of its own."""

    def __init__(self, environment: FunctionEnvironment) -> None:
        super().__init__((HOST, 0), _RuntimeHandler)
        self.environment = environment
        self.address = f"{HOST}:{self.server_address[1]}"
        self.closed = False
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.shutdown()
            self.server_close()


class _RuntimeHandler(JsonHandler):
    server: _Api

    def do_GET(self) -> None:
        if self.path != f"/{VERSION}/runtime/invocation/next":
            self.say(404, b"{}")
            return
        work = self.server.environment.next(lambda: self.server.closed)
        if work is None:
            self.close_connection = True
            return
        self.say(
            200,
            work.payload,
            {
                "Lambda-Runtime-Aws-Request-Id": work.id,
                "Lambda-Runtime-Deadline-Ms": str(int(work.deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": self.server.environment.arn,
                "Lambda-Runtime-Trace-Id": "Root=1-0-0;Sampled=0",
            },
        )

    def do_POST(self) -> None:
        body = self._body()
        parts = self.path.strip("/").split("/")
        match parts:
            case [_, "runtime", "init", "error"]:
                self.server.environment.init_error = json.loads(body)
                self.say(202, b'{"status":"OK"}')
            case [_, "runtime", "invocation", request_id, ("response" | "error") as kind]:
                known = self.server.environment.answer(request_id, body, kind == "error")
                self.say(202 if known else 403, b'{"status":"OK"}')
            case _:
                self.say(404, b"{}")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while length := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return data
