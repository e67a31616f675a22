"""The deployment that is checked: stack, settings and clients shared by all checks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import ClientError

from ami_build.stack.cloudformation import Stack, StackState
from autoscale.ec2_errors import code_of
from facerec_tasks.aws import client, translated
from facerec_tasks.settings import Settings

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class DeploymentContext:
    """One deployed system."""

    settings: Settings
    state: StackState
    account: str
    partition: str
    """``aws``, or that of China or GovCloud."""

    @property
    def id(self) -> str:
        return self.settings.id

    @property
    def url_suffix(self) -> str:
        """End of a service's name as a principal, as CloudFormation's ``AWS::URLSuffix``."""
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    @property
    def image(self) -> str:
        """Id of the image the stack was given; empty for none."""
        return self.state.parameters.get("ImageId", "")

    @property
    def balanced(self) -> bool:
        """Whether the web machines stand behind a load balancer."""
        given = self.state.parameters
        return given.get("WebInstances", "1") != "1" or bool(given.get("Certificate"))

    def log_group(self, tier: str) -> str:
        """Name of the log group of ``app-tier`` or ``web-tier``."""
        return f"/{self.id}/{tier}"

    def arn(self, service: str, name: str, *, regional: bool = True) -> str:
        """ARN of something in this account."""
        region = self.settings.region if regional else ""
        account = "" if service == "s3" else self.account
        return f"arn:{self.partition}:{service}:{region}:{account}:{name}"


def load(settings: Settings) -> DeploymentContext:
    """Raises :class:`ami_build.errors.NoStack`."""
    with translated():
        caller = client(settings, "sts").get_caller_identity()["Arn"]
    _, partition, _, _, account, _ = caller.split(":", 5)
    return DeploymentContext(settings, Stack(settings).get(), account, partition)


def found_or_none(call: Callable[[], Answer]) -> Answer | None:
    """What AWS answers, or None where it says that there is no such thing."""
    try:
        return call()
    except ClientError as error:
        missing = error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        if missing or ".NotFound" in code_of(error):
            return None
        raise
