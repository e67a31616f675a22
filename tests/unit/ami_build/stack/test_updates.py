"""What CloudFormation does when a parameter changes: update in place, replace, or fail.

By the resource schemas that cfn-lint carries. CloudFormation replaces a resource whose create-only
property changes, and refuses to when the resource has a name of its own that stays the same.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
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
VIDEOS = Path("serverless/template.yaml")
VIDEOS_DEPLOYED = {"Id": "lab", "VideoSplittingImage": "a@sha256:1",
                   "FaceRecognitionImage": "b@sha256:1"}  # fmt: skip
VIDEOS_CHANGED = {"VideoSplittingImage": "a@sha256:2", "FaceRecognitionImage": "b@sha256:2",
                  "Concurrency": "0", "RetentionDays": "30"}  # fmt: skip
DOCUMENTS = {path: load(path) for path in (TEMPLATE, VIDEOS)}
BALANCED = DEPLOYED | {"WebInstances": "2", "Subnets": "subnet-1,subnet-3"}
CHANGES = [
    *(
        pytest.param(TEMPLATE, DEPLOYED, {name: value}, id=name)
        for name, value in CHANGED.items()
        if name != "VpcCidr"  # of the load balancer's machines
    ),
    *(
        pytest.param(TEMPLATE, BALANCED, {name: value}, id=f"balanced {name}")
        for name, value in CHANGED.items()
    ),
    *(
        pytest.param(VIDEOS, VIDEOS_DEPLOYED, {name: value}, id=f"videos {name}")
        for name, value in VIDEOS_CHANGED.items()
    ),
]
"""Template, parameters before, and the one that changes."""
NO_OUTAGE = ("AlarmEmail", "MonthlyBudget", "MaxInstances", "ScalingProfile", "VisibilityTimeout",
             "Settings", "WorkerInstanceType", "Subnets", "WebCidr", "RetentionDays",
             "VpcCidr")  # fmt: skip
"""Parameters that must not touch web-instance."""
NO_REPLACEMENT = [name for name in NO_OUTAGE if name not in ("Subnets", "VpcCidr")]
"""The same of several web machines, which are replaced for another network one after another."""


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


def own_name(kind: str, properties: Mapping[str, Any]) -> str | None:
    """The name a resource is given, if it is: two of one name cannot exist."""
    names = [path for path in create_only(kind, conditional=False) if path.endswith("Name")]
    found = dict(paths(properties))
    return next((str(found[path]) for path in names if path in found), None)


def replaced_under_one_name(before: ResolvedTemplate, after: ResolvedTemplate) -> set[str]:
    """Resources whose update CloudFormation refuses: it makes the successor first."""
    old, new = before.resources, after.resources
    names = {name: (own_name(after.type_of(name), new[name]), own_name(after.type_of(name),
             old[name])) for name in replaced(before, after)}  # fmt: skip
    return {name for name, (now, then) in names.items() if now and now == then}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return DOCUMENTS[TEMPLATE]


def test_every_parameter_of_the_templates_is_changed_here(template: dict[str, Any]) -> None:
    assert set(CHANGED) | {"Id"} == set(template["Parameters"])
    assert set(VIDEOS_CHANGED) | {"Id"} == set(DOCUMENTS[VIDEOS]["Parameters"])


@pytest.mark.parametrize(("path", "deployed", "change"), CHANGES)
def test_no_change_replaces_a_resource_that_keeps_its_own_name(
    path: Path, deployed: dict[str, str], change: dict[str, str]
) -> None:
    before = ResolvedTemplate(DOCUMENTS[path], deployed)
    after = ResolvedTemplate(DOCUMENTS[path], deployed | change)
    assert differing(before.resources, after.resources), "a change that changes something"
    assert replaced_under_one_name(before, after) == set()


def test_a_name_belongs_to_one_resource_whatever_the_conditions() -> None:
    """CloudFormation makes what an update adds before it removes what the update drops."""
    owners: dict[tuple[str, str], set[str]] = {}
    for path, deployed, change in (case.values for case in CHANGES):
        for values in (deployed, deployed | change):
            resolved = ResolvedTemplate(DOCUMENTS[path], values)
            for logical, properties in resolved.resources.items():
                kind = resolved.type_of(logical)
                name = own_name(kind, properties)
                if name and not name.startswith("<"):  # a reference to another resource
                    owners.setdefault((kind, name), set()).add(f"{path.name} {logical}")
    assert len(owners) > 30
    assert {key: found for key, found in owners.items() if len(found) > 1} == {}


@pytest.mark.parametrize("parameter", NO_OUTAGE)
def test_web_instance_is_neither_stopped_nor_replaced(
    template: dict[str, Any], parameter: str
) -> None:
    before = ResolvedTemplate(template, DEPLOYED).resources["WebInstance"]
    changed = DEPLOYED | {parameter: CHANGED[parameter]}
    after = ResolvedTemplate(template, changed).resources["WebInstance"]
    assert differing(before, after) == set()


@pytest.mark.parametrize("parameter", NO_REPLACEMENT)
def test_several_web_machines_are_not_replaced_for_a_setting(
    template: dict[str, Any], parameter: str
) -> None:
    before = ResolvedTemplate(template, BALANCED).resources
    assert "WebInstance" not in before
    changed = BALANCED | {parameter: CHANGED[parameter]}
    after = ResolvedTemplate(template, changed).resources
    for machines in ("WebTemplate", "WebFleet"):
        assert differing(before[machines], after[machines]) == set()


def test_replaced_named_resource_is_found(template: dict[str, Any]) -> None:
    """The fault that was: another address replaced a budget with a name of its own."""
    template = {**template, "Resources": {**template["Resources"]}}
    budget = template["Resources"]["Budget"]
    named = {**budget["Properties"]["Budget"], "BudgetName": "lab-monthly"}
    properties = {**budget["Properties"], "Budget": named}
    template["Resources"]["Budget"] = {**budget, "Properties": properties}
    before = ResolvedTemplate(template, DEPLOYED)
    after = ResolvedTemplate(template, DEPLOYED | {"AlarmEmail": "b@example.com"})
    assert replaced_under_one_name(before, after) == {"Budget"}
