"""The emulator under a benchmark, and what it was asked: LocalStack, else fauxqs; never moto.

moto slows down with the depth of a queue, so what it says about latency is about moto.
"""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from facerec_tasks.errors import ConfigurationError
from local.emulators.embedded_aws import embedded_aws
from local.emulators.localstack import localstack
from local.processes.child import Child
from local.processes.ports import free_port

FAUXQS = "fauxqs@1.9.2"
"""The last that runs on Node 20."""
START_TIMEOUT = 120.0
_CALL = re.compile(r"AWS (\w+\.\w+) => \d+")
"""In a line of LocalStack's log or of the counting proxy's."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator. Its log has a line for every call once it is answered."""

    name: str
    url: str
    log: Path
    has_ec2: bool = True

    def mark(self) -> int:
        """A position in the log, for :meth:`calls`."""
        return self.log.stat().st_size

    def calls(self, since: int) -> Counter[str]:
        """Calls answered since that mark, by service and kind, such as ``sqs.SendMessage``."""
        with self.log.open("rb") as log:
            log.seek(since)
            return Counter(_CALL.findall(log.read().decode(errors="replace")))


@contextmanager
def emulator(directory: Path) -> Iterator[Emulator]:
    """Starts the best emulator this machine has and ends it with the block.

    Raises :class:`ConfigurationError` when there is neither.
    """
    log = directory / "emulator.log"
    running = localstack(log=log)
    try:
        url = running.__enter__()
    except ConfigurationError as error:
        print(f"no LocalStack ({error}); trying {FAUXQS}", file=sys.stderr, flush=True)
    else:
        try:
            yield Emulator("LocalStack 4.14.0", url, log)
        finally:
            running.__exit__(None, None, None)
        return
    with _fauxqs(directory) as upstream, _counted(upstream, log) as url:
        yield Emulator(f"{FAUXQS} behind a counting proxy", url, log, has_ec2=False)


@contextmanager
def emulator_with_ec2(other: Emulator, directory: Path) -> Iterator[Emulator]:
    """That emulator if it has EC2, else our embedded AWS: good for counting calls, not for time."""
    if other.has_ec2:
        yield other
        return
    log = directory / "embedded.log"
    with embedded_aws() as upstream, _counted(upstream, log) as url:
        yield Emulator("the embedded AWS behind a counting proxy", url, log)


@contextmanager
def _fauxqs(directory: Path) -> Iterator[str]:
    port = free_port()
    environment = os.environ | {"FAUXQS_PORT": str(port), "FAUXQS_LOGGER": "false"}
    command = ("npx", "--yes", FAUXQS)
    child = Child(command, environment=environment, log=directory / "fauxqs.log")
    try:
        yield _await(f"http://127.0.0.1:{port}", child)
    finally:
        child.kill()


@contextmanager
def _counted(upstream: str, log: Path) -> Iterator[str]:
    """A proxy that writes a line for each call: fauxqs itself does not tell them apart."""
    command = (sys.executable, "-m", "benchmarks.counting_proxy", upstream, str(log))
    child = Child(command, stdout=subprocess.PIPE)
    try:
        url = child.first_line(START_TIMEOUT)
        if not url:
            raise ConfigurationError("the counting proxy does not start")
        yield url
    finally:
        child.kill()


def _await(url: str, child: Child) -> str:
    deadline = time.monotonic() + START_TIMEOUT
    while child.exit_code is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return url  # it answers, whatever it says
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return url
    raise ConfigurationError(f"{' '.join(child.command)} does not start")
