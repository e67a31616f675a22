"""Prints expected failures of a command in one line instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import pydantic
from pydantic_core import ErrorDetails

from facerec_tasks.errors import FacerecError


@contextmanager
def friendly_errors(*others: type[Exception]) -> Iterator[None]:
    """Ends the command with one line for our own errors and those a command expects besides."""
    expected: tuple[type[Exception], ...] = (FacerecError, *others)
    try:
        yield
    except BrokenPipeError:  # click's own: the reader has gone
        raise
    except pydantic.ValidationError as error:
        faults = "; ".join(_told(fault) for fault in error.errors())
        raise click.ClickException(f"settings: {faults}") from error
    except expected as error:
        raise click.ClickException(str(error)) from error


class FriendlyGroup(click.Group):
    """A noun, each of whose commands may fail as it is expected to."""

    def __init__(
        self, *args: Any, expected: tuple[type[Exception], ...] = (), **kwargs: Any
    ) -> None:
        """``expected``: errors besides our own."""
        super().__init__(*args, **kwargs)
        self._expected = expected

    def invoke(self, ctx: click.Context) -> Any:
        with friendly_errors(*self._expected):
            return super().invoke(ctx)


def _told(fault: ErrorDetails) -> str:
    """A fault of the settings under the name it has in the environment."""
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:  # of several settings, which it names
        return message
    name = ".".join(map(str, fault["loc"]))
    return f"{name if name.isupper() else f'FACEREC_{name.upper()}'}: {message}"
