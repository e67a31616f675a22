"""An AWS on this machine for tests: a moto server process, all in memory.

``python -m celery_sqs.testing.server --port 0`` prints its address once it answers.
"""

import argparse
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

HOST = "127.0.0.1"
BACKLOG = 1024
START_TIMEOUT = 30.0
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
    local = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    where = {
        "AWS_ENDPOINT_URL": endpoint_url, "AWS_REGION": region, "AWS_DEFAULT_REGION": region,
    }  # fmt: skip
    return kept | local | ACCOUNT | where


@contextmanager
def emulated_aws() -> Iterator[str]:
    """Runs one as a child process and gives its endpoint URL.

    Raises :class:`RuntimeError` when it does not start.
    """
    command = (sys.executable, "-m", "celery_sqs.testing.server", "--port", "0")
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


def serve(port: int) -> None:
    """Serves for ever; prints the address first."""
    from werkzeug.serving import make_server

    from celery_sqs.testing import sqs_emulator, store_emulator

    sqs_emulator.install()
    store_emulator.install()
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for every call
    with socket.create_server((HOST, port), backlog=BACKLOG) as listening:
        server = make_server(
            HOST,
            listening.getsockname()[1],
            DomainDispatcherApplication(create_backend_app),
            threaded=True,
            request_handler=MotoRequestHandler,
            fd=listening.fileno(),
        )
        print(f"http://{HOST}:{listening.getsockname()[1]}", flush=True)
        server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m celery_sqs.testing.server", description=__doc__
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes any that is free")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # threads in a long poll must not hold us
    serve(parser.parse_args().port)


if __name__ == "__main__":
    main()
