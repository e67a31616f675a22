"""Photos and videos over HTTP: parses requests and calls the recognition service."""

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from flask import Response, g, request
from werkzeug.datastructures import FileStorage

from facerec_tasks import logs
from facerec_tasks.settings import Settings
from webapp.http import errors, forms
from webapp.http.errors import Problem
from webapp.http.rendering import document, render, show, url_prefix
from webapp.services.recognition import Accepted, AnsweredAlready, RecognitionService
from webapp.services.task_client import ClientGone, TaskClient

NDJSON = "application/x-ndjson"
_TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PICTURE = re.compile(r"([0-9]{1,4}|sheet)\.jpg")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_PENDING = {"Retry-After": "2"}


@dataclass(frozen=True)
class _FormPhoto:
    """One photo of several: accepted, or already refused."""

    index: int
    accepted: Accepted | None = None
    problem: Problem | None = None


class PhotoViews:
    """The views of photos and of their results."""

    def __init__(
        self, settings: Settings, recognition: RecognitionService, task_client: TaskClient
    ) -> None:
        self._settings = settings
        self._recognition = recognition
        self._task_client = task_client

    def recognize(self) -> Response:
        """``POST /``: the photo in the field ``inputFile``; answers who is on it.

        ``?candidates=k`` lists the k nearest people of each face; ``?wait=0`` answers 202 with the
        address of the result. Several photos are answered in lines of JSON, each as soon as it is
        known.
        """
        deadline = time.monotonic() + self._settings.answer_timeout
        wait, candidates = forms.flag("wait", default=True), forms.candidates()
        if self._task_client.refuses_work:
            raise errors.retry_later("stopping", "this process stops; try again")
        with ExitStack() as places:
            places.enter_context(self._task_client.admission_slot())
            with self._recognition.upload_slot():
                files = forms.files(self._settings.max_files)
                if len(files) > 1:
                    return self._many(files, wait, deadline, places, candidates)
                accepted = self._accept(files[0], _idempotency_key())
                forms.drop_body()
            g.task_id = accepted.task_id
            if wait:
                answer = self._recognition.wait(accepted, deadline, forms.client_gone())
                return show(answer, candidates)
        return self._pending(accepted)

    def result(self, task_id: str) -> Response:
        """``GET /results/<id>``: the answer on record; 202 while it is to come.

        404 for an id this system gave to nobody: ids are given with 202, 504 and in answers. While
        another process waits for the task, its id is not known here yet.
        """
        if not _TASK_ID.fullmatch(task_id):
            raise Problem("result-unknown", "not the id of a task")
        candidates = forms.candidates()
        g.task_id = task_id
        answer = self._recognition.result(task_id)
        if answer is not None:
            return show(answer, candidates)
        if self._recognition.expects(task_id):
            return _not_yet(task_id, self._recognition.progress(task_id))
        raise _unknown()

    def cancel(self, task_id: str) -> Response:
        """``DELETE /results/<id>``: nobody wants the answer any more.

        A video that is looked at ends within seconds; an answer that is there stays: 409.
        """
        if not _TASK_ID.fullmatch(task_id):
            raise _unknown()
        g.task_id = task_id
        try:
            if not self._recognition.cancel(task_id):
                raise _unknown()
        except AnsweredAlready as error:
            raise Problem("answered-already", "there is an answer already") from error
        return render({"task_id": task_id, "outcome": "cancelled"}, "cancelled")

    def picture(self, task_id: str, picture: str) -> Response:
        """``GET /results/<id>/<n>.jpg`` and ``/sheet.jpg``: who is seen in a video."""
        if not _TASK_ID.fullmatch(task_id) or not _PICTURE.fullmatch(picture):
            raise _unknown()
        found = self._recognition.picture(task_id, picture)
        if found is None:
            raise _unknown()
        return Response(found, content_type="image/jpeg")

    # One photo

    def _accept(self, file: FileStorage, idempotency_key: str | None) -> Accepted:
        settings = self._settings
        upload = forms.read_any(file, settings.max_upload_bytes, settings.max_video_upload_bytes)
        return self._recognition.accept(upload, idempotency_key)

    def _pending(self, accepted: Accepted) -> Response:
        self._recognition.leave(accepted)
        return _not_yet(accepted.task_id)

    # Several

    def _many(
        self,
        files: list[FileStorage],
        wait: bool,
        deadline: float,
        places: ExitStack,
        candidates: int,
    ) -> Response:
        """Takes a place for each photo, stores all, and answers while the answers come."""
        for _ in files[1:]:
            places.enter_context(self._task_client.admission_slot())
        turns = [self._turn(*one) for one in enumerate(files)]
        forms.drop_body()
        lines = self._lines(turns, wait, deadline, forms.client_gone(), candidates)
        response = Response(lines, content_type=NDJSON, headers={"X-Accel-Buffering": "no"})
        # Kept until the response is closed, also when the client leaves before it begins.
        response.call_on_close(places.pop_all().close)
        return response

    def _turn(self, index: int, file: FileStorage) -> _FormPhoto:
        key = _idempotency_key()
        try:
            return _FormPhoto(index, self._accept(file, f"{key}/{index}" if key else None))
        except Exception as error:  # noqa: BLE001 - one photo's fault, or ours, is not the others'
            return _FormPhoto(index, problem=errors.of_exception(error) or errors.internal(error))

    def _lines(
        self,
        turns: list[_FormPhoto],
        wait: bool,
        deadline: float,
        gone: Callable[[], bool],
        candidates: int,
    ) -> Iterator[bytes]:
        def answer(turn: _FormPhoto) -> dict[str, Any]:
            return self._line(turn, wait, deadline, gone, candidates)

        with ThreadPoolExecutor(len(turns)) as pool:
            lines = [pool.submit(copy_context().run, answer, turn) for turn in turns]
            for done in as_completed(lines):
                yield json.dumps(done.result(), separators=(",", ":")).encode() + b"\n"

    def _line(
        self,
        turn: _FormPhoto,
        wait: bool,
        deadline: float,
        gone: Callable[[], bool],
        candidates: int,
    ) -> dict[str, Any]:
        try:
            return {"index": turn.index, **self._answered(turn, wait, deadline, gone, candidates)}
        except ClientGone:
            return {}
        except Exception as error:  # noqa: BLE001 - as above
            found = errors.of_exception(error) or errors.internal(error)
            return {"index": turn.index, **found.document(logs.request_id.get())}

    def _answered(
        self,
        turn: _FormPhoto,
        wait: bool,
        deadline: float,
        gone: Callable[[], bool],
        candidates: int,
    ) -> dict[str, Any]:
        if turn.problem or turn.accepted is None:
            raise turn.problem or Problem("internal", "neither accepted nor refused")
        if not wait:
            self._recognition.leave(turn.accepted)
            return _pending_document(turn.accepted.task_id)
        answer = self._recognition.wait(turn.accepted, deadline, gone)
        refusal = errors.of_answer(answer)
        if refusal is not None:
            raise refusal
        return document(answer, candidates)


def _unknown() -> Problem:
    return Problem("result-unknown", "no such result")


def _not_yet(task_id: str, progress: dict[str, Any] | None = None) -> Response:
    where = _where(task_id)
    body = {**(progress or {}), **_pending_document(task_id)}
    response = render(body, f"pending: {where}", status=202)
    response.headers.update({"Location": where, **_PENDING})
    return response


def _pending_document(task_id: str) -> dict[str, Any]:
    return {"task_id": task_id, "outcome": "pending", "result": _where(task_id)}


def _where(task_id: str) -> str:
    """Address of a result, below the prefix of the proxy."""
    return f"{url_prefix.get()}/results/{task_id}"


def _idempotency_key() -> str | None:
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(given):
        raise Problem("bad-request", "Idempotency-Key: 1 to 200 visible ASCII characters")
    return f"{g.client}:{given}"
