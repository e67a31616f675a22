"""Metadata of a view for the OpenAPI description, beyond docstring and annotations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from facerec_tasks.storage import collections
from webapp.http.parameters import Parameter

Schema = dict[str, Any]
View = TypeVar("View", bound=Callable[..., Any])

ANY = (401, 403, 421, 429, 503)
READ = (*ANY, 400, 404, 500)
CHANGE = (*READ, 408, 409, 413, 415, 422, 504)
UPLOAD = (*ANY, 400, 408, 409, 410, 413, 415, 422, 500, 504, 507)

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
ID: Schema = {"type": "string", "format": "uuid"}
COLLECTION: Schema = {"type": "string", "pattern": f"^{collections.NAME.pattern}$"}
PHOTO: Schema = {"type": "string", "format": "binary"}


def photos(most: int, least: int = 1) -> Schema:
    """A field that may be there several times."""
    return {"type": "array", "items": PHOTO, "minItems": least, "maxItems": most}


@dataclass(frozen=True)
class Operation:
    """One operation of the API, whatever paths it is served at."""

    id: str
    problems: tuple[int, ...]
    """Statuses of the problems it may answer."""
    parameters: tuple[Parameter[Any], ...] = ()
    headers: tuple[tuple[str, str, str], ...] = ()
    """Name, description and pattern."""
    form: Schema | None = None
    """The fields of its form."""
    optional: tuple[str, ...] = ()
    """Those that may be missing."""
    is_raw: bool = False
    """The body may be the photo itself."""
    text: Schema | None = None
    """What is known of the answer as text."""
    has_task: bool = False
    """It tells a task's id in ``X-Task-ID``."""
    deprecated: bool = False

    def __call__(self, view: View) -> View:
        """Decorates the view that answers it."""
        view.__dict__["operation"] = self
        return view
