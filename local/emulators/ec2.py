"""moto's EC2 with the states, refusals and idempotency that a controller meets on AWS.

moto 5.2.5 changes states at once, accepts any image, launches ``MinCount`` machines and ignores the
``ClientToken``. Here an instance stays ``pending``, ``stopping`` and ``shutting-down`` for a while.
What AWS refuses is refused: starting what is stopping
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html), stopping what has
never run, an unknown image, a token used again with other parameters.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from moto import settings
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import elastic_block_store
from moto.ec2.models import instances as models
from moto.ec2.responses import EC2Response
from moto.ec2.responses.instances import InstanceResponse

from local.emulators import ec2_consistency, ec2_fleets
from local.emulators import ec2_refusals as refusals
from local.emulators.ec2_consistency import described_at

CODES = {
    "pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64,
    "stopped": 80,
}  # fmt: skip
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html"""


@dataclass(frozen=True)
class Durations:
    """Seconds that the states in between last."""

    pending: float
    stopping: float


@dataclass(frozen=True)
class Transition:
    """From a state in between to the one that follows."""

    now: str
    then: str
    due: float
    """``time.monotonic()`` at which it is over."""
    began: float = 0.0


def state_at(transition: Transition, now: float) -> str:
    """The state of an instance, given its last transition."""
    return transition.then if now >= transition.due else transition.now


_durations = Durations(pending=2.0, stopping=1.0)
_launching = threading.RLock()
_launches: dict[tuple[int, str], tuple[Any, models.Reservation]] = {}


class Instance(models.Instance):
    """An instance whose state is a question of time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.made_at = time.monotonic()
        self._turns: tuple[Transition, ...] = ()
        self._due_first_run = time.monotonic() + _durations.pending
        super().__init__(*args, **kwargs)
        self._turn("pending", "running", _durations.pending)

    @property
    def _state(self) -> models.InstanceState:
        # Before the constructor is through, moto itself sets and reads a state.
        when = described_at()
        last = next((turn for turn in reversed(self._turns) if turn.began <= when), None)
        name = state_at(last, when) if last else "pending"
        return models.InstanceState(name, CODES[name])

    @_state.setter
    def _state(self, _: models.InstanceState) -> None:
        """moto assigns the state of a new instance; ours follows from its transitions."""

    @property
    def has_run(self) -> bool:
        return time.monotonic() >= self._due_first_run

    def start(self) -> models.InstanceState:
        previous = self._state
        if previous.name == "stopped":
            super().start()
            self._turn("pending", "running", _durations.pending)
        return previous

    def stop(self) -> models.InstanceState:
        previous = self._state
        if previous.name in ("pending", "running"):
            super().stop()
            self._turn("stopping", "stopped", _durations.stopping)
        return previous

    def terminate(self) -> models.InstanceState:
        previous = self._state
        if previous.name not in ("shutting-down", "terminated"):
            super().terminate()
            stopped = previous.name == "stopped"
            self._turn("shutting-down", "terminated", 0 if stopped else _durations.stopping)
        return previous

    def _turn(self, now: str, then: str, seconds: float) -> None:
        began = time.monotonic()
        self._turns = (*self._turns[-9:], Transition(now, then, began + seconds, began))


class IncorrectInstanceState(EC2ClientError):
    """The request as a whole is refused; no instance in it is touched."""

    def __init__(self, message: str) -> None:
        super().__init__("IncorrectInstanceState", message)


def _start(backend: Any, instance_ids: list[str]) -> list[tuple[Instance, Any]]:
    with _launching:
        found = backend.get_multi_instances_by_id(instance_ids)
        for instance in found:
            if instance.state not in ("pending", "running", "stopped"):
                raise IncorrectInstanceState(
                    f"The instance '{instance.id}' is not in a state from which it can be started."
                )
        return [(instance, instance.start()) for instance in found]


def _stop(backend: Any, instance_ids: list[str]) -> list[tuple[Instance, Any]]:
    with _launching:
        found = backend.get_multi_instances_by_id(instance_ids)
        for instance in found:
            if instance.state in ("shutting-down", "terminated"):
                raise IncorrectInstanceState(
                    f"The instance '{instance.id}' is not in a state from which it can be stopped."
                )
            if not instance.has_run:
                raise IncorrectInstanceState(
                    f"Instance '{instance.id}' cannot be stopped as it has never reached the "
                    "'running' state."
                )
        return [(instance, instance.stop()) for instance in found]


_terminate = models.InstanceBackend.terminate_instances


def _terminate_locked(backend: Any, instance_ids: list[str]) -> list[tuple[Instance, Any]]:
    with _launching:
        changed: list[tuple[Instance, Any]] = _terminate(backend, instance_ids)
        return changed


_run = models.InstanceBackend.run_instances


def _run_once(
    backend: Any,
    image_id: str,
    count: int,
    user_data: Any,
    security_group_names: list[str],
    **kwargs: Any,
) -> models.Reservation:
    """Launches, or answers what the same ``ClientToken`` launched before."""
    groups = security_group_names
    if not kwargs.get("client_token"):  # CloudFormation has none
        return _run(backend, image_id, count, user_data, groups, **kwargs)
    key = (id(backend), kwargs["client_token"])
    # As text: moto's class of user data knows no equality.
    asked = repr((image_id, count, user_data, groups, sorted(kwargs.items(), key=str)))
    with _launching:
        if key in _launches:
            before, reservation = _launches[key]
            if before != asked:
                raise EC2ClientError(
                    "IdempotentParameterMismatch",
                    "The client token was used before with other parameters.",
                )
            if all(instance.state == "terminated" for instance in reservation.instances):
                raise EC2ClientError(
                    "IdempotentInstanceTerminated",
                    "What was launched with this client token has been terminated.",
                )
            return reservation
        launched = _run(backend, image_id, count, user_data, groups, **kwargs)
        _launches[key] = (asked, launched)
        return launched


def _changed(field: str, instances: Iterable[tuple[Instance, Any]]) -> ActionResult:
    return ActionResult(
        {
            field: [
                {
                    "InstanceId": instance.id,
                    "CurrentState": {"Code": instance.state_code, "Name": instance.state},
                    "PreviousState": {"Code": previous.code, "Name": previous.name},
                }
                for instance, previous in instances
            ]
        }
    )


_answer_run = InstanceResponse.run_instances


def _answer_run_most(response: InstanceResponse) -> ActionResult:
    """Launches ``MaxCount``: the emulator has the capacity."""
    refusals.check("RunInstances", response.params)
    least, most = (int(response._get_param(name, 1)) for name in ("MinCount", "MaxCount"))
    if not 1 <= least <= most:
        raise EC2ClientError(
            "InvalidParameterValue", f"minCount {least} and maxCount {most} do not fit together"
        )
    response.params["MinCount"] = most  # the one that moto reads
    return _answer_run(response)


_answer_describe = InstanceResponse.describe_instances


def _answer_describe_unless_refused(response: InstanceResponse) -> ActionResult:
    refusals.check("DescribeInstances", response.params)
    return _answer_describe(response)


def _answer_start(response: InstanceResponse) -> ActionResult:
    refusals.check("StartInstances", response.params)
    response.error_on_dryrun()
    ids = response._get_param("InstanceIds", [])
    return _changed("StartingInstances", response.ec2_backend.start_instances(ids))


def _answer_stop(response: InstanceResponse) -> ActionResult:
    response.error_on_dryrun()
    ids = response._get_param("InstanceIds", [])
    return _changed("StoppingInstances", response.ec2_backend.stop_instances(ids))


def _answer_terminate(response: InstanceResponse) -> ActionResult:
    response.error_on_dryrun()
    ids = response._get_param("InstanceIds", [])
    return _changed("TerminatingInstances", response.ec2_backend.terminate_instances(ids))


_make_default_key = elastic_block_store.EBSBackend._create_default_encryption_key


def _make_default_key_of_aws(backend: Any) -> str:
    """moto calls it a customer's."""
    from moto.kms.models import kms_backends  # seldom needed, and slow

    arn = str(_make_default_key(backend))
    kms_backends[backend.account_id][backend.region_name].describe_key(arn).key_manager = "AWS"
    return arn


