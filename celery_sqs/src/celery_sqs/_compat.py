"""The versions of celery and kombu that the compat suite runs against, compared at import."""

import warnings
from importlib.metadata import PackageNotFoundError, version

TESTED = {"celery": ((5, 6), (5, 8)), "kombu": ((5, 7), (5, 8))}
"""Of each project: first minor version that is tested, and the first that is not any more. The
same range stands in ``pyproject.toml``; ``make compat`` runs the suite in each. kombu 5.6 is not
in it: its SQS transport has no fanout, and its event loop is not woken from other threads."""


def warn_if_untested() -> None:
    """Warns once for each project whose installed version is outside the range."""
    for project, (first, beyond) in TESTED.items():
        try:
            installed = version(project)
        except PackageNotFoundError:
            continue  # importing it says so better
        if not first <= minor_version(installed) < beyond:
            warnings.warn(
                f"celery_sqs is tested with {project} {_dotted(first)} to before {_dotted(beyond)},"
                f" and {installed} is installed: it relies on internals that may have changed",
                RuntimeWarning,
                stacklevel=3,
            )


def minor_version(text: str) -> tuple[int, int]:
    """``(5, 6)`` of ``5.6.0rc1``."""
    major, minor, *_ = text.split(".")
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def _dotted(parts: tuple[int, int]) -> str:
    return f"{parts[0]}.{parts[1]}"
