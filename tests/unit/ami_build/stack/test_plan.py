"""The plan in words."""

import re
from pathlib import Path

from ami_build.stack.cloudformation import PARAMETERS, TEMPLATE, template_body
from ami_build.stack.plan import PHRASES, ChangeSet, changes
from tests.unit.ami_build.stack.resolved_template import load

MAX_TEMPLATE = 51_200
"""Bytes of a template that needs no bucket to lie in:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""


def described(action: str, logical: str, **more: str) -> dict[str, object]:
    return {
        "Type": "Resource",
        "ResourceChange": {"Action": action, "LogicalResourceId": logical, **more},
    }


def test_every_resource_of_the_template_has_words() -> None:
    resources = TEMPLATE.read_text().split("\nResources:\n")[1].split("\nOutputs:\n")[0]
    assert set(re.findall(r"^  (\w+):$", resources, re.MULTILINE)) == set(PHRASES)


def test_template_is_within_the_size_limit_of_a_request() -> None:
    assert len(template_body().encode()) < MAX_TEMPLATE
    assert "#!/bin/bash" in template_body()


def test_comments_are_all_that_is_left_out(tmp_path: Path) -> None:
    shorter = tmp_path / "stack.yaml"
    shorter.write_text(template_body())
    assert load(shorter) == load(TEMPLATE)


def test_the_parameters_are_read_off_the_template() -> None:
    assert {"Id", "VpcId", "ImageId", "VisibilityTimeout"} <= PARAMETERS
    assert "Type" not in PARAMETERS


def test_a_replacement_is_told_apart_from_a_change() -> None:
    replaced, changed = changes(
        [
            described("Modify", "WebInstance", Replacement="True", PhysicalResourceId="i-1"),
            described("Modify", "RequestQueue", Replacement="False"),
        ]
    )
    assert str(replaced) == "! web-instance: web tier, controller, Flower (i-1), replaced"
    assert str(changed) == "~ queue of photos to do"


def test_only_a_new_or_replaced_web_instance_waits_for_the_buckets() -> None:
    def plan(action: str, **more: str) -> ChangeSet:
        return ChangeSet("arn", changes([described(action, "WebInstance", **more)]))

    assert plan("Add").adds("WebInstance")
    assert plan("Modify", Replacement="True").adds("WebInstance")
    assert not plan("Modify", Replacement="Conditional").adds("WebInstance")
    assert not plan("Remove").adds("WebInstance")
