"""Python programs as forks of a process that has imported what they need.

A worker imports for half a second of processor time, and tests start hundreds of them::

    forks = PythonForks("celery.bin.celery", "celery.apps.worker", "boto3")
    worker = forks.start(["-m", "celery", "-A", "app", "worker"], os.environ, Path("log"))
    worker.end(grace=10.0)
    forks.end()

Name no module that reads the environment, starts threads or opens files when it is imported.
"""

import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import connection
from pathlib import Path

_NUMBER = struct.Struct("i")
_LONGEST_REQUEST = 1 << 17
_KILL_SECONDS = 10.0


class ForkedProcess:
    """A running program, in a session of its own."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._exit_code: int | None = None
        self._pid = self._read()

    def _read(self) -> int:
        (number,) = _NUMBER.unpack(os.read(self._pipe, _NUMBER.size))
        return int(number)

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        self.wait(0.0)
        return self._exit_code

    def wait(self, timeout: float) -> bool:
        """Whether it ended within ``timeout`` seconds."""
        # Not select.select, which knows no file descriptor above 1,023.
        if self._exit_code is None and connection.wait([self._pipe], max(0.0, timeout)):
            self._exit_code = self._read()
            os.close(self._pipe)
        return self._exit_code is not None

    def signal(self, number: int) -> None:
        """Sends a signal to the process, not to its children; nothing when it has ended."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it and what is left of its group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(_KILL_SECONDS)

    def end(self, grace: float) -> None:
        """SIGTERM, ``grace`` seconds to finish, then SIGKILL to whatever is left."""
        self.signal(signal.SIGTERM)
        self.wait(grace)
        self.kill()


class PythonForks:
    """Starts programs; ``modules`` are imported once, before the first of them."""

    def __init__(self, *modules: str) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"from {__name__} import main; main()"
        command = [sys.executable, "-c", code, str(theirs.fileno()), *modules]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
        )
        theirs.close()

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> ForkedProcess:
        """``arguments`` as of ``python``: ``-m MODULE``, ``-c CODE`` or a file, and its own."""
        request = json.dumps([list(arguments), dict(environment)]).encode()
        ours, theirs = os.pipe()
        with log.open("ab") as output:
            socket.send_fds(self._requests, [request], [output.fileno(), theirs])
        os.close(theirs)
        return ForkedProcess(ours)

    def end(self) -> None:
        """No more forks; those that run go on."""
        self._requests.close()
        self._process.wait(_KILL_SECONDS)


def _serve(requests: socket.socket) -> tuple[bytes, int, int]:
    """Returns in forks only: a request, its log, and the pipe for process id and exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the forks that wait for a program
    while True:
        request, files, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 2)
        if not request:
            sys.exit()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return request, files[0], files[1]
        for file in files:
            os.close(file)


def _fork_once_more(log: int, pipe: int) -> None:
    """Returns in the program's process; the one above it reports how it ends."""
    pid = os.fork()
    if pid:
        os.close(log)
        _, status = os.waitpid(pid, 0)
        with suppress(BrokenPipeError):
            os.write(pipe, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.write(pipe, _NUMBER.pack(os.getpid()))
    os.close(pipe)


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    kind, *rest = arguments
    sys.path[:1] = [
        str(Path(kind).parent) if kind not in ("-m", "-c") else os.getcwd(),
        *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)),
    ]
    if kind == "-m":
        sys.argv[1:] = rest[1:]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [kind, *rest]
        runpy.run_path(kind, run_name="__main__")


def main() -> None:
    for module in sys.argv[2:]:
        import_module(module)
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        request, log, pipe = _serve(requests)
    _fork_once_more(log, pipe)
    _run(*json.loads(request))
