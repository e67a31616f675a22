"""Waits until a started service answers."""

import socket
import time
from collections.abc import Callable

import urllib3

from local.processes.child import Child


def wait_until(condition: Callable[[], bool], timeout: float, every: float = 0.05) -> bool:
    """Whether the condition came true within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True


def is_up(child: Child, ready: Callable[[], bool], timeout: float) -> bool:
    """Whether a child was ``ready`` within ``timeout`` seconds and did not end before."""
    return wait_until(lambda: child.exit_code is not None or ready(), timeout) and (
        child.exit_code is None
    )


def answers(url: str) -> bool:
    """Whether an HTTP server answers there, whatever it says."""
    try:
        urllib3.request("GET", url, timeout=1.0, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return True


def listens(port: int) -> bool:
    """Whether a server of this machine takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
