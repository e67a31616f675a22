"""EC2 as the controller uses it: one batched call an action, membership by a tag in the launch.

A batched RunInstances gives all its machines the same tags, so a machine gets its name afterwards:
the lowest free ``app-tier-instance-<n>``, by a reconcile that may be repeated.
"""

import itertools
import logging
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from botocore.exceptions import ClientError

from autoscale.ec2_errors import InsufficientCapacity, code_of, lacks_capacity
from autoscale.image import CurrentImage
from autoscale.instant_fleet import InstantFleet
from autoscale.launch_offers import REFUSED_FOR, LaunchOffer, LaunchOffers
from autoscale.model import LIVE, InstanceState, Machine
from facerec_tasks.aws import client, translated
from facerec_tasks.errors import Unavailable
from facerec_tasks.settings import Settings

logger = logging.getLogger(__name__)


NAME = "app-tier-instance-"
MEMBER_TAG = "facerec-fleet"
LAUNCH_TAG = "facerec-launch"
TAKEN_AWAY = ("marked-for-termination", "marked-for-stop")
"""States of a spot request in its last two minutes:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html"""
ORDINARY_ENDS = frozenset({
    "Client.UserInitiatedShutdown", "Client.UserInitiatedHibernate",
    "Client.InstanceInitiatedShutdown", "Client.InstanceTerminated", "Server.ScheduledStop",
    "Server.SpotInstanceShutdown", "Server.SpotInstanceTermination",
})  # fmt: skip
"""Codes of machines that were told to end. Others could not be started, for lack of capacity, of a
volume or of a right to the key of its disk:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html"""
IMAGE_LOOK, IMAGE_LOOK_AT_REST = 10.0, 600.0
"""Seconds between two looks for a new image: while machines run, and while they are stopped."""


class Fleet(Protocol):
    """What may be done with machines. Calls raise :class:`facerec_tasks.errors.AwsError`."""

    def describe(self) -> list[Machine]:
        """Every member, the terminated ones that EC2 still lists included."""

    def launch(self, count: int, token: str) -> list[str]:
        """Asks for new machines; the same token never gives more than once. Ids.

        Raises :class:`InsufficientCapacity` when EC2 has refused and will not remember the token.
        """

    def start(self, ids: Sequence[str]) -> list[str]:
        """Starts stopped machines; the ids that EC2 accepted."""

    def stop(self, ids: Sequence[str]) -> list[str]:
        """Stops machines, their workers draining; the ids that EC2 accepted."""

    def terminate(self, ids: Sequence[str]) -> list[str]:
        """Ends machines for ever; the ids that EC2 accepted."""

    def name(self, machine_id: str, number: int) -> None:
        """Names a machine ``app-tier-instance-<number>``."""


