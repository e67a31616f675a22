"""Which ports of this machine are free."""

import errno
import socket
from collections.abc import Mapping


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens there, by any of this machine's addresses that includes it.

    Raises :class:`OSError` when the port cannot be used for another reason: no permission, an
    address that is not this machine's.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As servers do: a closed connection that lingers does not take the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def faults(wanted: Mapping[str, tuple[str, int]]) -> list[str]:
    """One line for each wanted ``(host, port)`` that cannot be had, named by what wants it."""
    found = []
    users: dict[int, str] = {}
    for name, (host, port) in wanted.items():
        if (other := users.setdefault(port, name)) != name:
            found.append(f"port {port} is wanted by {other} and {name}")
            continue
        try:
            if is_taken(host, port):
                found.append(f"port {port} ({name}) is taken by another process")
        except OSError as error:
            found.append(f"port {port} ({name}) on {host}: {error.strerror}")
    return found
