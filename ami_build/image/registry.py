"""The images of this account: one a version, and the name ``app-tier-ami`` for the one in use.

EC2 knows no renaming, refuses a second image of a name, and makes an image in minutes. So a bake
makes ``app-tier-ami-<version>``, which stays as it is, and publishing it is quick: the image named
``app-tier-ami`` is deregistered and registered anew over the version's snapshot. The same step back
is the rollback. In the second between, a launch finds no image and is tried again.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from autoscale.ec2_errors import code_of
from autoscale.image import IMAGE
from facerec_tasks.aws import client, translated
from facerec_tasks.backoff import Backoff
from facerec_tasks.errors import ConfigurationError, FacerecError, Unavailable
from facerec_tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

logger = logging.getLogger(__name__)

ID_TAG = "facerec:id"
VERSION_TAG = "facerec:version"
SOURCE_TAG = "facerec:source"
KEEP = 3
PATIENCE = 60.0
"""Seconds for which a call that EC2 throttles is tried again."""
SETTLE = 60.0
"""Seconds in which a name that was given up must be free, whatever listings say."""
SNAPSHOT_DEADLINE, SNAPSHOT_PAUSE = 60.0, 2.0
"""Seconds until a snapshot is free of the image that was deregistered, and between two tries."""
REGISTERED = ("Architecture", "RootDeviceName", "VirtualizationType", "BootMode")
"""What an image takes over from another: the rest is its own or follows from the snapshot."""

Result = TypeVar("Result")


class ImageTaken(FacerecError):
    """Raised when ``app-tier-ami`` belongs to another system in this account and region."""


@dataclass(frozen=True)
class Kept:
    """One version's image."""

    id: str
    version: str
    source: str
    created: str
    """When, as EC2 writes it: it sorts."""
    snapshots: tuple[str, ...]
    fields: Mapping[str, Any]
    """As DescribeImages gave it."""


def patiently(call: Callable[[], Result], patience: float = PATIENCE) -> Result:
    """The call's result, tried again while AWS is throttled or away; its errors translated."""
    pauses, deadline = Backoff(1.0, 8.0), time.monotonic() + patience
    while True:
        try:
            with translated():
                return call()
        except Unavailable:
            pause = pauses.failed(time.monotonic())
            if time.monotonic() + pause > deadline:
                raise
            time.sleep(pause)


def delete_snapshot(ec2: "EC2Client", snapshot: str) -> None:
    """Deletes it, or finds it gone. EC2 calls it in use for some seconds after its image is gone.

    Raises :class:`ClientError` when it still is after :data:`SNAPSHOT_DEADLINE`.
    """
    deadline = time.monotonic() + SNAPSHOT_DEADLINE
    while True:
        try:
            patiently(lambda: ec2.delete_snapshot(SnapshotId=snapshot))
            return
        except (FacerecError, ClientError) as error:
            if code_of(error) == "InvalidSnapshot.NotFound":
                return
            if code_of(error) != "InvalidSnapshot.InUse" or time.monotonic() > deadline:
                raise
        time.sleep(SNAPSHOT_PAUSE)


