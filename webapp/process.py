"""The web process: two servers, their threads, and shutdown."""

import ctypes
import gc
import socket
import sys
import threading

from facerec_tasks.settings import Settings
from webapp.http.application import WebApplication
from webapp.http.connection import ConnectionTable
from webapp.http.request_head import is_in
from webapp.http.server import WebServer, allow_files
from webapp.pages.sampler import MAX_STREAMS
from webapp.services.task_client import TaskClient

SPARE_THREADS = 16
"""Threads above those that wait, so that pages and refusals are answered at once."""
ADMIN_THREADS = 4
ADMIN_CONNECTIONS = 256
SWITCH_INTERVAL = 0.001
"""Seconds after which a busy thread lets the event loops run; Python's default of 5 ms makes a
report of the requests in flight wait for a dozen uploads in turn."""
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""https://man7.org/linux/man-pages/man3/mallopt.3.html"""
LARGE = 64 * 1024
"""Bytes of a block that is given back at once; most photos are larger."""
ARENAS = 2
"""A thousand threads would otherwise spread what they free over eight heaps per core."""
COLLECTION_THRESHOLDS = (10_000, 20, 50)
"""Python's cyclic garbage collector stops all threads while it looks at old objects: 100 ms with
400 uploads waiting. It shall do so rarely; waiting requests are no garbage."""


def tune_malloc() -> None:
    """Makes glibc give large blocks back; to be called before threads start.

    Without it, 1,000 uploads of 100 KB that wait keep 100 MB that nobody uses.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_ARENA_MAX, ARENAS)


def tune_collector() -> None:
    """What has been loaded stays and is never looked at again; to be called when that is all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)


class WebProcess:
    """Serves on two sockets until :meth:`stop`."""

    def __init__(
        self,
        settings: Settings,
        task_client: TaskClient,
        public: socket.socket,
        admin: socket.socket,
    ) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL)
        allow_files(settings.max_connections + ADMIN_CONNECTIONS)
        application = WebApplication(settings, task_client)
        refused = application.access_log.refused
        table = ConnectionTable(
            settings.max_connections,
            settings.max_connections_per_address,
            is_exempt=lambda address: is_in(address, settings.trusted_proxies),
            refused=refused,
        )
        frontend = application.frontend(settings.max_waiting + SPARE_THREADS + MAX_STREAMS)
        self._public = WebServer(
            frontend, public, table, settings.drain_timeout, draining=task_client.stop
        )
        admin_table = ConnectionTable(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS, refused=refused)
        admin_frontend = application.frontend(ADMIN_THREADS + MAX_STREAMS, admin=True)
        self._admin = WebServer(admin_frontend, admin, admin_table, 0.0)

    def serve(self) -> None:
        """Returns after :meth:`stop` and the drain. The admin port answers until the end."""
        # With an event loop of its own: a full public side delays nothing there.
        thread = threading.Thread(
            target=self._admin.run_until_stopped, name="admin-server", daemon=True
        )
        thread.start()
        self._public.run_until_stopped()
        self._admin.stop()
        thread.join(timeout=1.0)

    def stop(self) -> None:
        """Safe in a signal handler."""
        self._public.stop()
