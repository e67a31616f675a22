"""Photos and videos over HTTP: parses requests and calls the recognition service."""

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, cast

from flask import g, request
from werkzeug.datastructures import FileStorage

from facerec_tasks import logs
from facerec_tasks.settings import Settings
from webapp.http import errors, forms
from webapp.http.errors import Problem
from webapp.http.operation import ANY, READ, UPLOAD, Operation, photos
from webapp.http.parameters import CANDIDATES_OF_FACE, flag
from webapp.http.rendering import document, show, url_prefix
from webapp.http.responses import AcceptedResponse, JpegBody, LinesBody, Rendered
from webapp.http.schemas import TASK_ID, AnswerDocument, Cancelled, Pending
from webapp.http.worker_views import waiting
from webapp.services.recognition import Accepted, RecognitionService
from webapp.services.task_client import ClientGone, TaskClient, Wait

WAIT = flag("wait", "0: answer 202 at once, with the address of the result.", default=True)
_TASK_ID = re.compile(TASK_ID)
PICTURE = re.compile(r"([0-9]{1,4}|sheet)\.jpg")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_IDEMPOTENCY_HEADER = (
    "Idempotency-Key",
    "The same key with the same photo is one photo.",
    f"^{_IDEMPOTENCY_KEY.pattern}$",
)
_RETRY_AFTER = "2"
_SOME = (*ANY, 404, 500)


@dataclass(frozen=True)
class PhotoViews:
    """The views of photos and of their results."""

    settings: Settings
    recognition: RecognitionService
    task_client: TaskClient

    @Operation(
        "recognize",
        UPLOAD,
        parameters=(WAIT, CANDIDATES_OF_FACE),
        headers=(_IDEMPOTENCY_HEADER,),
        form={forms.FIELD: photos(100)},
        text={"type": "string", "pattern": "^.+:.+$"},
        has_task=True,
    )
    def recognize(self) -> Rendered[AnswerDocument] | LinesBody | AcceptedResponse[Pending]:
        """``POST /``: who is on this photo, or in this video?

        A video that takes longer than the request waits is answered 504 with the id of its result.
        Several photos are answered in lines of JSON, each as soon as it is known.
        """
        is_awaited, candidates = WAIT(), CANDIDATES_OF_FACE()
        with ExitStack() as places:
            wait = places.enter_context(waiting(self.settings, self.task_client))
            with self.task_client.upload_slot():
                files = forms.files(self.settings.max_files)
                if len(files) > 1:
                    return self._many(files, wait if is_awaited else None, places, candidates)
                accepted = self._accept(files[0], _idempotency_key())
                forms.drop_body()
            g.task_id = accepted.task_id
            if is_awaited:
                return show(self.recognition.wait(accepted, wait), candidates)
        self.recognition.leave(accepted)
        return _not_yet(accepted.task_id)

    @Operation("result", (*READ, 410, 415, 422), parameters=(CANDIDATES_OF_FACE,), has_task=True)
    def result(self, task_id: str) -> Rendered[AnswerDocument] | AcceptedResponse[Pending]:
        """``GET /results/<id>``: the answer of a task; 202 while it is to come.

        404 for an id this system gave to nobody: ids are given with 202, 504 and in answers. While
        another process waits for the task, its id is not known here yet.
        """
        if not _TASK_ID.fullmatch(task_id):
            raise Problem("result-unknown", "not the id of a task")
        candidates = CANDIDATES_OF_FACE()
        g.task_id = task_id
        answer = self.recognition.result(task_id)
        if answer is not None:
            return show(answer, candidates)
        if self.recognition.expects(task_id):
            return _not_yet(task_id, self.recognition.progress(task_id))
        raise _unknown()

    @Operation("cancel", (*_SOME, 409), text={"const": "cancelled"}, has_task=True)
    def cancel(self, task_id: str) -> Rendered[Cancelled]:
        """``DELETE /results/<id>``: cancel a task that has no answer yet.

        The analysis of a video stops within seconds. An answer that is there stays: 409.
        """
        if not _TASK_ID.fullmatch(task_id):
            raise _unknown()
        g.task_id = task_id
        self.recognition.cancel(task_id)
        return Rendered({"task_id": task_id, "outcome": "cancelled"}, "cancelled")

    @Operation("picture", _SOME)
    def picture(self, task_id: str, picture: str) -> JpegBody:
        """``GET /results/<id>/<n>.jpg`` and ``/sheet.jpg``: somebody in a video, or everybody."""
        if not _TASK_ID.fullmatch(task_id) or not PICTURE.fullmatch(picture):
            raise _unknown()
        found = self.recognition.picture(task_id, picture)
        if found is None:
            raise _unknown()
        return JpegBody(found)

    # One photo

    def _accept(self, file: FileStorage, idempotency_key: str | None) -> Accepted:
        settings = self.settings
        upload = forms.read_any(file, settings.max_upload_bytes, settings.max_video_upload_bytes)
        return self.recognition.accept(upload, idempotency_key)

    # Several

    def _many(
        self, files: list[FileStorage], wait: Wait | None, places: ExitStack, candidates: int
    ) -> LinesBody:
        """Takes a place for each photo, stores all, and answers while the answers come, or at once
        without ``wait``."""
        for _ in files[1:]:
            places.enter_context(self.task_client.admission_slot())
        key = _idempotency_key()
        photos = [
            self._accept_one(file, f"{key}/{index}" if key else None)
            for index, file in enumerate(files)
        ]
        forms.drop_body()
        response = LinesBody(
            self._lines(photos, wait, candidates), headers={"X-Accel-Buffering": "no"}
        )
        # Kept until the response is closed, also when the client leaves before it begins.
        response.call_on_close(places.pop_all().close)
        return response

    def _accept_one(self, file: FileStorage, idempotency_key: str | None) -> Accepted | Problem:
        try:
            return self._accept(file, idempotency_key)
        except Exception as error:  # noqa: BLE001 - one photo's fault, or ours, is not the others'
            return errors.of_exception(error)

    def _lines(
        self, photos: list[Accepted | Problem], wait: Wait | None, candidates: int
    ) -> Iterator[bytes]:
        def line(index: int, photo: Accepted | Problem) -> bytes:
            found = {"index": index, **self._answer(photo, wait, candidates)}
            return json.dumps(found, separators=(",", ":")).encode() + b"\n"

        with ThreadPoolExecutor(len(photos)) as pool:
            lines = [
                pool.submit(copy_context().run, line, index, photo)
                for index, photo in enumerate(photos)
            ]
            for done in as_completed(lines):
                yield done.result()

    def _answer(
        self, photo: Accepted | Problem, wait: Wait | None, candidates: int
    ) -> Mapping[str, object]:
        try:
            if isinstance(photo, Problem):
                raise photo
            if wait is None:
                self.recognition.leave(photo)
                return _pending_document(photo.task_id)
            answer = self.recognition.wait(photo, wait)
            return document(answer, candidates)
        except ClientGone:
            return {}
        except Exception as error:  # noqa: BLE001 - as above
            return errors.of_exception(error).document(logs.request_id.get())


def _unknown() -> Problem:
    return Problem("result-unknown", "no such result")


def _not_yet(task_id: str, progress: dict[str, Any] | None = None) -> AcceptedResponse[Pending]:
    where = _where(task_id)
    body = cast(Pending, {**(progress or {}), **_pending_document(task_id)})
    response = AcceptedResponse(body, f"pending: {where}")
    response.headers.update({"Location": where, "Retry-After": _RETRY_AFTER})
    return response


def _pending_document(task_id: str) -> Pending:
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
