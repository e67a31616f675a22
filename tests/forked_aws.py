"""Embedded AWSs for tests that need one of their own, forked from a process that has loaded moto.

To load moto takes seconds of processor time, and dozens of tests need an AWS for themselves.
"""

import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from local.emulators.embedded_aws import serve
from local.processes.child import Child
from local.processes.parent_death_signal import tie_to_parent

START_TIMEOUT = 60.0
"""Seconds until a fork serves; the first one waits for moto to be loaded."""


class AwsForks:
    """Forks embedded AWSs; all end with it, or with us."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = (sys.executable, "-m", "tests.forked_aws", str(theirs.fileno()))
        self._child = Child(command, pass_fds=[theirs.fileno()])
        theirs.close()

    @contextmanager
    def fork(self, *, pending: float, stopping: float) -> Iterator[str]:
        """Runs another one and gives its endpoint URL.

        ``pending`` and ``stopping`` are the seconds its EC2 instances stay in these states.
        """
        reading, writing = os.pipe()
        socket.send_fds(self._ours, [f"{pending} {stopping}".encode()], [writing])
        os.close(writing)
        with os.fdopen(reading) as said:
            ready, _, _ = select.select([said], [], [], START_TIMEOUT)
            number, address = (said.readline(), said.readline().strip()) if ready else ("", "")
            if not address:
                raise RuntimeError("the embedded AWS does not start; its reason is above")
            try:
                yield address
            finally:
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)

    def end(self) -> None:
        self._child.kill()
        self._ours.close()


def main(number: int) -> None:
    import moto.backends

    for service in ("ec2", "s3", "sqs", "sns", "iam", "sts", "cloudwatch"):
        moto.backends.get_backend(service)
    import local.emulators.ec2
    import local.emulators.images
    import local.emulators.s3  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with socket.socket(fileno=number) as theirs:
        while True:
            request, files, _, _ = socket.recv_fds(theirs, 64, 1)
            if not request:
                return
            parent = os.getpid()
            if os.fork() == 0:
                break
            for file in files:
                os.close(file)
    tie_to_parent(parent)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(files[0], 1)
    print(os.getpid(), flush=True)
    pending, stopping = map(float, request.split())
    serve(0, pending=pending, stopping=stopping)


if __name__ == "__main__":
    main(int(sys.argv[1]))
