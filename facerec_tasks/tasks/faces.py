"""Tasks about faces: detect, embed, compare, search, and index into a collection.

They read photos and give numbers back; only :func:`index` stores anything. Coordinates are pixels
of the upright photo.
"""

from collections.abc import Sequence

import numpy as np

from facerec_tasks.recognition.detection.detector import Detection
from facerec_tasks.recognition.embedding.metrics import encoded
from facerec_tasks.recognition.gallery import edits
from facerec_tasks.recognition.gallery.enrollment import (
    Enroller,
    Reason,
    Refused,
    Sample,
    cropped,
    sharpness,
)
from facerec_tasks.recognition.gallery.face_search import FaceMatch, nearest_faces, similarity
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.identifiers import new_id
from facerec_tasks.recognition.gallery.person_name import checked_name
from facerec_tasks.recognition.recognizer import DetectedFaces
from facerec_tasks.storage.collections import DEFAULT
from facerec_tasks.storage.people import People
from facerec_tasks.tasks.engine_task import PhotoSource, Value, engine_task, photo_of
from facerec_tasks.tasks.worker_context import engine, state

SHARP = 0.08
""":func:`.sharpness` of a face that gets 100: news photos have half of that and more."""


@engine_task
def detect(photo: PhotoSource) -> Value:
    """The faces of a photo; nothing is stored."""
    return _seen(engine().current().detect_and_embed(photo_of(photo)))


@engine_task
def embed(photo: PhotoSource, collection: str = DEFAULT) -> Value:
    """The faces of a photo with their embeddings, base64 of little-endian float32."""
    recognizer = engine().current(collection)
    seen = recognizer.detect_and_embed(photo_of(photo))
    found = _seen(seen)
    for face, row in zip(found["faces"], seen.embeddings, strict=True):
        face["embedding"] = encoded(row)
    gallery = recognizer.gallery
    return {**found, "engine": gallery.engine, "precision": gallery.precision}


@engine_task
def compare(source: PhotoSource, target: PhotoSource, collection: str = DEFAULT) -> Value:
    """How like the largest face of one photo the faces of another are; nothing is stored."""
    recognizer = engine().current(collection)
    one = recognizer.detect_and_embed(photo_of(source))
    if not one.detections:
        return {"code": "no-face", "detail": "there is no face on the first photo"}
    other = recognizer.detect_and_embed(photo_of(target))
    found = _seen(other)
    for face, row in zip(found["faces"], other.embeddings, strict=True):
        distance = float(np.linalg.norm(row.astype(np.float64) - one.embeddings[0]))
        face["distance"] = round(distance, 4)
        face["similarity"] = similarity(recognizer.gallery, distance)
    threshold = recognizer.gallery.verification_threshold
    return {"source": _seen(one), "target": found, "threshold": threshold}


@engine_task
def search(
    photo: PhotoSource,
    collection: str,
    limit: int,
    threshold: float | None,
    quality: float = 0.0,
) -> Value:
    """Who the faces of a photo are: of each the nearest people, by the gallery's rule.

    ``threshold`` is a distance; candidates farther away are left out. Faces less sharp than
    ``quality``, 0 to 100, are not searched for and get a ``reason``.
    """
    recognizer = engine().current(collection)
    seen = recognizer.detect_and_embed(photo_of(photo))
    found = _seen(seen)
    matches = recognizer.gallery.search(seen.embeddings, limit) if seen.detections else []
    for face, match in zip(found["faces"], matches, strict=True):
        if face["quality"]["sharpness"] < quality:
            face.update(name="unknown", candidates=[], reason=str(Reason.BLURRED))
            continue
        face["name"] = match.name or "unknown"
        face["person_id"] = match.person_id
        face["confidence"] = match.confidence
        face["candidates"] = [
            {
                "person_id": candidate.person_id,
                "name": candidate.name,
                "distance": round(candidate.distance, 4),
                "similarity": candidate.similarity,
                "confidence": candidate.confidence,
            }
            for candidate in match.candidates[:limit]
            if threshold is None or candidate.distance <= threshold
        ]
    return found


@engine_task
def search_faces(photo: PhotoSource, collection: str, limit: int, least_similarity: float) -> Value:
    """The enrolled faces most like the largest one of a photo."""
    recognizer = engine().current(collection)
    seen = recognizer.detect_and_embed(photo_of(photo))
    found = _seen(seen)
    if seen.detections:
        matches = nearest_faces(recognizer.gallery, seen.embeddings[0], limit, least_similarity)
        found["matches"] = [_matched(match) for match in matches]
    return found


@engine_task
def search_by_face(face: str, collection: str, limit: int, least_similarity: float) -> Value:
    """The enrolled faces most like another enrolled one, which is left out."""
    gallery = engine().current(collection).gallery
    (row,) = edits.rows_of(gallery, [face])
    matches = nearest_faces(gallery, gallery.embeddings[row], limit + 1, least_similarity)
    others = [match for match in matches if match.face.id != face]
    return {"matches": [_matched(match) for match in others[:limit]]}


