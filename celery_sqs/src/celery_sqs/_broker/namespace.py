"""The default of the option ``namespace``: the name of the Celery application."""

import re
from collections.abc import Mapping
from typing import Any

from celery import _state

from celery_sqs.errors import InvalidOptions

SCRIPT = "__main__"
"""Celery's name for an application that was given none."""


def default_namespace(given: Mapping[str, Any]) -> dict[str, str]:
    """Of the application whose connection this is; nothing when it has one or no name.

    A connection does not know its application, so with several in a process, none of which has a
    namespace, :class:`.errors.InvalidOptions` is raised: their control queues would mix.
    """
    if given.get("namespace"):
        return {}
    unnamed = [app for app in _state._get_active_apps() if _is_unnamed(app)]
    apps = [app for app in unnamed if not _is_fallback(app)] or unnamed
    names = {_legal(app.main) for app in apps}
    if len(names) > 1:
        raise InvalidOptions(
            f"broker_transport_options: namespace is missing, and it cannot be derived, since this "
            f"process has several applications: {', '.join(sorted(names))}"
        )
    return {"namespace": names.pop()} if names else {}


def _is_unnamed(app: Any) -> bool:
    """Whether an application uses this transport without a namespace, and has a name."""
    return (
        bool(app.main)
        and app.main != SCRIPT
        and app.configured
        and str(app.conf.broker_transport).startswith("celery_sqs")
        and not (app.conf.broker_transport_options or {}).get("namespace")
    )


def _is_fallback(app: Any) -> bool:
    """Celery's own, made when there is no current application; it reads ``celeryconfig.py``."""
    return app.main == "default" and not app.fixups


def _legal(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)
