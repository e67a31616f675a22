"""``POST /`` with ``X-Amz-Target``: one operation of Rekognition, in its JSON 1.1.

https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
"""

import functools
import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from flask import Response, g, request

from facerec_tasks import logs
from facerec_tasks.settings import Settings
from facerec_tasks.storage.collections import DEFAULT
from webapp.http import errors, forms
from webapp.http.gate import REKOGNITION_TARGET
from webapp.http.worker_views import waiting
from webapp.rekognition import model
from webapp.rekognition.errors import CONTENT_TYPE, RekognitionError, of_problem
from webapp.rekognition.operations import Operations
from webapp.services.keys import ApiKey
from webapp.services.task_client import ClientGone, TaskClient

log = logging.getLogger(__name__)

IMAGES = ("Image", "SourceImage", "TargetImage")

Authorize = Callable[[str, bytes], ApiKey | None]
"""Scope and body: the key the request is signed with, None where none is needed. Raises
:class:`Problem`."""


@dataclass(frozen=True)
class RekognitionView:
    """All operations; the last word on who may ask is ``authorize``'s."""

    settings: Settings
    operations: Operations
    task_client: TaskClient
    authorize: Authorize

    def scope_of(self, target: str) -> str:
        """The scope a key needs; that of changes for an operation there is not."""
        found = self.operations.table().get(target.removeprefix(REKOGNITION_TARGET))
        return found[1] if found else "people:write"

    def or_else(self, view: Callable[[], Response]) -> Callable[[], Response]:
        """A view that answers Rekognition's requests, and leaves others to ``view``."""

        @functools.wraps(view)
        def either() -> Response:
            target = request.headers.get("X-Amz-Target", "")
            return self.answer() if target.startswith(REKOGNITION_TARGET) else view()

        return either

    def answer(self) -> Response:
        """The answer to this request, errors included."""
        try:
            return _shown(json.dumps(self._answered()).encode(), 200)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - told in the protocol the client speaks
            return refusal(error)

    def _answered(self) -> dict[str, Any]:
        with waiting(self.settings, self.task_client) as wait, ExitStack() as photos:
            with self.task_client.upload_slot():
                name, given = self._request()
                for member in given.keys() & set(IMAGES):
                    given[member] = photos.enter_context(self.operations.photo(given[member]))
            if collection := given.get("CollectionId"):
                wait = replace(wait, collection=collection)
            operation, _ = self.operations.table()[name]
            return operation(given, wait)

    def _request(self) -> tuple[str, dict[str, Any]]:
        """Name and checked parameters of the operation, of one who may ask for it."""
        name = request.headers.get("X-Amz-Target", "").removeprefix(REKOGNITION_TARGET)
        body = request.get_data(cache=False)
        key = self.authorize(self.scope_of(name), body)
        if name not in self.operations.table():
            raise RekognitionError("UnknownOperationException", f"{name[:100]} is not served here")
        given = model.parameters(name, _json(body))
        forms.drop_body()
        collection = given.get("CollectionId", DEFAULT)
        if key is not None and not key.reaches(collection):
            raise RekognitionError(
                "AccessDeniedException", f"this key is not good for collection {collection}"
            )
        return name, given


def refusal(error: Exception) -> Response:
    """An error as Rekognition's clients read it."""
    if not isinstance(error, RekognitionError):
        problem = errors.of_exception(error)
        g.outcome = problem.code
        error = of_problem(problem)
    response = _shown(error.body(), error.status)
    response.headers["x-amzn-ErrorType"] = error.code
    return response


def _json(body: bytes) -> Any:
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise RekognitionError("SerializationException", "the body is no JSON") from error


def _shown(body: bytes, status: int) -> Response:
    response = Response(body, status, content_type=CONTENT_TYPE)
    response.headers["x-amzn-RequestId"] = logs.request_id.get()
    return response