@engine_task
def index(
    photo: PhotoSource, collection: str, name: str, max_faces: int | None, strict: bool
) -> Value:
    """Enrolls the faces of a photo, the largest first; says which were not taken, and why.

    A face joins the person of that name it is like; otherwise it is a new person, called
    ``name``, or by an id without one. The same photo under the same name adds nothing.
    """
    people, source = People(state(), collection), engine().source_of(collection)
    source.refresh()
    recognizer, data = engine().current(collection), photo_of(photo)
    seen = recognizer.detect_and_embed(data)
    found, samples = _seen(seen), Enroller(recognizer).samples(data, seen, strict=strict)
    chosen = _chosen(found["faces"], samples, max_faces)
    indexing = _Indexing(people.gallery(), name)
    owners = [indexing.person_for(sample) for _, sample in chosen]
    wanted: dict[str, list[Sample]] = {}
    for owner, (_, sample) in zip(owners, chosen, strict=True):
        wanted.setdefault(owner, []).append(sample)
    now = people.add(wanted, indexing.new)
    source.refresh()
    for owner, (face, sample) in zip(owners, chosen, strict=True):
        face.update(_enrolled(now, owner, sample))
    return found


def _chosen(
    faces: Sequence[Value], samples: Sequence[Sample | Refused], max_faces: int | None
) -> list[tuple[Value, Sample]]:
    """The faces to enroll; the others get a ``reason``."""
    chosen: list[tuple[Value, Sample]] = []
    for face, sample in zip(faces, samples, strict=True):
        if isinstance(sample, Refused):
            face["reason"] = str(sample.reason)
        elif max_faces is not None and len(chosen) >= max_faces:
            face["reason"] = "exceeds-max-faces"
        else:
            chosen.append((face, sample))
    return chosen


class _Indexing:
    """Whose the faces of one photo are, one person each."""

    def __init__(self, gallery: Gallery, name: str) -> None:
        self._gallery = gallery
        self._name = checked_name(name) if name else ""
        self.new: dict[str, str] = {}
        """Names of the people to be made, by id."""
        self._taken: set[str] = set()

    def person_for(self, sample: Sample) -> str:
        """Id of a person, there already or to be made."""
        person = self._owner(sample) or self._alike(sample)
        if person is None:
            person = new_id()
            self.new[person] = self._name or person
        self._taken.add(person)
        return person

    def _people(self) -> list[str]:
        """Those of the name; of no name those who are called by their id."""
        return [
            id_
            for id_, name in zip(self._gallery.ids, self._gallery.names, strict=True)
            if name == (self._name or id_) and id_ not in self._taken
        ]

    def _owner(self, sample: Sample) -> str | None:
        """Who has this face of this photo."""
        mine = set(self._people())
        for row, face in enumerate(self._gallery.faces):
            owner: str = self._gallery.ids[self._gallery.person_index[row]]
            same = face.photo.startswith(sample.digest) and face.box == sample.box
            if same and owner in mine:
                return owner
        return None

    def _alike(self, sample: Sample) -> str | None:
        """The nearest of the people of the name, if the face may be theirs."""
        if not self._name:
            return None
        near = [(self._gallery.distance(id_, sample.embedding), id_) for id_ in self._people()]
        if not near:
            return None
        distance, person = min(near)
        return person if distance <= self._gallery.verification_threshold else None


def _enrolled(gallery: Gallery, person: str, sample: Sample) -> Value:
    """The face of that photo the person has, now or from an earlier time."""
    index = gallery.index(person)
    face = next(
        face
        for row, face in enumerate(gallery.faces)
        if gallery.person_index[row] == index and face.photo.startswith(sample.digest)
    )
    name = gallery.names[index]
    return {"face_id": face.id, "photo": face.photo, "person_id": person, "name": name}


def _seen(seen: DetectedFaces) -> Value:
    picture = seen.picture
    return {
        "width": picture.width,
        "height": picture.height,
        "faces": [_face(seen, nth, face) for nth, face in enumerate(seen.in_original())],
    }


def _face(seen: DetectedFaces, nth: int, face: Detection) -> Value:
    """``face``: the nth one, in pixels of the original."""
    return {
        "box": [round(edge, 2) for edge in face.box],
        "landmarks": [[round(x, 2), round(y, 2)] for x, y in face.landmarks],
        "score": round(face.score, 4),
        "quality": _quality(seen, nth),
    }


def _quality(seen: DetectedFaces, nth: int) -> dict[str, float]:
    """0 to 100 each."""
    picture, box = seen.detail, seen.detections[nth].box
    face = np.asarray(cropped(picture, box))
    if not face.size:
        return {"brightness": 0.0, "sharpness": 0.0}
    return {
        "brightness": round(float(face.mean()) / 2.55, 1),
        "sharpness": round(min(100.0, 100 * sharpness(picture, box) / SHARP), 1),
    }


def _matched(match: FaceMatch) -> Value:
    return {
        "face_id": match.face.id,
        "photo": match.face.photo,
        "box": match.face.box and list(match.face.box),
        "person_id": match.person_id,
        "name": match.name,
        "distance": round(match.distance, 4),
        "similarity": match.similarity,
    }
