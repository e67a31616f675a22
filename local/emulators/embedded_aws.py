"""AWS on this machine: a moto server process with S3, SQS, SNS, EC2 and IAM, in memory.

``python -m local.emulators.embedded_aws --port 4566`` prints its address once it answers and
runs until SIGTERM or SIGINT. What it holds is gone when it ends, but for the objects of S3 in
``--folder``.
:func:`embedded_aws` runs one as a child.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.session import Session
from celery_sqs.testing.server import HOST, START_TIMEOUT, serve_until_signaled

from facerec_tasks.errors import ConfigurationError
from local.processes.child import Child


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
def embedded_aws(*, pending: float = 2.0, stopping: float = 1.0, lag: float = 0.0) -> Iterator[str]:
    """Runs one as a child process and gives its endpoint URL; it ends with the block or with us.

    ``pending`` and ``stopping`` are the seconds its EC2 instances stay in these states, ``lag``
    those until a change of EC2's is seen. Raises :class:`ConfigurationError` when it does not
    start.
    """
    started = command(0, pending=pending, stopping=stopping, lag=lag)
    with Child(started, stdout=subprocess.PIPE) as child:
        address = child.first_line(START_TIMEOUT)
        if not address:
            raise ConfigurationError("the embedded AWS does not start; its reason is above")
        yield address


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

    from local.emulators import ec2, ec2_refusals, images, s3

    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # hundreds, none of them ours
    sqs_emulator.install()
    s3.install(folder)
    ec2.install(pending=pending, stopping=stopping, lag=lag)
    images.install(pending=pending)
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    def application(address: str) -> Any:
        def backend(service: str) -> Any:
            """A service at its first call: what is ours of two is seldom needed, and slow."""
            if service == "iam":
                from local.emulators import iam

                iam.install()
            if service == "cloudformation":
                from local.emulators import cloudformation

                cloudformation.install(address)
            return create_backend_app(service)

        return ec2_refusals.controlled(DomainDispatcherApplication(backend))

    serve_until_signaled(port, application)


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
    try:
        serve(**vars(options))
    except OSError as error:
        sys.exit(f"cannot listen on {HOST}:{options.port}: {error.strerror}")


if __name__ == "__main__":
    main()
