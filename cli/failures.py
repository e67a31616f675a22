"""Expected failures of a command, told in one line instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
import pydantic

from facerec_tasks.errors import FacerecError


@contextmanager
def told_plainly(*others: type[Exception]) -> Iterator[None]:
    """Ends the command with one line for our own errors and those a command expects besides."""
    expected: tuple[type[Exception], ...] = (FacerecError, *others)
    try:
        yield
    except pydantic.ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors())
        raise click.ClickException(f"settings: {faults}") from error
    except expected as error:
        raise click.ClickException(str(error)) from error
