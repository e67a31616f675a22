"""Whether this machine's web tier is ready, told to AWS: ``python -m facerec_tasks.web_probe``.

A timer runs it every minute: it puts the metric that the alarm of a hanging web tier looks at.
``--signal STACK RESOURCE MACHINE_FILE``, from the user data, waits until it is ready and tells
CloudFormation, so that an update goes on only with an image that serves.
"""

import logging
import sys
import time
import urllib.request
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import FacerecError, Unavailable
from facerec_tasks.logs import configure
from facerec_tasks.settings import Settings, get_settings

log = logging.getLogger(__name__)

NAMESPACE, METRIC = "facerec", "WebTierReady"
"""Of CloudWatch; ami_build/stack/stack.yaml names them too."""
PATIENCE = 10.0
"""Seconds after which a web tier that does not answer hangs."""
DEADLINE = 1100.0
"""Seconds; the stack waits for twenty minutes."""
LOOK_EVERY = 2.0


def is_ready(settings: Settings) -> bool:
    """Asked on this machine, without a proxy."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{host}:{settings.port}/readyz", timeout=PATIENCE):
            return True
    except OSError:
        return False


def report(settings: Settings) -> None:
    """Puts the metric: 1 when ready, 0 when not. Raises :class:`FacerecError`, botocore's."""
    value = float(is_ready(settings))
    with translated():
        client(settings, "cloudwatch").put_metric_data(
            Namespace=NAMESPACE,
            MetricData=[
                {
                    "MetricName": METRIC,
                    "Dimensions": [{"Name": "Id", "Value": settings.id}],
                    "Value": value,
                }
            ],
        )


def signal(settings: Settings, stack: str, resource: str, machine_file: Path) -> None:
    """Waits until it is ready and signals. Exits with 1 after :data:`DEADLINE` seconds."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if is_ready(settings):
            machine = machine_file.read_text().strip().partition("=")[2]
            try:
                with translated():
                    client(settings, "cloudformation").signal_resource(
                        StackName=stack,
                        LogicalResourceId=resource,
                        UniqueId=machine,
                        Status="SUCCESS",
                    )
                return
            except Unavailable as error:
                log.warning("CloudFormation does not take the signal yet: %s", error)
        time.sleep(LOOK_EVERY)
    sys.exit("the web tier does not become ready")


def main() -> None:
    configure("probe")
    settings = get_settings()
    if sys.argv[1:2] == ["--signal"]:
        stack, resource, file = sys.argv[2:]
        signal(settings, stack, resource, Path(file))
        return
    try:
        report(settings)
    except (FacerecError, ClientError, BotoCoreError) as error:
        sys.exit(f"CloudWatch was not told: {error}")


if __name__ == "__main__":
    main()
