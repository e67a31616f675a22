"""From this checkout to the image ``app-tier-ami``: no ssh, no key pair, no open port, no role.

A base machine is launched whose user data (:mod:`.first_boot`) holds three presigned URLs:
it fetches the bundle, provisions itself and writes ``bake/<version>/report.json``. When that says
that all is well, the machine is stopped, an image is taken and published. The machine is terminated
in every case; should even that fail, it ends itself.
"""

import hashlib
import json
import logging
import shlex
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from ami_build.image import bundle
from ami_build.image.bake_options import BakeFailed, BakeOptions, BakeResult
from ami_build.image.registry import ID_TAG, Images, patiently, snapshots_of
from ami_build.stack.bucket_owner import check_region
from autoscale.ec2_errors import AWS_CALL_ERRORS, code_of, lacks_capacity
from autoscale.image import IMAGE
from facerec_tasks.aws import client
from facerec_tasks.errors import ConfigurationError, NotFound, PreconditionFailed, Unavailable
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

logger = logging.getLogger(__name__)

DEBIAN = "136693071363"
"""Debian's own account: https://wiki.debian.org/Cloud/AmazonEC2Image/Bookworm"""
BASE_NAME = "debian-12-amd64-*"
BAKE_TAG = "facerec-bake"
MAX_USER_DATA = 16 * 1024
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html"""
MAX_REPORT = 64 * 1024
URLS_VALID = 12 * 3600
"""Seconds; they end with the credentials that signed them, if those end sooner."""
ENDING = 120.0
"""Seconds in which the machine is to be told to end, however EC2 answers."""
POLL = 3.0
DISK_GIB = 8
ROOT_DEVICE = "/dev/xvda"
"""Of Debian's images, and of the stack's machines: another one would be a second disk there."""

Progress = Callable[[str], None]
Found = TypeVar("Found")


class Bake:
    """One run. Use it once."""

    def __init__(
        self, settings: Settings, order: BakeOptions, tell: Progress, poll: float = POLL
    ) -> None:
        """``tell`` hears of every step; ``poll``: seconds between two looks."""
        self._settings, self._order, self._tell, self._poll = settings, order, tell, poll
        self._ec2 = client(settings, "ec2")
        self._images = Images(settings)
        self._state = StateBucket(settings, layout.BAKE)
        self._machine = ""
        self._launching = False
        self.version = ""
        """Of the image: the moment of the bake and the sources' version. Nobody else has it."""

    def run(self) -> BakeResult:
        """Raises :class:`BakeFailed`, or what AWS raises; the machine is told to end before.

        Whatever a signal handler raises here once is met the same way; a second may not come.
        """
        began = time.monotonic()
        check_region(self._settings)
        self._images.check_ours()
        source = bundle.version().described
        self._sweep()
        base = self._base_image()
        self._claim(source)
        self._tell(f"baking {self.version}")
        packed = bundle.pack(weights=self._order.weights)
        patiently(lambda: self._state.put(f"{self.version}/bundle.tar.gz", packed))
        try:
            self._launch(base, self._user_data(packed))
            report = self._report()
            image = self._image(source)
        finally:
            self._end()
        self._images.publish(self.version)
        self._tell(f"{IMAGE} is {self.version}")
        dropped = tuple(self._images.prune(self._order.keep))
        seconds = round(time.monotonic() - began, 1)
        return BakeResult(self.version, image, source, base, dropped, seconds, report)

    # Before

    def _claim(self, source: str) -> None:
        """A version of our own: a bake at the same moment, of the same sources, gets another."""
        while True:
            self.version = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{source}"[:100]
            claim = json.dumps({"source": source}).encode()
            try:
                self._state.put(f"{self.version}/claim.json", claim, if_absent=True)
            except PreconditionFailed:
                time.sleep(1.0)
            except NotFound as error:
                raise ConfigurationError(
                    f"there is no {self._settings.state_bucket}: run `facerec aws deploy` first"
                ) from error
            else:
                return

    def _base_image(self) -> str:
        """The newest Debian 12 of Debian's own, or the one that was asked for."""
        if self._order.base_image:
            return self._order.base_image
        filters: Any = [
            {"Name": "name", "Values": [BASE_NAME]},
            {"Name": "state", "Values": ["available"]},
            {"Name": "architecture", "Values": ["x86_64"]},
        ]
        found = patiently(lambda: self._ec2.describe_images(Owners=[DEBIAN], Filters=filters))
        if not found["Images"]:
            raise ConfigurationError(
                f"no image {BASE_NAME} of Debian's is to be seen in {self._settings.region}: "
                "name one with --base-image"
            )
        return str(max(found["Images"], key=lambda i: i.get("CreationDate", ""))["ImageId"])

    def _user_data(self, packed: bytes) -> str:
        """A shell script that hands the order to :mod:`.first_boot`, which it carries."""
        s3, folder = client(self._settings, "s3"), f"{layout.BAKE}{self.version}/"

        def signed(operation: str, name: str) -> str:
            where = {"Bucket": self._settings.state_bucket, "Key": folder + name}
            return s3.generate_presigned_url(operation, Params=where, ExpiresIn=URLS_VALID)

        order = {
            "version": self.version,
            "bundle": signed("get_object", "bundle.tar.gz"),
            "sha256": hashlib.sha256(packed).hexdigest(),
            "report": signed("put_object", "report.json"),
            "log": signed("put_object", "log.txt"),
            "minutes": int(2 * self._order.deadline / 60) + 10,
        }
        source = Path(__file__).with_name("first_boot.py").read_text()
        call = f"exec python3 - {shlex.quote(json.dumps(order))} <<'PYTHON'"
        text = f"#!/bin/bash\n{call}\n{source}PYTHON\n"
        if len(text.encode()) > MAX_USER_DATA:
            raise ConfigurationError(
                f"the user data has {len(text.encode())} bytes, EC2 takes {MAX_USER_DATA}: "
                "use credentials with a shorter session token"
            )
        return text

    # The machine

    def _launch(self, base: str, user_data: str) -> None:
        tags: Any = [
            {"Key": "Name", "Value": f"bake-{self.version}"},
            {"Key": BAKE_TAG, "Value": self.version},
            {"Key": ID_TAG, "Value": self._settings.id},
        ]
        request: dict[str, Any] = {
            "ImageId": base,
            "InstanceType": self._order.instance_type,
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": hashlib.sha256(self.version.encode()).hexdigest()[:64],
            "UserData": user_data,
            "InstanceInitiatedShutdownBehavior": "terminate",
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "BlockDeviceMappings": [self._disk(base)],
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
            ],
        }
        if self._order.subnet:
            request["SubnetId"] = self._order.subnet
        self._launching = True
        try:
            answer = patiently(lambda: self._run(request))
        except ClientError as error:
            raise BakeFailed(f"EC2 launches no {self._order.instance_type}: {error}") from error
        self._machine = str(answer["Instances"][0]["InstanceId"])
        self._tell(f"{self._machine} provisions itself")

    def _run(self, request: dict[str, Any]) -> Any:
        try:
            return self._ec2.run_instances(**request)
        except ClientError as error:
            if lacks_capacity(code_of(error)):  # waiting rarely helps, another type does
                raise BakeFailed(
                    f"EC2 has no room for a {self._order.instance_type}: try another "
                    f"--instance-type or --subnet, or have the quota raised ({error})"
                ) from error
            raise

    def _disk(self, base: str) -> dict[str, Any]:
        found = patiently(lambda: self._ec2.describe_images(ImageIds=[base]))["Images"]
        if not found:
            raise ConfigurationError(f"there is no image {base} in {self._settings.region}")
        disk: dict[str, Any] = {
            "VolumeSize": DISK_GIB,
            "VolumeType": "gp3",
            "Encrypted": True,
            "DeleteOnTermination": True,
        }
        if (device := found[0].get("RootDeviceName")) != ROOT_DEVICE:
            raise ConfigurationError(f"the root of {base} is {device}, {ROOT_DEVICE} is needed")
        return {"DeviceName": ROOT_DEVICE, "Ebs": disk}

    def _report(self) -> Mapping[str, Any]:
        """What the machine says of itself, when it says that all is well."""
        deadline = time.monotonic() + self._order.deadline
        report = self._until(deadline, "report", self._look)
        if report.get("status") != "ok":
            raise BakeFailed(f"{report.get('error', 'the report says so')}{self._last_words()}")
        self._tell(f"provisioned in {report.get('seconds')} s")
        return report

    def _look(self) -> Mapping[str, Any] | None:
        """The report, or none yet; raises when the machine cannot write one any more."""
        found = self._state.find(f"{self.version}/report.json")
        if found:
            return _parsed(found.data)
        state = self._machine_state()
        if state in ("pending", "running", ""):
            return None
        last = patiently(lambda: self._state.find(f"{self.version}/report.json"))
        if last:
            return _parsed(last.data)
        raise BakeFailed(f"the machine is {state} and has not reported{self._last_words()}")

    def _machine_state(self) -> str:
        """EC2's word; empty while a listing does not show the machine yet."""
        try:
            found = patiently(
                lambda: self._ec2.describe_instances(InstanceIds=[self._machine]), patience=0
            )
        except NotFound:
            return ""
        states = [i["State"]["Name"] for r in found["Reservations"] for i in r["Instances"]]
        return str(states[0]) if states else ""

    def _last_words(self, lines: int = 25) -> str:
        """The end of the log the machine has stored, or of its console."""
        text = ""
        try:
            found = patiently(lambda: self._state.find(f"{self.version}/log.txt"), patience=10)
            if found:
                text = found.data.decode(errors="replace")
            elif self._machine:
                said = self._ec2.get_console_output(InstanceId=self._machine)
                text = said.get("Output", "")
        except AWS_CALL_ERRORS as error:
            text = f"(its log cannot be had: {error})"
        tail = [_printable(line) for line in text.strip().splitlines()[-lines:]]
        return ":\n  " + "\n  ".join(tail) if tail else "; it has written nothing"

    # The image

    def _image(self, source: str) -> str:
        patiently(lambda: self._ec2.stop_instances(InstanceIds=[self._machine]))
        deadline = time.monotonic() + self._order.deadline
        self._until(deadline, "stopped machine", lambda: self._machine_state() == "stopped")
        name = f"{IMAGE}-{self.version}"
        image = self._create(name)
        self._tell(f"{image} is being made")
        made = self._until(deadline, "image", lambda: self._available(image))
        self._images.tag([image, *snapshots_of(made)], self.version, source)
        return image

    def _create(self, name: str) -> str:
        """Its id; when an answer was lost, the image of that name is the one that was asked for."""
        description = f"facerec {self.version}"
        try:
            made = patiently(
                lambda: self._ec2.create_image(
                    InstanceId=self._machine, Name=name, Description=description
                )
            )
            return str(made["ImageId"])
        except ClientError as error:
            if code_of(error) != "InvalidAMIName.Duplicate":
                raise
        filters: Any = [{"Name": "name", "Values": [name]}]
        found = patiently(lambda: self._ec2.describe_images(Owners=["self"], Filters=filters))
        return str(found["Images"][0]["ImageId"])

    def _available(self, image: str) -> Mapping[str, Any] | None:
        """The image once it is complete; raises :class:`BakeFailed` when it never will be."""
        try:
            found = patiently(lambda: self._ec2.describe_images(ImageIds=[image]))["Images"]
        except NotFound:
            return None  # a listing that is late
        if found and found[0].get("State") in ("failed", "error", "invalid"):
            why = found[0].get("StateReason", {}).get("Message", "no reason is given")
            raise BakeFailed(f"EC2 could not make the image: {why}")
        return dict(found[0]) if found and found[0].get("State") == "available" else None

    def _until(self, deadline: float, what: str, look: Callable[[], Found | None]) -> Found:
        """The first that ``look`` finds; raises :class:`BakeFailed` when that takes too long."""
        while True:
            try:
                if found := look():
                    return found
            except Unavailable as error:
                logger.info("AWS does not answer, looking again: %s", error)
            if time.monotonic() > deadline:
                seconds = f"{self._order.deadline:.0f} s"
                raise BakeFailed(f"no {what} within {seconds}{self._last_words()}")
            time.sleep(self._poll)

    # After

    def _end(self) -> None:
        """Terminates the machine, also one whose launch was never answered."""
        if not self._launching:
            return
        try:
            ids = [self._machine] if self._machine else self._tagged(self.version)
            if ids:
                patiently(lambda: self._ec2.terminate_instances(InstanceIds=ids), ENDING)
        except AWS_CALL_ERRORS as error:
            self._tell(
                f"{self._machine or 'a machine'} tagged {BAKE_TAG}={self.version} could not be "
                f"terminated; it ends itself, and the next bake looks for it: {error}"
            )

    def _tagged(self, version: str = "*") -> list[str]:
        filters: Any = [
            {"Name": f"tag:{BAKE_TAG}", "Values": [version]},
            {"Name": f"tag:{ID_TAG}", "Values": [self._settings.id]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]},
        ]
        found = patiently(lambda: self._ec2.describe_instances(Filters=filters))
        machines = [i for r in found["Reservations"] for i in r["Instances"]]
        young = datetime.now(UTC).timestamp() - 2 * self._order.deadline - 600
        return [
            i["InstanceId"]
            for i in machines
            if version != "*" or i["LaunchTime"].timestamp() < young
        ]

    def _sweep(self) -> None:
        """Ends machines of bakes that nobody waits for any more."""
        left = self._tagged()
        if left:
            self._tell(f"terminating what a broken bake has left: {', '.join(left)}")
            patiently(lambda: self._ec2.terminate_instances(InstanceIds=left))


def _parsed(data: bytes) -> Mapping[str, Any]:
    """A machine wrote it: whatever it is, it is not believed blindly."""
    try:
        report = json.loads(data[:MAX_REPORT])
    except ValueError as error:
        raise BakeFailed(f"the report cannot be read: {error}") from error
    if not isinstance(report, dict):
        raise BakeFailed("the report is no object")
    return report


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in line)[:500]
