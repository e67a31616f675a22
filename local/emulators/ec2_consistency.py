"""EC2's eventual consistency: what was changed is seen a while later.

A new instance is unknown for ``lag`` seconds: naming it is ``InvalidInstanceID.NotFound``, and
listings leave it out. States are described as they were ``lag`` seconds ago. Changes themselves
happen at once. https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
"""

import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from moto.ec2.models import instances as models
from moto.ec2.responses import EC2Response
from moto.ec2.responses.tags import TagResponse

OWN_KEY = "cloudformation"
"""Access key of CloudFormation's own calls, which wait for what they made."""

_lag = 0.0
_request = threading.local()


def described_at() -> float:
    """The time, of ``time.monotonic()``, whose states the current request is shown."""
    return time.monotonic() - float(getattr(_request, "behind", 0.0))


def _is_known(instance: Any) -> bool:
    hidden = float(getattr(_request, "hides", 0.0))
    return bool(time.monotonic() - instance.made_at >= hidden)


_all_reservations = models.InstanceBackend.all_reservations


def _known_reservations(backend: Any, filters: Any = None) -> list[Any]:
    found = _all_reservations(backend, filters)
    for reservation in found:
        reservation.instances = [i for i in reservation.instances if _is_known(i)]
    return [reservation for reservation in found if reservation.instances]


_create_tags = TagResponse.create_tags


def _tag_known(response: TagResponse) -> Any:
    """moto tags machines that are not there."""
    named = response._get_param("Resources", [])
    machines = [one for one in named if one.startswith("i-")]
    response.ec2_backend.get_multi_instances_by_id(machines)
    return _create_tags(response)


def _behind(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def answered(response: EC2Response) -> Any:
        action = response._get_action()
        own = f"Credential={OWN_KEY}/" in response.headers.get("Authorization", "")
        _request.hides = 0.0 if own or action in ("RunInstances", "CreateFleet") else _lag
        _request.behind = _lag if not own and action.startswith("Describe") else 0.0
        try:
            return call(response)
        finally:
            _request.hides = _request.behind = 0.0

    return answered


def install(lag: float) -> None:
    """Makes EC2 lag by ``seconds``."""
    global _lag
    _lag = lag
    models.InstanceBackend.all_reservations = _known_reservations
    TagResponse.create_tags = _tag_known
    EC2Response.call_action = _behind(EC2Response.call_action)
