"""Faces of photos that are not kept: detect, embed, compare, search."""

from contextlib import ExitStack
from functools import partial

from facerec_tasks.storage.collections import DEFAULT
from webapp.http import forms
from webapp.http.operation import PHOTO, UPLOAD, Operation, photos
from webapp.http.parameters import real, whole
from webapp.http.responses import Rendered
from webapp.http.schemas import Compared, Detected, Embedded, Searched
from webapp.http.worker_views import WorkerViews

LIMIT = whole("limit", "Candidates of each face.", 3, 1, 10)
THRESHOLD = real("threshold", "Largest distance of a candidate.", 4.0)
QUALITY = real("quality", "Least sharpness of a face that is searched for.", 100.0)
_PROBLEMS = (*UPLOAD, 404)
_one_photo = partial(Operation, problems=_PROBLEMS, form={forms.FIELD: PHOTO}, is_raw=True)


class FacesV1(WorkerViews):
    """The views of faces."""

    @_one_photo("search", parameters=(LIMIT, THRESHOLD, QUALITY))
    def search(self, collection: str = DEFAULT) -> Rendered[Searched]:
        """``POST /v1/search?limit=&threshold=&quality=``: who is on this photo, with candidates?"""
        limit, threshold, quality = LIMIT(), THRESHOLD(), QUALITY() or 0.0
        with self._waiting(collection) as wait, self._photo() as photo:
            found = self.workers.search(photo, limit, threshold, quality, wait)
        return Rendered(found, "".join(f"{face['name']}\n" for face in found["faces"]))

    @_one_photo("detect")
    def detect(self) -> Rendered[Detected]:
        """``POST /v1/detect``: the faces of a photo; nothing is kept."""
        with self._waiting() as wait, self._photo() as photo:
            found = self.workers.detect(photo, wait)
        return Rendered(found, f"{len(found['faces'])} faces\n")

    @_one_photo("embed")
    def embed(self) -> Rendered[Embedded]:
        """``POST /v1/embed``: the faces of a photo with their embeddings."""
        with self._waiting() as wait, self._photo() as photo:
            found = self.workers.embed(photo, wait)
        return Rendered(found, "".join(f"{face['embedding']}\n" for face in found["faces"]))

    @Operation("compare", _PROBLEMS, form={forms.FIELD: photos(2, 2)})
    def compare(self) -> Rendered[Compared]:
        """``POST /v1/compare``: is the largest face of the first photo on the second?

        A face of the second within ``threshold`` is one person's with it.
        """
        with self._waiting() as wait, ExitStack() as uploads:
            with self.task_client.upload_slot():
                source, target = (
                    uploads.enter_context(self.workers.uploaded(photo.data))
                    for photo in forms.photos(2, self.settings.max_upload_bytes, least=2)
                )
            found = self.workers.compare(source, target, wait)
        same = [face["distance"] <= found["threshold"] for face in found["target"]["faces"]]
        found["outcome"] = "same" if any(same) else "different" if same else "no-face"
        return Rendered(found, found["outcome"])