def _answer_default_key(response: Any) -> ActionResult:
    """``GetEbsDefaultKmsKeyId``, which moto lacks: AWS's own key until another is set."""
    response.error_on_dryrun()
    key = response.ec2_backend.default_kms_key_id
    return ActionResult({"KmsKeyId": key or "alias/aws/ebs"})


def install(*, pending: float, stopping: float, lag: float = 0.0) -> None:
    """Puts all of this in the place of moto's own; ``pending``, ``stopping``, ``lag`` in seconds.

    ``lag``: until what was changed is seen; see :mod:`local.emulators.ec2_consistency`.
    """
    global _durations
    _durations = Durations(pending, stopping)
    settings.ENABLE_AMI_VALIDATION = True
    models.Instance = Instance
    models.InstanceBackend.start_instances = _start
    models.InstanceBackend.stop_instances = _stop
    models.InstanceBackend.terminate_instances = _terminate_locked
    models.InstanceBackend.run_instances = _run_once
    InstanceResponse.run_instances = _answer_run_most
    InstanceResponse.describe_instances = _answer_describe_unless_refused
    InstanceResponse.start_instances = _answer_start
    InstanceResponse.stop_instances = _answer_stop
    InstanceResponse.terminate_instances = _answer_terminate
    elastic_block_store.EBSBackend._create_default_encryption_key = _make_default_key_of_aws
    EC2Response.get_ebs_default_kms_key_id = _answer_default_key
    ec2_fleets.install()
    if lag:
        ec2_consistency.install(lag)
