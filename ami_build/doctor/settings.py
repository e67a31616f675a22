"""Checks that the controller runs with the settings of the stack."""

from collections.abc import Iterator, Mapping
from typing import Any

from ami_build.doctor.context import DeploymentContext
from ami_build.doctor.finding import DEPLOY, Finding, judge
from autoscale.decisions import latest
from facerec_tasks import machine_settings
from facerec_tasks.aws import client
from facerec_tasks.errors import ConfigurationError
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

ARRIVES = 180.0
"""Seconds until a changed setting is in force: a minute's timer, and a restart."""
LIMITS = {
    "FACEREC_MAX_INSTANCES": "cap",
    "FACEREC_SCALING_PROFILE": "profile",
    "FACEREC_SLO": "slo",
}
"""Name in the controller's decisions, by setting."""


def check_settings(context: DeploymentContext) -> Iterator[Finding]:
    name = f"/facerec/{context.id}/settings"
    parameter = client(context.settings, "ssm").get_parameter(Name=name)["Parameter"]
    try:
        wanted = machine_settings.parse(parameter["Value"])
    except ConfigurationError as error:
        yield Finding(f"parameter {name}", "fault", str(error), DEPLOY)
        return
    yield Finding(f"parameter {name}")
    if context.image:
        yield _in_force(context, wanted, parameter["LastModifiedDate"].timestamp())


def _in_force(context: DeploymentContext, wanted: Mapping[str, str], changed_at: float) -> Finding:
    subject = "settings of the controller"
    decision = latest(StateBucket(context.settings, layout.CONTROLLER))
    if decision is None or decision.at < changed_at + ARRIVES:
        return Finding(
            subject, "advice", "the controller has decided nothing since they were changed",
            "look again in some minutes",
        )  # fmt: skip
    other = [
        f"{name} is {decision.limits[limit]}, not {wanted[name]}"
        for name, limit in LIMITS.items()
        if name in wanted and not _same(decision.limits.get(limit), wanted[name])
    ]
    return judge(
        subject, not other, "; ".join(other),
        "see the log of facerec-settings.service on web-instance: facerec aws logs",
    )  # fmt: skip


def _same(running: Any, wanted: str) -> bool:
    """A limit that the controller does not report is not compared."""
    if running is None:
        return True
    if isinstance(running, int | float):
        return float(running) == float(wanted)
    return str(running) == wanted or {str(running), wanted} == {"course", "one-per-backlog"}
