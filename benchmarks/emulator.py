"""The emulator under a benchmark, and what it was asked: LocalStack, else fauxqs; never moto.

moto slows down with the depth of a queue, so what it says about latency is about moto.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.counting_proxy import counting_proxy
from facerec_tasks.errors import ConfigurationError
from local.emulators.embedded_aws import embedded_aws
from local.emulators.localstack import localstack
from local.processes.child import Child
from local.processes.ports import free_port
from local.processes.readiness import answers, is_up

FAUXQS = "fauxqs@1.9.2"
"""The last that runs on Node 20."""
START_TIMEOUT = 120.0
_CALL = re.compile(r"AWS (\w+\.\w+) => \d+")


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    name: str
    url: str
    calls: Callable[[], Counter[str]]
    """Calls answered so far, by service and kind, such as ``sqs.SendMessage``."""
    has_ec2: bool = True


def logged_calls(log: Path) -> Counter[str]:
    """Those in LocalStack's log, which has a line for each once it is answered."""
    return Counter(_CALL.findall(log.read_text(errors="replace")))


@contextmanager
def emulator(directory: Path) -> Iterator[Emulator]:
    """Starts the best emulator this machine has and ends it with the block.

    Raises :class:`ConfigurationError` when there is neither.
    """
    log = directory / "emulator.log"
    with ExitStack() as stack:
        try:
            url = stack.enter_context(localstack(log=log))
            found = Emulator("LocalStack 4.14.0", url, partial(logged_calls, log))
        except ConfigurationError as error:
            print(f"no LocalStack ({error}); trying {FAUXQS}", file=sys.stderr, flush=True)
            upstream = stack.enter_context(_fauxqs(directory))
            found = _counted(stack, upstream, FAUXQS, has_ec2=False)
        yield found


def _counted(stack: ExitStack, upstream: str, name: str, *, has_ec2: bool) -> Emulator:
    """An emulator behind a proxy that counts: it does not tell calls apart itself."""
    proxy = stack.enter_context(counting_proxy(upstream))
    name = f"{name} behind a counting proxy"
    return Emulator(name, proxy.url, lambda: Counter(proxy.counted), has_ec2)


@contextmanager
def emulator_with_ec2(other: Emulator) -> Iterator[Emulator]:
    """That emulator if it has EC2, else our embedded AWS: good for counting calls, not for time."""
    with ExitStack() as stack:
        if other.has_ec2:
            yield other
        else:
            upstream = stack.enter_context(embedded_aws())
            yield _counted(stack, upstream, "the embedded AWS", has_ec2=True)


@contextmanager
def _fauxqs(directory: Path) -> Iterator[str]:
    port = free_port()
    environment = os.environ | {"FAUXQS_PORT": str(port), "FAUXQS_LOGGER": "false"}
    command = ("npx", "--yes", FAUXQS)
    url = f"http://127.0.0.1:{port}"
    with Child(command, environment=environment, log=directory / "fauxqs.log") as child:
        if not is_up(child, lambda: answers(url), START_TIMEOUT):
            raise ConfigurationError(f"{FAUXQS} does not start")
        yield url
