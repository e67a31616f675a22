"""PeopleViews over HTTP: who is known, enrol, rename, forget, verify."""

import time

from flask import Response, request

from facerec_tasks.settings import Settings
from webapp.http import forms
from webapp.http.errors import Problem, retry_later
from webapp.http.rendering import render
from webapp.http.uploads import Upload, sniff
from webapp.services.people import PeopleService
from webapp.services.recognition import RecognitionService
from webapp.services.task_client import TaskClient

MAX_PHOTOS = 20
"""Photos of one enrolment: more would not be looked at within a task's time limit."""
MAX_NAME_BYTES = 400
"""Bytes of UTF-8 in a name; it travels in a message of at most 1024 bytes."""


class PeopleViews:
    """The views of people."""

    def __init__(
        self,
        settings: Settings,
        people_service: PeopleService,
        recognition: RecognitionService,
        task_client: TaskClient,
    ) -> None:
        self._settings = settings
        self._people_service = people_service
        self._recognition = recognition
        self._task_client = task_client

    def listing(self) -> Response:
        """``GET /people``: everybody, with the number of photos."""
        known = self._people_service.people()
        body = {"people": [{"name": name, "photos": count} for name, count in known.items()]}
        return render(body, "".join(f"{name}\t{count}\n" for name, count in known.items()))

    def enrol(self) -> Response:
        """``POST /people``: fields ``name`` and one or more ``inputFile``. ``?force=1`` also takes
        small, blurred and look-alike faces."""
        deadline = self._deadline()
        strict = not forms.flag("force", default=False)
        with self._task_client.admission_slot():
            with self._recognition.upload_slot():
                name = _checked(request.form.get("name", ""))
                photos = self._photos(MAX_PHOTOS)
            gone = forms.client_gone()
            done = self._people_service.enrol(name, photos, strict, deadline, gone)
        text = f"{done['name']}: {done['enrolled']} photos enrolled, {len(done['refused'])} not\n"
        return render(done, text, status=201)

    def forget(self, name: str) -> Response:
        """``DELETE /people/<name>``: embeddings, photos, and every old version of both."""
        deadline = self._deadline()
        with self._task_client.admission_slot():
            self._people_service.forget(_checked(name), deadline, forms.client_gone())
        return Response(status=204)

    def rename(self, name: str) -> Response:
        """``PATCH /people/<name>``: field ``name`` is the new one."""
        deadline = self._deadline()
        with self._task_client.admission_slot():
            new = _checked(request.form.get("name", ""))
            gone = forms.client_gone()
            done = self._people_service.rename(_checked(name), new, deadline, gone)
        return render(done, f"{done['name']}\n")

    def photo(self, name: str, number: int) -> Response:
        """``GET /people/<name>/photos/<n>``: a photo they were enrolled from, n from 0."""
        data = self._people_service.photo(_checked(name), number)
        return Response(data, content_type=sniff(data) or "application/octet-stream")

    def verify(self, name: str) -> Response:
        """``POST /people/<name>/verify``: whether that person is the largest face of a photo."""
        deadline = self._deadline()
        with self._task_client.admission_slot():
            with self._recognition.upload_slot():
                (photo,) = self._photos(1)
            gone = forms.client_gone()
            found = self._people_service.verify(_checked(name), photo, deadline, gone)
        return render(found, str(found["outcome"]))

    def _deadline(self) -> float:
        if self._task_client.stopping:
            raise retry_later("stopping", "this process stops; try again")
        return time.monotonic() + self._settings.answer_timeout

    def _photos(self, most: int) -> list[Upload]:
        files = forms.files(most)
        photos = [forms.read(file, self._settings.max_upload_bytes) for file in files]
        forms.drop_body()
        return photos


def _checked(name: str) -> str:
    if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
        raise Problem("bad-name", f"a name has 1 to {MAX_NAME_BYTES} bytes")
    return name
