"""Errors of weights and galleries that come from outside."""

from typing import NoReturn


class CheckpointError(ValueError):
    """Raised for a file that is not what it should be: foreign, cut short or hostile. Says why."""


def refuse(reason: str) -> NoReturn:
    """Raises :class:`CheckpointError`."""
    raise CheckpointError(reason)
