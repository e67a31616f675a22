"""Tasks about unknown faces: their groups, and naming them."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from facerec_tasks.corrections import with_named_face
from facerec_tasks.errors import NotFound
from facerec_tasks.recognition.embedding.metrics import Embeddings, decoded
from facerec_tasks.recognition.gallery.edits import NoSuchFace
from facerec_tasks.recognition.gallery.enrollment import (
    Enroller,
    Refused,
    Sample,
    conflict,
    face_at,
)
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.records import FaceBox
from facerec_tasks.schemas import UNKNOWN_KIND
from facerec_tasks.storage.people import People
from facerec_tasks.storage.unknown_faces import UnknownFace, UnknownFaces
from facerec_tasks.tasks.engine_task import Value, engine_task
from facerec_tasks.tasks.people import described
from facerec_tasks.tasks.worker_context import engine, results, state, storage

MOST_GROUPS, MOST_SHOWN = 100, 6
"""Groups of a reply, and faces of a group."""
BEST = 3
"""Faces of a group that are enrolled."""
MAYBE = 0.5
"""Confidence from which on a group may be somebody who is enrolled."""
ENOUGH = 8
"""Faces of a person beyond which another one adds nothing."""
TOO_NEAR = 0.5
"""Of the embedder's threshold: so near to a face that is enrolled, another one adds nothing."""


@engine_task
def group_unknown() -> Value:
    """The groups of two photos and more, the largest first."""
    gallery = engine().current().gallery
    found = [
        _shown(group, faces, gallery)
        for group, faces in UnknownFaces(state()).groups(gallery.embedder).items()
        if len({face.task_id for face in faces}) > 1
    ]
    return {"groups": found[:MOST_GROUPS]}


@engine_task
def name_group(group: str, person: str, new_name: str = "") -> Value:
    """Enrolls the best faces of a group as a person, who is made with ``new_name``."""
    faces = _group(group)
    return _enrolled(faces, _best(faces), person, new_name)


@engine_task
def dismiss_group(group: str) -> Value:
    """Erases the numbers of a group's faces: nobody asks for them again."""
    faces = _group(group)
    UnknownFaces(state()).forget(faces)
    return {"id": group, "faces": len(faces)}


@engine_task
def confirm_face(task_id: str, number: int, person: str, new_name: str = "") -> Value:
    """One face of a past answer is that person's; it is enrolled when it adds something."""
    answer = results().get(task_id)
    if answer is None or not 0 <= number < len(answer.faces):
        raise NoSuchFace("no such face in a past answer")
    face = UnknownFace(task_id, number, answer.engine or "", "", (0, 0, 0, 0), 0.0)
    return _enrolled([face], [face], person, new_name)


def _group(group: str) -> list[UnknownFace]:
    faces = UnknownFaces(state()).group(group)
    if not faces:
        raise NoSuchFace("no such group of unknown faces")
    return faces


def _enrolled(
    faces: Sequence[UnknownFace], best: Sequence[UnknownFace], person: str, new_name: str
) -> Value:
    """Enrolls the best faces; past answers name the person for all of them."""
    people, source = People(state()), engine().source_of("default")
    source.refresh()
    gallery = people.gallery()
    if not new_name:
        gallery.index(person)  # raises NoSuchPerson
    samples, refused = _samples(best, gallery, person)
    taken = [sample for sample in samples if new_name or _adds(sample, gallery, person)]
    if not samples and (new_name or refused):
        return {"code": "no-photo-taken", "detail": "no photo was taken", "refused": refused}
    before = len(gallery.faces)
    if taken:
        gallery = people.add({person: taken}, {person: new_name} if new_name else {})
        source.refresh()
    who = described(gallery, person)
    for face in faces:
        name = partial(with_named_face, number=face.number, person_id=who["id"], name=who["name"])
        results().correct(face.task_id, name)
    UnknownFaces(state()).forget(list(faces))
    enrolled = len(gallery.faces) - before
    return {**who, "enrolled": enrolled, "answers": len(faces), "refused": refused}


def _samples(
    faces: Sequence[UnknownFace], gallery: Gallery, person: str
) -> tuple[list[Sample], list[Value]]:
    """What can be enrolled, and why the rest cannot."""
    samples, refused = [], []
    for index, face in enumerate(faces):
        found = _sample(face)
        verdict = found if isinstance(found, Refused) else conflict(found, person, gallery)
        if isinstance(found, Sample) and verdict is None:
            samples.append(found)
        elif verdict is not None:
            refused.append(
                {"index": index, "reason": str(verdict.reason), "message": verdict.message}
            )
    return samples, refused


def _sample(face: UnknownFace) -> Sample | Refused:
    """Raises :class:`NotFound` when the photo is gone."""
    answer = results().get(face.task_id)
    if answer is None or answer.video is not None:
        raise NotFound("the answer is gone")
    photo = storage().photos.get(answer.key, answer.version)
    recognizer = engine().current()
    seen = recognizer.detect_and_embed(photo)
    was = answer.faces[face.number]
    box = FaceBox.of_pixels(was.box, was.score, answer.width or 1, answer.height or 1)
    nth = face_at(seen, box)
    if nth is None:
        raise NotFound("the face is not found on the photo again")
    return Enroller(recognizer).samples(photo, seen)[nth]


def _adds(sample: Sample, gallery: Gallery, person: str) -> bool:
    """Whether the person is known better with it."""
    photos = gallery.photos_of(person)
    if len(photos) < 2:
        return not any(photo.startswith(sample.digest) for photo in photos)
    near = TOO_NEAR * gallery.embedder.threshold
    return len(photos) < ENOUGH and gallery.distance(person, sample.embedding) > near


def _best(faces: Sequence[UnknownFace]) -> list[UnknownFace]:
    """The best face, and of the better half those least like the ones before."""
    pool = list(faces[: max(BEST, len(faces) // 2)])
    chosen = [pool.pop(0)]
    while pool and len(chosen) < BEST:
        apart = [
            min(float(np.linalg.norm(_embedding(f) - _embedding(c))) for c in chosen) for f in pool
        ]
        chosen.append(pool.pop(int(np.argmax(apart))))
    return chosen


def _embedding(face: UnknownFace) -> Embeddings:
    return decoded(face.embedding, UNKNOWN_KIND)


def _shown(group: str, faces: Sequence[UnknownFace], gallery: Gallery) -> Value:
    shown = {
        "id": group,
        "photos": len({face.task_id for face in faces}),
        "faces": [
            {"task_id": face.task_id, "face": face.number, "box": list(face.box)}
            for face in faces[:MOST_SHOWN]
        ],
    }
    (match,) = gallery.search(_embedding(faces[0])[np.newaxis])
    nearest = match.candidates[0] if match.candidates else None
    if nearest and nearest.confidence >= MAYBE:
        maybe = {"id": nearest.person_id, "name": nearest.name}
        shown["maybe"] = {**maybe, "confidence": round(nearest.confidence, 4)}
    return shown
