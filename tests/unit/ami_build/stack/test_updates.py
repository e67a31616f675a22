"""What CloudFormation does when a parameter changes: update in place, replace, or fail.

By the resource schemas that cfn-lint carries. CloudFormation replaces a resource whose create-only
property changes, and refuses to when the resource has a name of its own that stays the same.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from ami_build.stack.cloudformation import TEMPLATE
from tests.unit.ami_build.stack.resolved_template import ResolvedTemplate, load, paths

DEPLOYED = {
    "Id": "lab", "VpcId": "vpc-1", "ImageId": "ami-1", "WebCidr": "192.0.2.0/24",
    "AlarmEmail": "a@example.com",
}  # fmt: skip
CHANGED = {
    "VpcId": "vpc-2", "ImageId": "ami-2", "WebCidr": "198.51.100.0/24",
    "AlarmEmail": "b@example.com", "MonthlyBudget": "7", "WebInstanceType": "t3.medium",
    "WorkerInstanceType": "c7i.xlarge,m7i.xlarge", "Subnets": "subnet-1,subnet-2",
    "MaxInstances": "3", "ScalingProfile": "one-per-backlog",
    "VisibilityTimeout": "60", "RootVolumeGib": "20", "Settings": "FACEREC_SLO=30",
    "RetentionDays": "30", "WebInstances": "3", "VpcCidr": "10.0.0.0/16",
    "Certificate": "arn:aws:acm:us-east-1:123456789012:certificate/1",
}  # fmt: skip
NAMES = (
    *(f"/properties/{kind}Name" for kind in (
        "Bucket", "Queue", "Topic", "Role", "ManagedPolicy", "InstanceProfile", "Group",
        "LaunchTemplate", "Alarm", "LogGroup",
    )),
    "/properties/Name",
    "/properties/Budget/BudgetName",
)  # fmt: skip
NO_OUTAGE = ("AlarmEmail", "MonthlyBudget", "MaxInstances", "ScalingProfile", "VisibilityTimeout",
             "Settings", "WorkerInstanceType", "Subnets", "WebCidr", "RetentionDays",
             "VpcCidr")  # fmt: skip
"""Parameters that must not touch web-instance."""


def schema(kind: str) -> Mapping[str, Any]:
    return PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema


def create_only(kind: str, *, conditional: bool) -> tuple[str, ...]:
    found = schema(kind)
    names = ["createOnlyProperties", *(["conditionalCreateOnlyProperties"] if conditional else [])]
    return tuple(path for name in names for path in found.get(name) or ())


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    return {path for path, _ in {*paths(before)} ^ {*paths(after)}}


def touched(kind: str, changed: set[str], *, conditional: bool) -> set[str]:
    only = create_only(kind, conditional=conditional)
    return {p for p in changed if any(p == o or p.startswith(f"{o}/") for o in only)}


def replaced(before: ResolvedTemplate, after: ResolvedTemplate) -> set[str]:
    """Logical ids that are replaced, and those that are because of these."""
    found: set[str] = set()
    while True:
        grown = found | set(_replaced_once(before, after, found))
        if grown == found:
            return found
        found = grown


def _replaced_once(
    before: ResolvedTemplate, after: ResolvedTemplate, earlier: set[str]
) -> Iterator[str]:
    for name, new in after.resources.items():
        old = before.resources.get(name)
        if old is None:
            continue
        kind = after.type_of(name)
        referring = {
            path for path, value in paths(new) if any(f"<{e}" in str(value) for e in earlier)
        }
        if touched(kind, differing(old, new) | referring, conditional=False):
            yield name


def _names_any(value: str, resources: set[str]) -> bool:
    return any(f"<{name}>" in value or f"<{name}." in value for name in resources)


def own_name(properties: Mapping[str, Any]) -> str | None:
    found = dict(paths(properties))
    return next((str(found[path]) for path in NAMES if path in found), None)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return load(TEMPLATE)


def test_every_parameter_of_the_template_is_changed_here(template: dict[str, Any]) -> None:
    assert set(CHANGED) | {"Id"} == set(template["Parameters"])


@pytest.mark.parametrize("parameter", CHANGED)
def test_no_change_replaces_a_resource_that_keeps_its_own_name(
    template: dict[str, Any], parameter: str
) -> None:
    before = ResolvedTemplate(template, DEPLOYED)
    after = ResolvedTemplate(template, DEPLOYED | {parameter: CHANGED[parameter]})
    refused = {
        name
        for name in replaced(before, after)
        if (kept := own_name(after.resources[name])) and kept == own_name(before.resources[name])
    }
    assert refused == set(), (
        "CloudFormation cannot update a stack when a named resource is replaced"
    )


@pytest.mark.parametrize("parameter", NO_OUTAGE)
def test_web_instance_is_neither_stopped_nor_replaced(
    template: dict[str, Any], parameter: str
) -> None:
    before = ResolvedTemplate(template, DEPLOYED).resources["WebInstance"]
    changed = DEPLOYED | {parameter: CHANGED[parameter]}
    after = ResolvedTemplate(template, changed).resources["WebInstance"]
    assert differing(before, after) == set()


@pytest.mark.parametrize("parameter", CHANGED)
def test_no_change_replaces_a_named_resource_behind_a_load_balancer(
    template: dict[str, Any], parameter: str
) -> None:
    deployed = DEPLOYED | {"WebInstances": "2", "Subnets": "subnet-1,subnet-3"}
    before = ResolvedTemplate(template, deployed)
    after = ResolvedTemplate(template, deployed | {parameter: CHANGED[parameter]})
    assert "WebInstance" not in before.resources
    refused = {
        name
        for name in replaced(before, after)
        if (kept := own_name(after.resources[name])) and kept == own_name(before.resources[name])
    }
    assert refused == set()


def test_replaced_named_resource_is_found(template: dict[str, Any]) -> None:
    """The fault that was: another address replaced a budget with a name of its own."""
    template = {**template, "Resources": {**template["Resources"]}}
    budget = template["Resources"]["Budget"]
    named = {**budget["Properties"]["Budget"], "BudgetName": "lab-monthly"}
    properties = {**budget["Properties"], "Budget": named}
    template["Resources"]["Budget"] = {**budget, "Properties": properties}
    before = ResolvedTemplate(template, DEPLOYED)
    after = ResolvedTemplate(template, DEPLOYED | {"AlarmEmail": "b@example.com"})
    assert "Budget" in replaced(before, after)
    assert own_name(after.resources["Budget"]) == "lab-monthly"