class Ec2Fleet:
    """The members of this system's fleet: instances tagged with its id."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._image = CurrentImage(settings)
        self._offers = LaunchOffers(settings)
        self._instant = InstantFleet(settings)
        self._refused: dict[str, float] = {}
        """Machines whose start was refused, and when that was."""

    @property
    def _ec2(self):  # type: ignore[no-untyped-def]
        return client(self._settings, "ec2")

    def describe(self) -> list[Machine]:
        filters = [{"Name": f"tag:{MEMBER_TAG}", "Values": [self._settings.id]}]
        with translated():
            pages = self._ec2.get_paginator("describe_instances").paginate(Filters=filters)
            listed = list(pages.search("Reservations[].Instances[]"))
        found = [_machine(fields) for fields in listed]
        taken = self._taken_away() if self._settings.spot and any(m.live for m in found) else ()
        image = self._image_now(found)
        made_of = {f["InstanceId"]: (f.get("ImageId"), f.get("InstanceType")) for f in listed}
        return [
            replace(
                m,
                faulty=m.id in taken,
                fault="EC2 takes this spot instance away" if m.id in taken else "",
                refused=self._was_refused(m),
                outdated=self._is_outdated(*made_of[m.id], image),
            )
            for m in found
        ]

    def _was_refused(self, machine: Machine) -> bool:
        """Whether EC2 would not or could not start it within the last minutes."""
        asked = time.monotonic() - self._refused.get(machine.id, -math.inf)
        started = time.time() - machine.since if machine.boot_error else math.inf
        return min(asked, started) < REFUSED_FOR

    def _is_outdated(self, image: str | None, kind: str | None, wanted: str | None) -> bool:
        types = self._settings.instance_types
        return wanted not in (None, image) or bool(types and kind not in types)

    def _image_now(self, found: Sequence[Machine]) -> str | None:
        """What machines should be made of; not asked for while there is none that could be old."""
        if any(m.live for m in found):
            return self._image.seen(IMAGE_LOOK)
        if any(m.state in ("stopping", "stopped") for m in found):
            return self._image.seen(IMAGE_LOOK_AT_REST)
        return None

    def _taken_away(self) -> frozenset[str]:
        """Spot machines that have had their two minutes' notice."""
        filters = [{"Name": "status-code", "Values": list(TAKEN_AWAY)}]
        with translated():
            requests = self._ec2.describe_spot_instance_requests(Filters=filters)
        return frozenset(r.get("InstanceId", "") for r in requests["SpotInstanceRequests"])

    def launch(self, count: int, token: str) -> list[str]:
        if self._instant.usable:
            ids = self._instant.launch(
                count, token, self._image.seen(IMAGE_LOOK), self._tags(token)
            )
            if ids is not None:
                return ids
        offer = self._offers.choose(token)
        request = self._request(token, offer)
        with translated():
            try:
                answer = self._ec2.run_instances(MinCount=1, MaxCount=count, **request)
            except ClientError as error:
                self._classify_refusal(error, offer)
                raise
        self._offers.forget(token)
        return [fields["InstanceId"] for fields in answer["Instances"]]

    def _classify_refusal(self, error: ClientError, offer: LaunchOffer) -> None:
        """What a refusal teaches; raises :class:`InsufficientCapacity` where another offer, or
        fewer machines, may be granted."""
        code = code_of(error)
        if code in ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"):
            self._image.forget()  # baked anew since we looked
        if code == "IdempotentParameterMismatch":  # launched, before a new image was baked
            raise Unavailable(f"this launch was asked for with another image: {error}") from error
        if lacks_capacity(code):
            others = self._offers.refuse(offer)
            raise InsufficientCapacity(f"{offer}: {error}", other_offers=others) from error

    def _tags(self, token: str) -> list[dict[str, str]]:
        """What a machine carries from its launch on."""
        return [
            {"Key": MEMBER_TAG, "Value": self._settings.id},
            {"Key": LAUNCH_TAG, "Value": token},
        ]

    def _request(self, token: str, offer: LaunchOffer) -> dict[str, Any]:
        s = self._settings
        request: dict[str, Any] = {
            "ClientToken": token,
            "TagSpecifications": [{"ResourceType": "instance", "Tags": self._tags(token)}],
        }
        if offer.spot:  # one-time spot cannot be stopped, which the template's machines are
            request["InstanceInitiatedShutdownBehavior"] = "terminate"
            request["InstanceMarketOptions"] = {
                "MarketType": "spot",
                "SpotOptions": {"SpotInstanceType": "one-time"},
            }
        if offer.subnet:
            request["SubnetId"] = offer.subnet
        if offer.template:
            request["LaunchTemplate"] = {
                "LaunchTemplateName": offer.template,
                "Version": "$Default",
            }
            image = self._image.seen(IMAGE_LOOK)  # before the template's own, which may be older
            if image:
                request["ImageId"] = image
            if offer.instance_type:
                request["InstanceType"] = offer.instance_type
            return request
        request |= {"ImageId": self._image.required(), "InstanceType": offer.instance_type}
        if s.instance_profile:
            request["IamInstanceProfile"] = {"Name": s.instance_profile}
        if s.launch_user_data:
            request["UserData"] = s.launch_user_data
        return request

    def start(self, ids: Sequence[str]) -> list[str]:
        """A machine is bound to its zone and type: those that have no capacity are set aside.

        Raises :class:`InsufficientCapacity` when none could be started for that reason.
        """
        try:
            return self._each(self._ec2.start_instances, ids)
        except InsufficientCapacity:
            if len(ids) == 1:
                self._refused[ids[0]] = time.monotonic()
                raise
        accepted, refusal = [], None
        for one in ids:
            try:
                accepted += self.start([one])
            except InsufficientCapacity as error:
                refusal = error
        if refusal is not None:
            logger.warning(
                "EC2 started %d of %d stopped machines: %s", len(accepted), len(ids), refusal
            )
            if not accepted:
                raise refusal
        return accepted

    def stop(self, ids: Sequence[str]) -> list[str]:
        return self._each(self._ec2.stop_instances, ids)

    def terminate(self, ids: Sequence[str]) -> list[str]:
        return self._each(self._ec2.terminate_instances, ids)

    def _each(self, call: Any, ids: Sequence[str]) -> list[str]:
        """One call for all; if one machine is not in the right state, one call for each."""
        with translated():
            try:
                call(InstanceIds=list(ids))
                return list(ids)
            except ClientError as error:
                if lacks_capacity(code_of(error)):
                    raise InsufficientCapacity(f"{', '.join(ids)}: {error}") from error
                if not _about_one_machine(error):
                    raise
        if len(ids) == 1:
            logger.info("EC2 will not do this to %s yet", ids[0])
            return []
        return [done for one in ids for done in self._each(call, [one])]

    def name(self, machine_id: str, number: int) -> None:
        """A machine that EC2 does not know yet is named by a later step."""
        tags = [{"Key": "Name", "Value": f"{NAME}{number}"}]
        with translated():
            try:
                self._ec2.create_tags(Resources=[machine_id], Tags=tags)
            except ClientError as error:
                if code_of(error) != "InvalidInstanceID.NotFound":
                    raise
                logger.info("EC2 does not know %s yet, it gets its name later", machine_id)


