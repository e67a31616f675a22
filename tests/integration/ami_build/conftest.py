"""A stack on an emulated AWS: one for tests that only look, fresh ones for those that change it."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from celery_sqs.testing import isolated

from ami_build.image.registry import ID_TAG, VERSION_TAG
from ami_build.stack.deployment import Deployed, Deployment, DeployOptions
from autoscale.image import IMAGE
from facerec_tasks.aws import client
from facerec_tasks.settings import Settings
from local.emulators.embedded_aws import embedded_aws

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

localstack_cannot_update = pytest.mark.skipif(
    "FACEREC_TEST_ENDPOINT" in os.environ,
    reason="LocalStack 4.14 describes no change set of an update of this template: it takes a "
    "parameter's list for a string there, and looks at resources whose condition does not hold",
)
CALLERS = "192.0.2.0/24"
EMAIL = "ops@example.com"


@dataclass(frozen=True)
class System:
    """What was deployed, and from which image."""

    settings: Settings
    image: str
    deployed: Deployed


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """A whole stack, image, machine and all, for tests that change nothing of it."""
    given = os.environ.get("FACEREC_TEST_ENDPOINT")
    with pytest.MonkeyPatch.context() as environment, ExitStack() as emulator:
        endpoint = given or emulator.enter_context(embedded_aws(pending=0.1, stopping=0.1))
        for name, value in isolated({}, endpoint).items():
            environment.setenv(name, value)
        settings = Settings(id=f"t{uuid.uuid4().hex[:12]}", endpoint_url=endpoint)
        image = make_image(settings)
        yield System(settings, image, put(settings, callers=CALLERS, email=EMAIL))


@pytest.fixture
def deploy(settings: Settings) -> Callable[..., Deployed]:
    """``deploy(field=value, ...)``: plans and applies a options for the test's own id."""
    return lambda **wishes: put(settings, **wishes)


def put(system: Settings, /, **wishes: object) -> Deployed:
    deployment = Deployment(system, lambda line: None)
    return deployment.apply(deployment.plan(DeployOptions(**wishes)), versioning_delay=0)  # type: ignore[arg-type]


def make_image(settings: Settings, version: str = "1") -> str:
    """The image of a version, published, as `facerec aws bake` leaves it; nothing is in it."""
    ec2: EC2Client = client(settings, "ec2")
    for old in ec2.describe_images(Filters=[{"Name": "name", "Values": [IMAGE]}])["Images"]:
        ec2.deregister_image(ImageId=old["ImageId"])
    version = f"{settings.id}-{version}"
    made = ""
    for name in (IMAGE, f"{IMAGE}-{version}"):
        made = ec2.register_image(
            Name=name,
            Architecture="x86_64",
            RootDeviceName="/dev/xvda",
            VirtualizationType="hvm",
        )["ImageId"]
        tags = [
            {"Key": ID_TAG, "Value": settings.id},
            {"Key": VERSION_TAG, "Value": version},
        ]
        ec2.create_tags(Resources=[made], Tags=tags)  # type: ignore[arg-type]
    return made
