"""An AWS on this machine for tests: a moto server process, all in memory.

``python -m celery_sqs.testing --port 0`` prints its address once it answers.
"""

import argparse
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

HOST = "127.0.0.1"
BACKLOG = 1024
"""Connections that may wait to be accepted: a burst opens hundreds at once."""
START_TIMEOUT = 30.0
"""Seconds; it takes about one on an idle machine."""
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "emulated",
    "AWS_SECRET_ACCESS_KEY": "emulated",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""Credentials that are valid nowhere, and no way to others."""


def isolated(
    environment: Mapping[str, str], endpoint_url: str, region: str = "us-east-1"
) -> dict[str, str]:
    """That environment, pointed at an emulator and unable to reach a real account."""
    kept = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    own = (kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1,localhost")
    bypass = ",".join(filter(None, own))
    where = {
        "AWS_ENDPOINT_URL": endpoint_url, "AWS_REGION": region, "AWS_DEFAULT_REGION": region,
        "NO_PROXY": bypass, "no_proxy": bypass,
    }  # fmt: skip
    return kept | ACCOUNT | where


@contextmanager
def emulated_aws() -> Iterator[str]:
    """Runs one as a child process and gives its endpoint URL.

    Raises :class:`RuntimeError` when it does not start.
    """
    command = (sys.executable, "-m", "celery_sqs.testing", "--port", "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as server:
        try:
            assert server.stdout is not None
            ready, _, _ = select.select([server.stdout], [], [], START_TIMEOUT)
            address = server.stdout.readline().decode().strip() if ready else ""
            if not address:
                raise RuntimeError("the emulated AWS does not start; its reason is above")
            yield address
        finally:
            server.kill()


def serve_until_signaled(port: int, make_application: Callable[[str], Any]) -> None:
    """Serves moto until SIGTERM or SIGINT; prints its address first.

    ``make_application`` is given the address. Raises :class:`OSError` when the port is taken.
    """
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # threads in a long poll must not hold us
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for every call
    with socket.create_server((HOST, port), backlog=BACKLOG) as listening:
        bound = listening.getsockname()[1]
        server = make_server(
            HOST,
            bound,
            make_application(f"http://{HOST}:{bound}"),
            threaded=True,
            request_handler=MotoRequestHandler,
            fd=listening.fileno(),
        )
        print(f"http://{HOST}:{bound}", flush=True)
        server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m celery_sqs.testing", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any that is free")
    port = parser.parse_args().port
    from celery_sqs.testing import sqs_emulator, store_emulator

    sqs_emulator.install()
    store_emulator.install()
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    serve_until_signaled(port, lambda _: DomainDispatcherApplication(create_backend_app))
