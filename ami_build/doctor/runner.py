"""Runs all checks in order; one that AWS refuses is reported and the others run."""

from collections.abc import Callable, Iterator

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ami_build.doctor import (
    account,
    alarms,
    buckets,
    log_groups,
    machines,
    permissions,
    queues,
    settings,
)
from ami_build.doctor.context import DeploymentContext, load
from ami_build.doctor.finding import Finding
from facerec_tasks.aws import translated
from facerec_tasks.errors import FacerecError
from facerec_tasks.settings import Settings

CHECKS: dict[str, Callable[[DeploymentContext], Iterator[Finding]]] = {
    "the stack": account.check_stack,
    "the clock": account.check_clock,
    "the network": account.check_network,
    "buckets": buckets.check_buckets,
    "queues": queues.check_queues,
    "topics": alarms.check_topics,
    "alarms": alarms.check_alarms,
    "log groups": log_groups.check_log_groups,
    "permissions": permissions.check_permissions,
    "machines": machines.check_machines,
    "settings": settings.check_settings,
}


def run_checks(system: Settings) -> list[Finding]:
    """Everything there is to say. Raises :class:`ami_build.errors.NoStack`."""
    context = load(system)
    return [finding for name, check in CHECKS.items() for finding in _run(name, check, context)]


def _run(
    name: str, check: Callable[[DeploymentContext], Iterator[Finding]], context: DeploymentContext
) -> Iterator[Finding]:
    try:
        with translated():
            yield from check(context)
    except (FacerecError, ClientError, BotoCoreError, ResponseParserError) as error:
        yield Finding(
            name, "fault", f"cannot be examined: {error}",
            "use credentials that may read it; when AWS is slow, try again",
        )  # fmt: skip
