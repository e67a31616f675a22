"""``CreateFleet`` of type ``instant`` as a caller meets it on AWS.

moto 5.2.5 ignores the ``ClientToken`` and the priorities, and has room for everything. Here a token
that is used again gives what it gave before, overrides are tried by priority, and those that
:mod:`local.emulators.ec2_refusals` refuses to ``RunInstances`` stand in the answer's errors.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.fleets import Fleets

from local.emulators import ec2_refusals as refusals

T = TypeVar("T")
_launching = threading.RLock()
_launched: dict[tuple[Any, str, str | None], tuple[str, Any]] = {}


def once(key: tuple[Any, str, str | None], asked: str, launch: Callable[[], T]) -> T:
    """What ``launch`` gave for this backend, kind and ``ClientToken`` before, or gives now.

    Refuses a token that is used again with other parameters.
    """
    if not key[2]:
        return launch()
    with _launching:
        before, answer = _launched.get(key) or (asked, launch())
        if before != asked:
            raise EC2ClientError(
                "IdempotentParameterMismatch",
                "The client token was used before with other parameters.",
            )
        _launched[key] = (asked, answer)
        return answer


_create = Fleets.create_fleet


def _create_once(response: Fleets) -> ActionResult:
    """Launches, or answers what the same ``ClientToken`` launched before."""
    refusals.check("CreateFleet", response.params)
    key = (response.ec2_backend, "fleet", response._get_param("ClientToken"))
    return once(key, repr(response.params), lambda: _create_of_what_there_is(response))


def _create_of_what_there_is(response: Fleets) -> ActionResult:
    capacity = response._get_param("TargetCapacitySpecification", {})
    market = capacity.get("DefaultTargetCapacityType", "on-demand")
    errors: list[dict[str, Any]] = []
    for config in response._get_param("LaunchTemplateConfigs", []):
        overrides = config.get("Overrides") or [{}]
        overrides.sort(key=lambda one: float(one.get("Priority", 0)))
        granted = []
        for override in overrides:
            try:
                refusals.check("RunInstances", {"override": override, "market": market})
                granted.append(override)
            except EC2ClientError as error:
                errors.append({
                    "LaunchTemplateAndOverrides": {"Overrides": override},
                    "Lifecycle": market,
                    "ErrorCode": error.code,
                    "ErrorMessage": error.message,
                })  # fmt: skip
        config["Overrides"] = granted
        if not granted:
            return ActionResult({"FleetId": "fleet-0", "Instances": [], "Errors": errors})
    answer = _create(response)
    return ActionResult({**answer.result, "Errors": errors})


def install() -> None:
    """Puts this in the place of moto's own."""
    Fleets.create_fleet = _create_once
