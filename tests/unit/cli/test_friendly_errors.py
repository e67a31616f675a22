"""Expected failures of a command are one line."""

import click
import pytest

from cli.friendly_errors import friendly_errors
from facerec_tasks.settings import Settings


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"FACEREC_ID": "Bad_ID"}, "settings: FACEREC_ID: String should match"),
        ({"PORT": "no"}, "settings: PORT: Input should be a valid integer"),
        (
            {"FACEREC_TASK_TIME_LIMIT": "500"},
            "settings: FACEREC_TASK_TIME_LIMIT must be below FACEREC_ANSWER_TIMEOUT",
        ),
    ],
)
def test_invalid_setting_is_named_by_its_environment_variable(
    environment: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(click.ClickException) as told, friendly_errors():
        Settings()
    assert told.value.message.startswith(line)
