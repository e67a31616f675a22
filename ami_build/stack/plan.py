"""The change set of a deployment as text to confirm."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PHRASES = {
    "InBucket": "bucket of photos",
    "OutBucket": "bucket of names",
    "StateBucket": "bucket of records, gallery and state",
    "InBucketPolicy": "photos: TLS only",
    "OutBucketPolicy": "names: TLS only",
    "StateBucketPolicy": "records: TLS only",
    "DeadLetterQueue": "queue of what was given up",
    "RequestQueue": "queue of photos to do",
    "ResponseQueue": "queue of answers",
    "DeadLetterQueuePolicy": "queue of what was given up: TLS only",
    "RequestQueuePolicy": "queue of photos to do: TLS only",
    "ResponseQueuePolicy": "queue of answers: TLS only",
    "EventsTopic": "topic of Celery's events",
    "ControlTopic": "topic of commands to workers",
    "AppTierLogs": "logs of workers",
    "WebTierLogs": "logs of web-instance",
    "WebPolicy": "permissions of the web tier",
    "ControllerPolicy": "permissions of the controller",
    "FlowerPolicy": "permissions of Flower",
    "WorkerPolicy": "permissions of a worker",
    "WebJournalPolicy": "permissions: logs of web-instance",
    "WorkerJournalPolicy": "permissions: logs of a worker",
    "WebRole": "role of web-instance",
    "WorkerRole": "role of workers",
    "WebProfile": "instance profile of web-instance",
    "WorkerProfile": "instance profile of workers",
    "MachineSettings": "settings of the machines that run",
    "WorkerSecurityGroup": "security group of workers: nothing comes in",
    "WebSecurityGroup": "security group of web-instance",
    "LaunchTemplate": "launch template of workers",
    "BalancerSecurityGroup": "security group of the load balancer",
    "WebToWeb": "web machines reach each other",
    "WebFromWeb": "web machines are reached by each other",
    "Balancer": "load balancer of the web tier",
    "WebTargets": "load balancer: web machines",
    "Listener": "load balancer: its port",
    "WebTemplate": "launch template of web machines",
    "WebFleet": "web machines: web tier, controller, Flower",
    "WebInstance": "web-instance: web tier, controller, Flower",
    "WebAddress": "fixed address of web-instance",
    "AlarmTopic": "topic of alarms",
    "AlarmSubscription": "e-mail of alarms",
    "DeadLettersAlarm": "alarm: dead letters",
    "WaitingAlarm": "alarm: a photo waits too long",
    "WebTierAlarm": "alarm: no web tier is ready",
    "WebInstanceAlarm": "alarm: web-instance fails its checks",
    "Budget": "monthly budget",
}
"""By logical id; a test holds it against the template."""

_SIGNS = {"Add": "+", "Modify": "~", "Remove": "-"}


@dataclass(frozen=True)
class Change:
    """One resource that would be made, changed, replaced or removed."""

    action: str
    """``Add``, ``Modify``, ``Remove`` or ``Replace``."""
    logical: str
    physical: str = ""

    def __str__(self) -> str:
        sign = _SIGNS.get(self.action, "!")
        phrase = PHRASES.get(self.logical, self.logical)
        name = f" ({self.physical})" if self.physical else ""
        return f"{sign} {phrase}{name}{', replaced' if self.action == 'Replace' else ''}"


@dataclass(frozen=True)
class ChangeSet:
    """A change set that waits for a yes."""

    change_set: str
    """Its ARN; empty when there is nothing to do."""
    changes: tuple[Change, ...] = ()
    opens: bool = False
    """Whether it is this change that lets anybody send keys and photos without TLS."""

    def adds(self, logical: str) -> bool:
        return any(c.logical == logical and c.action in ("Add", "Replace") for c in self.changes)


def changes(described: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """The changes of a described change set."""
    return tuple(
        _change(one["ResourceChange"]) for one in described if one.get("Type") == "Resource"
    )


def _change(found: Mapping[str, Any]) -> Change:
    replaced = found["Action"] == "Modify" and found.get("Replacement") == "True"
    return Change(
        action="Replace" if replaced else found["Action"],
        logical=found["LogicalResourceId"],
        physical=found.get("PhysicalResourceId", ""),
    )
