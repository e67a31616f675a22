"""A stack that CloudFormation gave up: told with its cause, and out of the way of the next one."""

import os
from collections.abc import Callable

import pytest

from ami_build.errors import StackFailed, Stuck
from ami_build.stack.cloudformation import Stack
from ami_build.stack.deployment import Deployed, Deployment, DeployOptions
from ami_build.stack.destroy import Destroyer
from facerec_tasks.aws import client
from facerec_tasks.settings import Settings

pytestmark = pytest.mark.skipif(
    "FACEREC_TEST_ENDPOINT" not in os.environ,
    reason="needs LocalStack (make test-localstack): the embedded AWS undoes nothing",
)


def test_rollback_names_the_first_failure_and_the_next_deploy_starts_anew(
    settings: Settings, deploy: Callable[..., Deployed]
) -> None:
    iam = client(settings, "iam")
    in_the_way = f"{settings.id}-web-instance"
    iam.create_role(RoleName=in_the_way, AssumeRolePolicyDocument="{}")
    with pytest.raises(StackFailed, match=f"WebRole.*{in_the_way} already exists"):
        deploy()
    state = Stack(settings).find()
    assert state is not None
    assert state.status == "ROLLBACK_COMPLETE"
    iam.delete_role(RoleName=in_the_way)
    # LocalStack keeps buckets of a creation that was undone, and then cannot delete its own stack.
    with pytest.raises(Stuck, match="facerec aws destroy"):
        Deployment(settings, lambda line: None).plan(DeployOptions())
    Destroyer(settings, lambda line: None).remove(with_photos=False)
    assert Destroyer(settings, lambda line: None).look().empty
    assert deploy().changed > 20


def test_two_deploys_at_once_end_in_one_stack(
    settings: Settings, deploy: Callable[..., Deployed]
) -> None:
    first, second = (Deployment(settings, lambda line: None) for _ in range(2))
    plans = first.plan(DeployOptions()), second.plan(DeployOptions())
    first.apply(plans[0], versioning_delay=0)
    second.withdraw(plans[1])
    assert Stack(settings).get().status == "CREATE_COMPLETE"
    assert deploy().changed == 0
