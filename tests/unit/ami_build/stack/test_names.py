"""Every name the code can make is legal for its service, and a role's policy matches it."""

import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, TypeVar

import pytest
from celery_sqs._broker.names import process_queue_name
from celery_sqs._results.response_queue import own_name
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ami_build.stack.cloudformation import TEMPLATE, stack_name, video_stack_names
from facerec_tasks.settings import Settings
from tests.unit.ami_build.stack.resolved_template import ResolvedTemplate, load

Test = TypeVar("Test", bound=Callable[..., None])
IDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True).filter(
    lambda text: not text.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
)
EDGES = ("4", "4k-lab", "a--b", *("x" * length for length in (23, 24, 28, 29, 31, 32)))
"""A digit first; from 24 characters on a reply queue's name is cut, from 29 a control queue's."""
INSTANCE, CLIENT = "i-0123456789abcdef0", "00000000-0000-0000-0000-000000000005"
INSTANCES = st.from_regex(r"i-[0-9a-f]{17}", fullmatch=True)
NODES = ("app-tier-instance", "worker")
LEGAL = {
    "AWS::S3::Bucket": ("BucketName", r"(?!xn--|sthree-|amzn-s3-demo-)[a-z0-9][a-z0-9.-]{2,62}"),
    "AWS::SQS::Queue": ("QueueName", r"[A-Za-z0-9_-]{1,80}"),
    "AWS::SNS::Topic": ("TopicName", r"[A-Za-z0-9_-]{1,256}"),
    "AWS::IAM::Role": ("RoleName", r"[\w+=,.@-]{1,64}"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", r"[\w+=,.@-]{1,128}"),
    "AWS::IAM::InstanceProfile": ("InstanceProfileName", r"[\w+=,.@-]{1,128}"),
    "AWS::EC2::SecurityGroup": ("GroupName", r"(?!sg-)[a-zA-Z0-9 ._:/()#,@\[\]+=&;{}!$*-]{1,255}"),
    "AWS::EC2::LaunchTemplate": ("LaunchTemplateName", r"[a-zA-Z0-9().\-/_]{3,128}"),
    "AWS::CloudWatch::Alarm": ("AlarmName", r".{1,255}"),
    "AWS::Logs::LogGroup": ("LogGroupName", r"(?!aws/)[.\-_/#A-Za-z0-9]{1,512}"),
    "AWS::SSM::Parameter": ("Name", r"(?!/?(?i:aws|ssm))/[a-zA-Z0-9_./-]{1,1010}"),
}  # fmt: skip
"""Name property and pattern of the service, by type; from each service's API reference."""
STACK_NAME = r"[a-zA-Z][-a-zA-Z0-9]{0,127}"
CREATORS = {"web": "WebPolicy", "controller": "ControllerPolicy", "flower": "FlowerPolicy",
            "worker": "WorkerPolicy"}  # fmt: skip


def resolved(id_: str) -> ResolvedTemplate:
    parameters = {"Id": id_, "VpcId": "vpc-1", "ImageId": "ami-1", "AlarmEmail": "a@b"}
    return ResolvedTemplate(TEMPLATE_, parameters)


TEMPLATE_ = load(TEMPLATE)


def queues_allowed(template: ResolvedTemplate, policy: str, action: str) -> list[str]:
    """Patterns of queue names that a policy allows an action on."""
    document = template.resources[policy]["PolicyDocument"]
    queues = {
        f"<{n}.Arn>": p["QueueName"] for n, p in template.resources.items() if "QueueName" in p
    }
    found = []
    for statement in document["Statement"]:
        if action in _each(statement["Action"]):
            for resource in map(str, _each(statement["Resource"])):
                for arn, name in queues.items():
                    resource = resource.replace(arn, f"queue:{name}")
                found.append(resource.rpartition(":")[2])
    return found


def at_the_edges(**others: str) -> Callable[[Test], Test]:
    """Tries the ids at which names change, which random ones seldom are."""

    def with_examples(test: Test) -> Test:
        for id_ in EDGES:
            test = example(id_=id_, **others)(test)
        return test

    return with_examples


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def names_made(id_: str, instance: str, client: str) -> Iterator[tuple[str, str, str]]:
    """Process, action and name of every queue that a process makes at run time."""
    for node in NODES:
        control = process_queue_name(id_, f"{node}@{instance}.celery.pidbox")
        yield "worker", "sqs:CreateQueue", control
    reply = process_queue_name(id_, f"{client}.reply.celery.pidbox")
    events = process_queue_name(id_, f"celeryev.{client}")
    for process in ("controller", "flower"):
        yield process, "sqs:CreateQueue", reply
        yield process, "sqs:CreateQueue", events
    yield "worker", "sqs:SendMessage", reply
    answers = own_name(f"{id_}-resp-queue", instance, 12)
    yield "web", "sqs:CreateQueue", answers
    yield "worker", "sqs:SendMessage", answers
    for queue in (reply, control, events, answers):
        yield "web", "sqs:DeleteQueue", queue  # the sweep of abandoned ones


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(id_=IDS, instance=INSTANCES, client=st.uuids().map(str))
@at_the_edges(instance=INSTANCE, client=CLIENT)
def test_every_queue_name_is_legal_and_its_process_may_use_it(
    id_: str, instance: str, client: str
) -> None:
    Settings(id=id_)
    template = resolved(id_)
    for process, action, name in names_made(id_, instance, client):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name), name
        patterns = queues_allowed(template, CREATORS[process], action)
        assert any(fnmatchcase(name, p) for p in patterns), f"{process} {action} {name}: {patterns}"


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(id_=IDS)
@at_the_edges()
def test_every_name_of_the_stack_is_legal(id_: str) -> None:
    template = resolved(id_)
    for logical, properties in template.resources.items():
        kind = template.type_of(logical)
        if kind in LEGAL:
            property_, pattern = LEGAL[kind]
            assert re.fullmatch(pattern, properties[property_]), f"{logical}: {properties}"
    for name in (stack_name(id_), *video_stack_names(id_)):
        assert re.fullmatch(STACK_NAME, name)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(id_=IDS)
@at_the_edges()
def test_two_queues_of_one_system_never_have_one_name(id_: str) -> None:
    names = [process_queue_name(id_, f"worker@{n}-{'x' * 60}.celery.pidbox") for n in range(9)]
    assert len({*names}) == len(names)


@pytest.mark.parametrize("id_", ["xn--lab", "sthree-lab", "amzn-s3-demo-lab", "-lab", "Lab", "l_b"])
def test_an_id_that_makes_illegal_names_is_refused(id_: str) -> None:
    with pytest.raises(ValidationError):
        Settings(id=id_)


def test_the_template_takes_the_ids_that_the_settings_take() -> None:
    assert PurePosixPath(TEMPLATE).name == "stack.yaml"
    pattern = TEMPLATE_["Parameters"]["Id"]["AllowedPattern"]
    assert all(re.fullmatch(pattern, id_) for id_ in ("a", "a1", "4k", "x" * 32, "a--b"))
