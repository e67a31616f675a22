"""Settings that `facerec aws deploy` gives to machines: all that are documented, none that hide."""

import re
from pathlib import Path
from typing import get_origin

import pytest
from pydantic_settings import NoDecode

from ami_build.stack.cloudformation import TEMPLATE
from ami_build.stack.extra_settings import PARAMETER_OF, check, merged
from facerec_tasks.errors import ConfigurationError
from facerec_tasks.machine_settings import parse, settable
from facerec_tasks.settings import OTHER_VARIABLES, Settings
from tests.unit.ami_build.stack.resolved_template import ResolvedTemplate, load

TEMPLATE_ = load(TEMPLATE)
PATTERN = TEMPLATE_["Parameters"]["Settings"]["AllowedPattern"]
ROOT = Path(__file__).parents[4]
PAGES = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
NOT_ON_AWS = {
    *OTHER_VARIABLES,
    "FACEREC_TEST_ENDPOINT",  # of the tests
    "FACEREC_ID", "FACEREC_LOG_GROUP", "FACEREC_LAUNCH_TEMPLATE", "FACEREC_HOST",  # the stack's
    "FACEREC_ADMIN_HOST", "FACEREC_ADMIN_PORT",  # the image's
    "FACEREC_INSTANCE_TYPE", "FACEREC_INSTANCE_PROFILE", "FACEREC_LAUNCH_USER_DATA",  # the same
}  # fmt: skip
"""Documented variables that a deployed system has no use for, or has from elsewhere."""


def documented() -> dict[str, set[str]]:
    """Values that the documentation gives as examples, by setting."""
    text = "\n".join(page.read_text() for page in PAGES)
    found: dict[str, set[str]] = {name: set() for name in re.findall(r"FACEREC_[A-Z0-9_]+", text)}
    for name, value in re.findall(r"(FACEREC_[A-Z0-9_]+)=([^\s`;]+)", text):
        found[name].add(value)
    schedule = re.search(r"FACEREC_MIN_INSTANCES_SCHEDULE` \|.*?`([^`]+)`", text)
    assert schedule
    found["FACEREC_MIN_INSTANCES_SCHEDULE"].add(schedule[1])
    return found


@pytest.mark.parametrize("name", sorted(documented()))
def test_documented_setting_can_be_set_on_aws(name: str) -> None:
    assert settable(name) or name in NOT_ON_AWS
    for value in documented()[name] if settable(name) else ():
        needs = "FACEREC_FLEET_MODE=terminate " if name == "FACEREC_SPOT" else ""
        words = f"{needs}{name}={value}"
        assert re.fullmatch(PATTERN, words), f"the template refuses {words}"
        assert parse(words)[name] == value


def test_no_setting_needs_characters_that_a_parameter_cannot_hold() -> None:
    """A JSON list has quotes and spaces; every list can be written with commas instead."""
    lists = {
        name: field.metadata
        for name, field in Settings.model_fields.items()
        if get_origin(field.annotation) is tuple
    }
    assert len(lists) > 5
    assert [name for name, metadata in lists.items() if NoDecode not in metadata] == []


def test_settings_of_parameters_are_those_of_the_template() -> None:
    """A word per parameter, and the free ones last."""
    values = {parameter: f"<{parameter}>" for parameter in PARAMETER_OF.values()}
    resolved = ResolvedTemplate(TEMPLATE_, {"Id": "lab", **values, "Settings": "<Settings>"})
    *words, free = resolved.resources["MachineSettings"]["Value"].split()
    assert dict(word.split("=", 1) for word in words) == {
        name: values[parameter] for name, parameter in PARAMETER_OF.items()
    }
    assert free == "<Settings>"


@pytest.mark.parametrize("name", PARAMETER_OF)
def test_setting_with_an_option_is_refused_as_a_free_one(name: str) -> None:
    """It would hide the option for ever: `--max-instances` would change nothing."""
    with pytest.raises(ConfigurationError, match=f"{name} has an option"):
        merged("", [f"{name}=9"])
    assert merged(f"{name}=9 FACEREC_SLO=30", [f"{name}="]) == "FACEREC_SLO=30", "taken back"


@pytest.mark.parametrize(
    "word",
    ["FACEREC_PORT=8080", "FACEREC_ADMIN_PORT=9100", "FACEREC_REGION=eu-west-1",
     "FACEREC_ENDPOINT_URL=http://a", "FACEREC_INSTANCE_TYPE=t3.large",
     "FACEREC_LOCAL_PENDING=1"],
)  # fmt: skip
def test_setting_without_effect_on_aws_is_refused(word: str) -> None:
    with pytest.raises(ConfigurationError, match="no setting of a deployed system"):
        check({"Settings": word})


def test_settings_are_checked_together_with_the_options() -> None:
    """Machines would refuse all of them, and go on with what they had."""
    check({"MaxInstances": "30", "Settings": "FACEREC_MIN_INSTANCES=20"})
    with pytest.raises(ConfigurationError, match="MIN_INSTANCES must not be above"):
        check({"MaxInstances": "3", "Settings": "FACEREC_MIN_INSTANCES=5"})
