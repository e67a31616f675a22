"""AWS on this machine: a moto server process with S3, SQS, SNS, EC2 and IAM, in memory.

``python -m local.emulators.embedded_aws --port 4566`` prints its address once it answers and
runs until SIGTERM or SIGINT. What it holds is gone when it ends, but for the objects of S3 in
``--folder``.
:func:`embedded_aws` runs one as a child.
"""

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from botocore.session import Session

from facerec_tasks.errors import ConfigurationError
from local.processes.child import Child

HOST = "127.0.0.1"
BACKLOG = 1024
"""Connections that may wait to be accepted: a burst opens hundreds at once."""
START_TIMEOUT = 30.0
"""Seconds; it takes about one on an idle machine."""
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "embedded",
    "AWS_SECRET_ACCESS_KEY": "embedded",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""Credentials that are good nowhere, and no way to others."""
_PROXY = "127.0.0.1,localhost"


def isolated(
    environment: Mapping[str, str], endpoint_url: str, region: str = "us-east-1"
) -> dict[str, str]:
    """That environment, pointed at an emulator and unable to reach anybody's real account."""
    kept = {k: v for k, v in environment.items() if not k.startswith("AWS_")}
    bypass = ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), _PROXY)))
    return (
        kept
        | ACCOUNT
        | {
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "NO_PROXY": bypass,
            "no_proxy": bypass,
        }
    )


def check_region(region: str) -> None:
    """Raises :class:`ConfigurationError` for a region that EC2 is not in; the emulator fails."""
    if region not in Session().get_available_regions("ec2"):
        raise ConfigurationError(f"AWS_REGION {region!r} is no region of EC2; us-east-1 is one")


def command(
    port: int,
    *,
    pending: float,
    stopping: float,
    folder: Path | None = None,
    lag: float = 0.0,
) -> tuple[str, ...]:
    """The command line of an embedded AWS; ``port`` 0 takes any that is free.

    ``folder`` is where its S3 keeps objects, see :mod:`.s3_files`.
    """
    return (
        sys.executable, "-m", "local.emulators.embedded_aws",
        "--port", str(port), "--pending", str(pending), "--stopping", str(stopping),
        "--lag", str(lag),
        *(("--folder", str(folder)) if folder else ()),
    )  # fmt: skip


@contextmanager
def embedded_aws(
    port: int = 0, *, pending: float = 2.0, stopping: float = 1.0, lag: float = 0.0
) -> Iterator[str]:
    """Runs one as a child process and gives its endpoint URL; it ends with the block or with us.

    ``pending`` and ``stopping`` are the seconds its EC2 instances stay in these states, ``lag``
    those until a change of EC2's is seen. Raises :class:`ConfigurationError` when it does not
    start.
    """
    started = command(port, pending=pending, stopping=stopping, lag=lag)
    child = Child(started, stdout=subprocess.PIPE)
    try:
        address = child.first_line(START_TIMEOUT)
        if not address:
            raise ConfigurationError("the embedded AWS does not start; its reason is above")
        yield address
    finally:
        child.kill()  # nothing in it outlives it


def serve(
    port: int,
    *,
    pending: float,
    stopping: float,
    folder: Path | None = None,
    lag: float = 0.0,
) -> None:
    """Serves until SIGTERM or SIGINT; raises :class:`OSError` when the port is taken."""
    # Imported here: the parent of an embedded AWS has no use for moto.
    from celery_sqs.testing import sqs_emulator
    from werkzeug.serving import make_server

    from local.emulators import ec2, ec2_refusals, images, s3

    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # hundreds, none of them ours
    sqs_emulator.install()
    s3.install(folder)
    ec2.install(pending=pending, stopping=stopping, lag=lag)
    images.install(pending=pending)
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for every call
    with socket.create_server((HOST, port), backlog=BACKLOG) as listening:
        bound = listening.getsockname()[1]

        def backend(service: str) -> Any:
            """A service at its first call: what is ours of two is seldom needed, and slow."""
            if service == "iam":
                from local.emulators import iam

                iam.install()
            if service == "cloudformation":
                from local.emulators import cloudformation

                cloudformation.install(f"http://{HOST}:{bound}")
            return create_backend_app(service)

        server = make_server(
            HOST,
            bound,
            ec2_refusals.controlled(DomainDispatcherApplication(backend)),
            threaded=True,
            request_handler=MotoRequestHandler,
            fd=listening.fileno(),
        )
        print(f"http://{HOST}:{bound}", flush=True)
        server.serve_forever()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(0)  # threads in a long poll must not hold us; there is nothing to save


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m local.emulators.embedded_aws", description=__doc__
    )
    parser.add_argument("--port", type=int, default=4566, help="0 takes any that is free")
    parser.add_argument("--pending", type=float, default=2.0, help="seconds an instance boots")
    parser.add_argument("--stopping", type=float, default=1.0, help="seconds an instance stops")
    parser.add_argument("--folder", type=Path, help="where S3 keeps objects; default: in memory")
    parser.add_argument("--lag", type=float, default=0.0, help="seconds until changes are seen")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        serve(
            options.port,
            pending=options.pending,
            stopping=options.stopping,
            folder=options.folder,
            lag=options.lag,
        )
    except OSError as error:
        sys.exit(f"cannot listen on {HOST}:{options.port}: {error.strerror}")


if __name__ == "__main__":
    main()
