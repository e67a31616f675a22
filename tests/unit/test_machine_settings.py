"""Settings of the stack, written for each role of a machine."""

from pathlib import Path

import pytest

from facerec_tasks import machine_settings
from facerec_tasks.errors import ConfigurationError
from facerec_tasks.machine_settings import environment_of, parse, write

TEXT = "FACEREC_MAX_INSTANCES=3 FACEREC_SCALING_PROFILE=slo FACEREC_VISIBILITY_TIMEOUT=30 "


def test_each_role_gets_its_settings_and_those_of_all() -> None:
    found = parse(TEXT)
    assert environment_of("worker", found) == "FACEREC_VISIBILITY_TIMEOUT=30\n"
    assert "FACEREC_MAX_INSTANCES=3\n" in environment_of("controller", found)


def test_only_the_files_of_roles_whose_settings_changed_are_written(tmp_path: Path) -> None:
    assert write(tmp_path, parse(TEXT)) == list(machine_settings.ROLES)
    assert write(tmp_path, parse(TEXT)) == []
    assert write(tmp_path, parse(TEXT.replace("=3 ", "=5 "))) == ["controller"]
    assert write(tmp_path, parse(TEXT + "FACEREC_TASK_TIME_LIMIT=50")) == list(
        machine_settings.ROLES
    )
    assert {path.name for path in tmp_path.iterdir()} == set(machine_settings.ROLES)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("FACEREC_SLO", "is not FACEREC_NAME=value"),
        ("PATH=/tmp", "is not FACEREC_NAME=value"),
        ("FACEREC_NO_SUCH=1", "FACEREC_NO_SUCH is no setting"),
        ("FACEREC_ID=other", "FACEREC_ID is no setting"),
        ("FACEREC_SLO=fast", "FACEREC_SLO: .*number"),
        ("FACEREC_SPOT=true", "FACEREC_FLEET_MODE=terminate"),
        ('FACEREC_SLO="30"', "is not FACEREC_NAME=value"),
    ],
)
def test_machine_settings_refuse_an_invalid_value_unwritten(text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        parse(text)


def test_every_setting_of_a_role_exists() -> None:
    for name in (*machine_settings.ROLES_OF, *machine_settings.OF_THE_MACHINE):
        assert name.removeprefix("FACEREC_").lower() in machine_settings.Settings.model_fields