class Images:
    """What bakes of this ``FACEREC_ID`` have left. Errors come as :mod:`facerec_tasks.errors`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ec2 = client(settings, "ec2")

    def current(self) -> Mapping[str, Any] | None:
        """The image named ``app-tier-ami``, or none; the newest where an emulator has several."""
        found = self._described("name", [IMAGE])
        return max(found, key=lambda i: i.get("CreationDate", ""), default=None)

    def in_use(self) -> str | None:
        """The version that is published; none where nothing is, or something we have not baked."""
        found = self.current()
        return _tags(found).get(VERSION_TAG) if found else None

    def kept(self) -> list[Kept]:
        """Every version's image that is complete, the newest first."""
        found = self._described("name", [f"{IMAGE}-*"])
        ours = [_kept(i) for i in found if _tags(i).get(ID_TAG) == self._settings.id]
        return sorted(ours, key=lambda k: (k.created, k.version), reverse=True)

    def version_of(self, image: str | None) -> str | None:
        """The version that is kept as this image, if one is."""
        return next((kept.version for kept in self.kept() if kept.id == image), None)

    def check_ours(self) -> None:
        """Raises :class:`ImageTaken` if publishing would take another system's image away."""
        found = self.current()
        owner = _tags(found).get(ID_TAG, self._settings.id) if found else self._settings.id
        if owner != self._settings.id:
            raise ImageTaken(
                f"{IMAGE} of this account and region belongs to FACEREC_ID {owner}: "
                "use another region or account"
            )

    def publish(self, version: str) -> bool:
        """Makes a kept version the one in use; whether it was not already.

        Raises :class:`ConfigurationError` for a version that is not kept, :class:`ImageTaken`.
        """
        wanted = self._find(version)
        self.check_ours()
        deadline = time.monotonic() + SETTLE
        while (before := self.current()) is None or _tags(before).get(VERSION_TAG) != version:
            if before:
                self._deregister(str(before["ImageId"]))
            try:
                self._register(wanted)
            except ClientError as error:
                taken = code_of(error) == "InvalidAMIName.Duplicate"  # not free yet, or another's
                if not taken or time.monotonic() > deadline:
                    raise
                time.sleep(1.0)
            else:
                return True
        return False

    def prune(self, keep: int = KEEP) -> list[str]:
        """Removes all but the newest ``keep``, snapshots included; never the one in use."""
        current = self.in_use()
        gone = [kept for kept in self.kept()[keep:] if kept.version != current]
        for kept in gone:
            self._deregister(kept.id)
            for snapshot in kept.snapshots:
                self._delete(snapshot)
        return [kept.version for kept in gone]

    def tag(self, ids: Sequence[str], version: str, source: str) -> None:
        """Marks images and snapshots as this version's."""
        tags = {ID_TAG: self._settings.id, VERSION_TAG: version, SOURCE_TAG: source}
        listed: Any = [{"Key": key, "Value": value} for key, value in tags.items()]
        patiently(lambda: self._ec2.create_tags(Resources=list(ids), Tags=listed))

    def _find(self, version: str) -> Kept:
        kept = self.kept()
        found = next((k for k in kept if k.version == version), None)
        if found is None:
            there = ", ".join(k.version for k in kept) or "none"
            raise ConfigurationError(f"no image of version {version} is kept; kept are: {there}")
        return found

    def _described(self, name: str, values: list[str]) -> list[Mapping[str, Any]]:
        filters: Any = [
            {"Name": name, "Values": values},
            {"Name": "state", "Values": ["available"]},
        ]
        found = patiently(lambda: self._ec2.describe_images(Owners=["self"], Filters=filters))
        return [dict(image) for image in found["Images"]]

    def _register(self, kept: Kept) -> None:
        """Raises :class:`ClientError` while the name is not free."""
        inherited = {field: kept.fields[field] for field in REGISTERED if kept.fields.get(field)}
        device = kept.fields.get("RootDeviceName")
        root: dict[str, Any] = {"SnapshotId": kept.snapshots[0], "DeleteOnTermination": True}
        request: dict[str, Any] = {
            **inherited,
            "Name": IMAGE,
            "Description": f"facerec {kept.version}",
            "BlockDeviceMappings": [{"DeviceName": device, "Ebs": {**root, "VolumeType": "gp3"}}],
            "EnaSupport": True,
            "ImdsSupport": "v2.0",  # instances ask for a token by default
        }
        made = patiently(lambda: self._ec2.register_image(**request))
        self.tag([made["ImageId"]], kept.version, kept.source)

    def _deregister(self, image: str) -> None:
        try:
            patiently(lambda: self._ec2.deregister_image(ImageId=image))
        except (FacerecError, ClientError) as error:  # another bake was quicker
            if code_of(error) not in ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"):
                raise

    def _delete(self, snapshot: str) -> None:
        try:
            delete_snapshot(self._ec2, snapshot)
        except (FacerecError, ClientError) as error:
            logger.warning("the snapshot %s is left: %s", snapshot, error)


def _kept(image: Mapping[str, Any]) -> Kept:
    tags = _tags(image)
    return Kept(
        id=str(image["ImageId"]),
        version=tags.get(VERSION_TAG, ""),
        source=tags.get(SOURCE_TAG, ""),
        created=str(image.get("CreationDate", "")),
        snapshots=snapshots_of(image),
        fields=image,
    )


def snapshots_of(image: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the snapshots below an image."""
    devices = image.get("BlockDeviceMappings", ())
    return tuple(d["Ebs"]["SnapshotId"] for d in devices if "SnapshotId" in d.get("Ebs", {}))


def _tags(resource: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", ())}
