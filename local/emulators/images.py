"""moto's images, with what a bake meets on AWS: unique names, shared snapshots, time.

moto 5.2.5 takes a name twice, makes a snapshot of its own for every registered image, and has
images at once. Here a name is refused while an image has it, an image may be registered over the
snapshot of another, a snapshot below an image cannot be deleted, nor just after it has been
deregistered, and a new image is ``pending``.
"""

import threading
import time
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import amis, elastic_block_store
from moto.ec2.responses.amis import AmisResponse

_naming = threading.RLock()
_pending = 1.0


class Image(amis.Ami):
    """An image whose state is a question of time when it is made of an instance."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._due = time.monotonic() + (_pending if kwargs.get("instance") else 0.0)
        super().__init__(*args, **kwargs)

    @property
    def state(self) -> str:
        return "available" if time.monotonic() >= self._due else "pending"

    @state.setter
    def state(self, _: str) -> None:
        """moto assigns the state of a new image; ours follows from the time."""


def _check_name(backend: Any, name: str) -> None:
    for image in backend.amis.values():
        if image.name == name and image.owner_id == backend.account_id:
            raise EC2ClientError(
                "InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.id}"
            )


_create = amis.AmiBackend.create_image


def _create_unique(backend: Any, instance_id: str, name: str, *args: Any, **kwargs: Any) -> Any:
    with _naming:
        _check_name(backend, name)
        return _create(backend, instance_id, name, *args, **kwargs)


def _answer_register(response: AmisResponse) -> ActionResult:
    """Registers over the snapshot that the first device names, if it names one."""
    response.error_on_dryrun()
    backend, name = response.ec2_backend, response._get_param("Name")
    devices = response._get_param("BlockDeviceMappings", [])
    wanted = devices[0].get("Ebs", {}).get("SnapshotId") if devices else None
    with _naming:
        _check_name(backend, name)
        if wanted and wanted not in backend.snapshots:
            raise EC2ClientError("InvalidSnapshot.NotFound", f"no snapshot {wanted}")
        image = backend.register_image(name, response._get_param("Description", ""))
        image.architecture = response._get_param("Architecture", "x86_64")
        image.virtualization_type = response._get_param("VirtualizationType", "hvm")
        image.root_device_name = response._get_param("RootDeviceName", "/dev/xvda")
        if wanted:
            backend.snapshots.pop(image.ebs_snapshot.id)
            image.ebs_snapshot = backend.snapshots[wanted]
    return ActionResult({"ImageId": image.id})


_deregister = amis.AmiBackend.deregister_image
_freed: dict[str, float] = {}
"""When snapshots of deregistered images are not in use any more."""


def _deregister_slowly(backend: Any, ami_id: str) -> None:
    image = backend.amis.get(ami_id)
    _deregister(backend, ami_id)
    if image is not None:
        _freed[image.ebs_snapshot.id] = time.monotonic() + _pending


_delete = elastic_block_store.EBSBackend.delete_snapshot


def _delete_unused(backend: Any, snapshot_id: str) -> Any:
    images = [one.id for one in backend.amis.values() if one.ebs_snapshot.id == snapshot_id]
    if images or time.monotonic() < _freed.get(snapshot_id, 0.0):
        raise EC2ClientError(
            "InvalidSnapshot.InUse", f"The snapshot {snapshot_id} is in use by {images}"
        )
    return _delete(backend, snapshot_id)


def install(*, pending: float) -> None:
    """Puts all of this in the place of moto's own; ``pending``: seconds an image takes."""
    global _pending
    _pending = pending
    amis.Ami = Image
    amis.AmiBackend.create_image = _create_unique
    amis.AmiBackend.deregister_image = _deregister_slowly
    AmisResponse.register_image = _answer_register
    elastic_block_store.EBSBackend.delete_snapshot = _delete_unused