class DryRunFleet:
    """Lists the real machines and does nothing to them: EC2 would be asked, and nothing came."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def describe(self) -> list[Machine]:
        return self._fleet.describe()

    def launch(self, count: int, token: str) -> list[str]:
        logger.info("dry run: would launch %d", count)
        return []

    def start(self, ids: Sequence[str]) -> list[str]:
        logger.info("dry run: would start %s", ", ".join(ids))
        return []

    def stop(self, ids: Sequence[str]) -> list[str]:
        logger.info("dry run: would stop %s", ", ".join(ids))
        return []

    def terminate(self, ids: Sequence[str]) -> list[str]:
        logger.info("dry run: would terminate %s", ", ".join(ids))
        return []

    def name(self, machine_id: str, number: int) -> None:
        logger.info("dry run: would name %s %s%d", machine_id, NAME, number)


def names_due(machines: Sequence[Machine]) -> Mapping[str, int]:
    """The lowest free number for every machine without one, oldest machine first.

    Of two machines with one number (two controllers, a late listing) the younger gets another.
    """
    members = [m for m in machines if m.state not in ("terminated", "shutting-down")]
    taken: set[int] = set()
    nameless: list[Machine] = []
    for machine in sorted(members, key=lambda m: (m.since, m.id)):
        if machine.number is None or machine.number in taken:
            nameless.append(machine)
        else:
            taken.add(machine.number)
    due: dict[str, int] = {}
    for machine in nameless:
        number = next(n for n in itertools.count(1) if n not in taken)
        taken.add(number)
        due[machine.id] = number
    return due


def _machine(fields: Mapping[str, Any]) -> Machine:
    tags = {tag["Key"]: tag["Value"] for tag in fields.get("Tags", ())}
    state: InstanceState = fields["State"]["Name"]
    launched = fields.get("LaunchTime")
    return Machine(
        id=fields["InstanceId"],
        state=state,
        since=launched.timestamp() if isinstance(launched, datetime) else 0.0,
        number=_number(tags.get("Name", "")),
        token=tags.get(LAUNCH_TAG),
        stop_requested_at=_stop_requested_at(fields.get("StateTransitionReason", "")),
        boot_error=_boot_error(state, fields.get("StateReason", {})),
    )


def _boot_error(state: InstanceState, reason: Mapping[str, str]) -> str:
    """EC2's words where it has ended the machine of its own accord."""
    code = reason.get("Code", "")
    if state in LIVE or not code or code in ORDINARY_ENDS:
        return ""
    return reason.get("Message") or code


def _stop_requested_at(reason: str) -> float | None:
    """The time in `User initiated (2026-01-31 12:34:56 GMT)`."""
    match = re.search(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)", reason)
    if match is None:
        return None
    return datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()


def _number(name: str) -> int | None:
    match = re.fullmatch(re.escape(NAME) + r"([1-9][0-9]{0,5})", name)
    return int(match[1]) if match else None


def _about_one_machine(error: ClientError) -> bool:
    return code_of(error) in {
        "IncorrectInstanceState",
        "IncorrectState",
        "UnsupportedOperation",
        "InvalidInstanceID.NotFound",
    }
