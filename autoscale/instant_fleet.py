"""Launches over several instance types and zones in one call: ``CreateFleet`` of type ``instant``.

EC2 chooses among the overrides by their priority and gives what it has; what it could not give and
why stands in the answer. Such a fleet launches once and manages nothing afterwards. It needs a
launch template: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instant-fleet.html

What the caller may not do is refused at once (CreateFleet itself) or in the answer (RunInstances,
which EC2 calls with the caller's rights).
"""

import logging
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from autoscale.ec2_errors import InsufficientCapacity, code_of, lacks_capacity
from facerec_tasks.aws import client, translated
from facerec_tasks.settings import Settings

logger = logging.getLogger(__name__)

FORBIDDEN = "UnauthorizedOperation"


class InstantFleet:
    """The fleet request of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._allowed = True

    @property
    def usable(self) -> bool:
        """Whether there is a template, something to choose from, and permission."""
        s = self._settings
        return bool(s.launch_template) and len(self._choices()) > 1 and self._allowed

    def launch(
        self, count: int, token: str, image: str | None, tags: Sequence[dict[str, str]]
    ) -> list[str] | None:
        """Ids of the machines that EC2 gave, at most ``count``; spot, then on-demand for the rest.

        None when this account may not create fleets. Raises :class:`InsufficientCapacity` when
        there was no machine at all.
        """
        ids: list[str] = []
        refusals: list[str] = []
        codes: set[str] = set()
        for market in ("spot", "on-demand") if self._settings.spot else ("on-demand",):
            missing = count - len(ids)
            if missing:
                answer = self._create(missing, token, market, image, tags)
                if answer is None:
                    return None
                ids += [i for each in answer.get("Instances", ()) for i in each["InstanceIds"]]
                refusals += _refusals(answer, market)
                codes |= {str(e.get("ErrorCode")) for e in answer.get("Errors", ())}
        if not ids and codes == {FORBIDDEN}:
            self._give_up("; ".join(refusals))
            return None
        if not ids:
            raise InsufficientCapacity("; ".join(refusals) or "EC2 gave no machine and no reason")
        if refusals:
            logger.warning("EC2 gave %d of %d machines: %s", len(ids), count, "; ".join(refusals))
        return ids

    def _create(
        self, count: int, token: str, market: str, image: str | None, tags: Sequence[dict[str, str]]
    ) -> dict[str, Any] | None:
        request: dict[str, Any] = {
            "Type": "instant",
            "ClientToken": f"{token}-{market}",
            "LaunchTemplateConfigs": [
                {
                    "LaunchTemplateSpecification": {
                        "LaunchTemplateName": self._settings.launch_template,
                        "Version": "$Default",
                    },
                    "Overrides": self._overrides(image),
                }
            ],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": count,
                "DefaultTargetCapacityType": market,
            },
            "OnDemandOptions": {"AllocationStrategy": "prioritized"},
            "SpotOptions": {"AllocationStrategy": "capacity-optimized-prioritized"},
            # The fleet itself too: the tag is what the policy of the controller asks for.
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": list(tags)} for kind in ("fleet", "instance")
            ],
        }
        with translated():
            try:
                return dict(client(self._settings, "ec2").create_fleet(**request))
            except ClientError as error:
                code = code_of(error)
                if code == FORBIDDEN:
                    self._give_up(str(error))
                    return None
                if lacks_capacity(code):
                    return {"Errors": [{"ErrorCode": code, "ErrorMessage": str(error)}]}
                raise

    def _give_up(self, reason: str) -> None:
        """No further fleet is asked for by this process."""
        logger.warning("CreateFleet is not allowed, using RunInstances: %s", reason)
        self._allowed = False

    def _choices(self) -> list[tuple[str, str]]:
        """(instance type, subnet) in order of preference; empty is the template's."""
        s = self._settings
        return [(t, subnet) for t in s.instance_types or ("",) for subnet in s.subnets or ("",)]

    def _overrides(self, image: str | None) -> list[dict[str, Any]]:
        """All zones of a type have its priority; a lower number comes first."""
        types = list(self._settings.instance_types)
        fields = [
            {
                "InstanceType": kind,
                "SubnetId": subnet,
                "ImageId": image or "",
                "Priority": float(types.index(kind)) if kind else 0.0,
            }
            for kind, subnet in self._choices()
        ]
        return [{k: v for k, v in each.items() if v != ""} for each in fields]


def _refusals(answer: dict[str, Any], market: str) -> list[str]:
    """Each kind of refusal once."""
    found = (
        f"{market} {_asked(e)}{e.get('ErrorCode')}: {e.get('ErrorMessage', '')}"
        for e in answer.get("Errors", ())
    )
    return list(dict.fromkeys(found))


def _asked(error: dict[str, Any]) -> str:
    overrides = error.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
    words = (overrides.get("InstanceType"), overrides.get("SubnetId"))
    return "".join(f"{word} " for word in words if word)
