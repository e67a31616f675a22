"""A stack that CloudFormation gave up: told with its cause, and out of the way of the next one."""

import os
from collections.abc import Callable

import pytest

from ami_build.errors import StackFailed
from ami_build.stack.cloudformation import Stack
from ami_build.stack.deployment import Deployed, Deployment, DeployOptions
from facerec_tasks.aws import client
from facerec_tasks.settings import Settings

pytestmark = pytest.mark.skipif(
    "FACEREC_TEST_ENDPOINT" not in os.environ,
    reason="needs LocalStack (make test-localstack): the embedded AWS undoes nothing",
)


def test_a_creation_that_is_undone_names_the_first_failure(
    settings: Settings, deploy: Callable[..., Deployed]
) -> None:
    in_the_way = f"{settings.id}-web-instance"
    client(settings, "iam").create_role(RoleName=in_the_way, AssumeRolePolicyDocument="{}")
    with pytest.raises(StackFailed, match=f"WebRole.*{in_the_way} already exists"):
        deploy()
    state = Stack(settings).find()
    assert state is not None
    assert state.status == "ROLLBACK_COMPLETE"
    # LocalStack cannot delete a stack of this template that was undone, as the next deploy would:
    # it takes a parameter's list for a string there.


def test_two_deploys_at_once_end_in_one_stack(settings: Settings) -> None:
    first, second = (Deployment(settings, lambda line: None) for _ in range(2))
    plans = first.plan(DeployOptions()), second.plan(DeployOptions())
    first.apply(plans[0], versioning_delay=0)
    second.withdraw(plans[1])
    assert Stack(settings).get().status == "CREATE_COMPLETE"
