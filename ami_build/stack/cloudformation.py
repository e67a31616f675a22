"""The CloudFormation stack of one ``FACEREC_ID``: its state, its resources, its events."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ami_build.errors import NoStack, TookTooLong
from ami_build.image.registry import patiently
from facerec_tasks.aws import client, translated
from facerec_tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

TEMPLATE = Path(__file__).with_name("stack.yaml")
LOOK_EVERY = 2.0
"""Seconds between two looks at a stack that is changing."""
PARAMETERS = frozenset(
    re.findall(
        r"^  (\w+):$",
        TEMPLATE.read_text().split("\nParameters:\n")[1].split("\nConditions:\n")[0],
        re.MULTILINE,
    )
)
"""Names of the template's."""
_BEGINNINGS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
"""States of the stack itself at the beginning of an operation."""


def template_body() -> str:
    """The template without its comments, which CloudFormation would count."""
    lines = (re.sub(r"(^|\s+)# .*$", "", line) for line in TEMPLATE.read_text().splitlines())
    return "".join(f"{line}\n" for line in lines if line.strip())


Progress = Callable[[str], None]


def stack_name(id_: str) -> str:
    """Name of the system's stack: an id may begin with a digit, a stack may not."""
    return f"facerec-{id_}"


def video_stack_names(id_: str) -> tuple[str, ...]:
    """Names of the stack of ``serverless/template.yaml``: today's, and release 0.1's if legal."""
    former = (f"{id_}-video",) if id_[0].isalpha() else ()
    return (f"facerec-{id_}-video", *former)


@dataclass(frozen=True)
class StackState:
    """The stack as CloudFormation sees it."""

    id: str
    status: str
    reason: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def changing(self) -> bool:
        """Whether CloudFormation is at work on it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


class Stack:
    """Calls raise :class:`facerec_tasks.errors.AwsError` and botocore's for what has no plan."""

    def __init__(self, settings: Settings, name: str | None = None) -> None:
        """``name``: another than the system's own."""
        self.settings = settings
        self.name = name or stack_name(settings.id)

    @property
    def client(self) -> "CloudFormationClient":
        return client(self.settings, "cloudformation")

    def find(self) -> StackState | None:
        """The stack, or none; one that was deleted is none. Waits out a throttled AWS."""
        try:
            found = patiently(lambda: self.client.describe_stacks(StackName=self.name))["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        if found["StackStatus"] == "DELETE_COMPLETE":
            return None
        return StackState(
            id=found["StackId"],
            status=found["StackStatus"],
            reason=found.get("StackStatusReason", ""),
            parameters={
                one["ParameterKey"]: one.get("ParameterValue", "")
                for one in found.get("Parameters", ())
            },
            outputs={
                one["OutputKey"]: one.get("OutputValue", "") for one in found.get("Outputs", ())
            },
        )

    def get(self) -> StackState:
        """The stack; raises :class:`NoStack`."""
        found = self.find()
        if found is None:
            raise NoStack(
                f"there is no stack {self.name} in {self.settings.region}: facerec aws deploy"
            )
        return found

    def resources(self) -> dict[str, str]:
        """Physical ids of what the stack holds now, by logical id."""
        with translated():
            pages = self.client.get_paginator("list_stack_resources").paginate(StackName=self.name)
            return {
                found["LogicalResourceId"]: found.get("PhysicalResourceId", "")
                for page in pages
                for found in page["StackResourceSummaries"]
                if found["LogicalResourceId"] and found["ResourceStatus"] != "DELETE_COMPLETE"
            }

    def delete(self, stack_id: str, deadline: float, say: Progress) -> StackState | None:
        """Has it deleted and waits; the stack if something kept it from going."""
        with translated():
            self.client.delete_stack(StackName=stack_id)
        return self.settle(deadline, say)

    def settle(self, deadline: float, say: Progress) -> StackState | None:
        """Waits until CloudFormation is through with it, telling each step.

        ``deadline`` in seconds of ``time.monotonic()``; raises :class:`TookTooLong`.
        """
        told: set[str] = set()
        while True:
            found = self.find()
            if found is None or not found.changing:
                return found
            for line in self._news(found.id, told):
                say(line)
            if time.monotonic() > deadline:
                raise TookTooLong(
                    f"{self.name} is still {found.status}; CloudFormation goes on by itself, and "
                    "the same command goes on waiting"
                )
            time.sleep(LOOK_EVERY)

    def _news(self, stack_id: str, told: set[str]) -> Iterator[str]:
        """Events of resources that are done or have failed, each once, oldest first."""
        for event in reversed(self.events(stack_id)):
            if event["EventId"] in told or event["ResourceStatus"].endswith("IN_PROGRESS"):
                continue
            told.add(event["EventId"])
            reason = event.get("ResourceStatusReason", "")
            yield f"  {event['LogicalResourceId']}: {event['ResourceStatus']} {reason}".rstrip()

    def events(self, stack_id: str) -> list[Mapping[str, Any]]:
        """Those of the last operation, newest first."""
        last: list[Mapping[str, Any]] = []
        with translated():
            pages = self.client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
            for event in (event for page in pages for event in page["StackEvents"]):
                last.append(event)
                if event["ResourceStatus"] in _BEGINNINGS and event.get(
                    "PhysicalResourceId"
                ) == event.get("StackId"):
                    break
        return last
