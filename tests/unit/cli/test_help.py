"""``--help``: every command is a sentence, and every option says what it does."""

from collections.abc import Iterator

import click
import pytest

from cli.main import NOUNS, main


def commands(command: click.Command, path: str = "facerec") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, f"{path} {name}")


EVERY = dict(commands(main))


@pytest.mark.parametrize("path", EVERY)
def test_help_is_a_sentence_and_names_what_options_do(path: str) -> None:
    command = EVERY[path]
    text = (command.help or "").strip()
    assert text[:1].isupper()
    assert text.partition("\n\n")[0].endswith(".")
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    assert [one.name for one in options if not one.help] == []


def test_first_level_help_is_a_sentence() -> None:
    assert [text for text in NOUNS.values() if not (text[0].isupper() and text.endswith("."))] == []
