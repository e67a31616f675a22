"""moto's EC2 with the states, refusals and idempotency that a controller meets on AWS.

moto 5.2.5 changes states at once, accepts any image, launches ``MinCount`` machines and ignores the
``ClientToken``. Here an instance stays ``pending``, ``stopping`` and ``shutting-down`` for a while.
What AWS refuses is refused: starting what is stopping
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html), stopping what has
never run, an unknown image, a token used again with other parameters.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

from moto import settings
from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import elastic_block_store
from moto.ec2.models import instances as models
from moto.ec2.responses import EC2Response
from moto.ec2.responses.instances import InstanceResponse

from local.emulators import ec2_consistency, ec2_fleets
from local.emulators import ec2_refusals as refusals
from local.emulators.ec2_consistency import described_at
from local.emulators.ec2_fleets import once

CODES = {
    "pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64,
    "stopped": 80,
}  # fmt: skip
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html"""


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


_pending, _stopping = 2.0, 1.0
"""Seconds that the states in between last."""
_changing = threading.RLock()


class Instance(models.Instance):
    """An instance whose state is a question of time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.made_at = time.monotonic()
        self._turns: tuple[Transition, ...] = ()
        self._due_first_run = time.monotonic() + _pending
        super().__init__(*args, **kwargs)
        self._turn("pending", "running", _pending)

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
            self._turn("pending", "running", _pending)
        return previous

    def stop(self) -> models.InstanceState:
        previous = self._state
        if previous.name in ("pending", "running"):
            super().stop()
            self._turn("stopping", "stopped", _stopping)
        return previous

    def terminate(self) -> models.InstanceState:
        previous = self._state
        if previous.name not in ("shutting-down", "terminated"):
            super().terminate()
            stopped = previous.name == "stopped"
            self._turn("shutting-down", "terminated", 0 if stopped else _stopping)
        return previous

    def _turn(self, now: str, then: str, seconds: float) -> None:
        began = time.monotonic()
        self._turns = (*self._turns[-9:], Transition(now, then, began + seconds, began))


class IncorrectInstanceState(EC2ClientError):
    """The request as a whole is refused; no instance in it is touched."""

    def __init__(self, message: str) -> None:
        super().__init__("IncorrectInstanceState", message)


def _start(backend: Any, instance_ids: list[str]) -> list[tuple[Instance, Any]]:
    with _changing:
        found = backend.get_multi_instances_by_id(instance_ids)
        for instance in found:
            if instance.state not in ("pending", "running", "stopped"):
                raise IncorrectInstanceState(
                    f"The instance '{instance.id}' is not in a state from which it can be started."
                )
        return [(instance, instance.start()) for instance in found]


def _stop(backend: Any, instance_ids: list[str]) -> list[tuple[Instance, Any]]:
    with _changing:
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
    with _changing:
        changed: list[tuple[Instance, Any]] = _terminate(backend, instance_ids)
        return changed


_run = models.InstanceBackend.run_instances


def _run_once(backend: Any, *given: Any, **kwargs: Any) -> models.Reservation:
    """Launches, or answers what the same ``ClientToken`` launched before."""
    # As text: moto's class of user data knows no equality.
    asked = repr((given, sorted(kwargs.items(), key=str)))
    token = kwargs.get("client_token")  # CloudFormation has none
    reservation = once((backend, "run", token), asked, lambda: _run(backend, *given, **kwargs))
    if all(instance.state == "terminated" for instance in reservation.instances):
        raise EC2ClientError(
            "IdempotentInstanceTerminated",
            "What was launched with this client token has been terminated.",
        )
    return reservation


def _refusable(name: str) -> None:
    """Has an action of moto's refused where a rule asks for it."""
    method = camelcase_to_underscores(name)
    answer = getattr(InstanceResponse, method)

    def answered(response: InstanceResponse) -> ActionResult:
        refusals.check(name, response.params)
        return answer(response)

    setattr(InstanceResponse, method, answered)


def _states_as_they_are(method: str) -> None:
    """moto answers the state that most instances have after such a change."""
    answer = getattr(InstanceResponse, method)

    def answered(response: InstanceResponse) -> ActionResult:
        found = answer(response)
        (changes,) = found.result.values()
        for change in changes:
            instance = response.ec2_backend.get_instance(change["InstanceId"])
            change["CurrentState"] = {"Code": instance.state_code, "Name": instance.state}
        return found

    setattr(InstanceResponse, method, answered)


_answer_run = InstanceResponse.run_instances


def _answer_run_most(response: InstanceResponse) -> ActionResult:
    """Launches ``MaxCount``: the emulator has the capacity."""
    least, most = (int(response._get_param(name, 1)) for name in ("MinCount", "MaxCount"))
    if not 1 <= least <= most:
        raise EC2ClientError(
            "InvalidParameterValue", f"minCount {least} and maxCount {most} do not fit together"
        )
    response.params["MinCount"] = most  # the one that moto reads
    return _answer_run(response)


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
    global _pending, _stopping
    _pending, _stopping = pending, stopping
    settings.ENABLE_AMI_VALIDATION = True
    models.Instance = Instance
    models.InstanceBackend.start_instances = _start
    models.InstanceBackend.stop_instances = _stop
    models.InstanceBackend.terminate_instances = _terminate_locked
    models.InstanceBackend.run_instances = _run_once
    InstanceResponse.run_instances = _answer_run_most
    for method in ("start_instances", "stop_instances", "terminate_instances"):
        _states_as_they_are(method)
    for name in ("RunInstances", "DescribeInstances", "StartInstances"):
        _refusable(name)
    elastic_block_store.EBSBackend._create_default_encryption_key = _make_default_key_of_aws
    EC2Response.get_ebs_default_kms_key_id = _answer_default_key
    ec2_fleets.install()
    if lag:
        ec2_consistency.install(lag)
