"""Listening sockets: inherited, so that they outlive this process, or our own.

systemd passes them by its socket activation protocol (``sd_listen_fds(3)``); ``facerec up`` by
``FACEREC_LISTEN_FDS``, their numbers in the same order. The first one is the public one.
"""

import os
import socket
from collections.abc import Mapping

BACKLOG = 4096
"""Connections that wait while no process accepts, as far as ``net.core.somaxconn`` allows."""
FIRST_FD = 3
"""https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html"""
VARIABLE = "FACEREC_LISTEN_FDS"


def inherited(environment: Mapping[str, str], pid: int) -> list[socket.socket]:
    """The sockets that were passed to this process; empty when none were."""
    if VARIABLE in environment:
        numbers = [int(number) for number in environment[VARIABLE].split(",")]
    elif environment.get("LISTEN_PID") == str(pid):
        count = int(environment.get("LISTEN_FDS", "0"))
        numbers = list(range(FIRST_FD, FIRST_FD + count))
    else:
        return []
    return [socket.socket(fileno=number) for number in numbers]


def listen(host: str, port: int) -> socket.socket:
    """Raises :class:`OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = "127.0.0.1" if host == "localhost" else host
    made = socket.create_server((address, port), family=family, backlog=BACKLOG)
    made.setblocking(False)
    return made


def sockets(public: tuple[str, int], admin: tuple[str, int]) -> tuple[socket.socket, socket.socket]:
    """The public and the admin socket; raises :class:`OSError`, whose ``filename`` is the address
    that could not be bound."""
    found = inherited(os.environ, os.getpid())[:2]
    try:
        for host, port in (public, admin)[len(found) :]:
            try:
                found.append(listen(host, port))
            except OSError as error:
                error.filename = f"{host}:{port}"
                raise
    except OSError:
        for one in found:
            one.close()
        raise
    for one in found:
        one.setblocking(False)
    return found[0], found[1]
