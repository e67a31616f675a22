"""The stack under examination, and what every check needs of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ami_build.stack.cloudformation import Stack, StackState
from facerec_tasks.aws import client, translated
from facerec_tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient


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

    @property
    def s3(self) -> "S3Client":
        return client(self.settings, "s3")

    @property
    def sqs(self) -> "SQSClient":
        return client(self.settings, "sqs")

    @property
    def sns(self) -> "SNSClient":
        return client(self.settings, "sns")

    @property
    def ec2(self) -> "EC2Client":
        return client(self.settings, "ec2")

    @property
    def iam(self) -> "IAMClient":
        return client(self.settings, "iam")


def load(settings: Settings) -> DeploymentContext:
    """Raises :class:`ami_build.errors.NoStack`."""
    with translated():
        caller = client(settings, "sts").get_caller_identity()["Arn"]
    _, partition, _, _, account, _ = caller.split(":", 5)
    return DeploymentContext(settings, Stack(settings).get(), account, partition)
