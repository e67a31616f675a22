"""Tasks about people: enrol, rename, merge, split, verify, forget, undo; and their collections."""

import contextlib
import json
import time
from dataclasses import replace
from typing import Any

from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import Gallery, NoSuchPerson
from facerec_tasks.storage.collections import DEFAULT, Collections, NoSuchCollection
from facerec_tasks.storage.people import People
from facerec_tasks.storage.uploads import Uploads
from facerec_tasks.tasks.engine_task import Value, engine_task
from facerec_tasks.tasks.worker_context import engine, state


@engine_task
def enrol(
    person: str,
    upload: str,
    count: int,
    strict: bool,
    collection: str = DEFAULT,
    new_name: str = "",
) -> Value:
    """Enrolls ``count`` photos; returns how many are new and why others were not taken.

    ``person`` is an id or a name. An id nobody has makes a person called ``new_name``.
    """
    people = People(state(), collection)
    engine().source_of(collection).refresh()  # its precision may have changed
    names = {person: new_name} if new_name else {}
    enroller = Enroller(engine().current(collection))
    batch = Batch(enroller, people.gallery(), strict=strict, names=names)
    verdicts = [batch.add(person, Uploads(state()).get(upload, n)) for n in range(count)]
    refused = [
        {"index": n, "reason": str(verdict.reason), "message": verdict.message}
        for n, verdict in enumerate(verdicts)
        if verdict
    ]
    if not batch.samples:
        return {"code": "no-photo-taken", "detail": "no photo was taken", "refused": refused}
    before = {face.id for face in people.gallery().faces}
    now = people.add(batch.samples, names)
    engine().source_of(collection).refresh()
    (known,) = batch.samples
    faces = [face.id for face in now.faces if face.id not in before]
    return {
        **described(now, known),
        **({"hint": "second-photo"} if len(now.photos_of(known)) == 1 else {}),
        "enrolled": len(faces),
        "faces": faces,
        "refused": refused,
    }


@engine_task
def forget(person: str, collection: str = DEFAULT) -> Value:
    """Forgets a person: embeddings, photos and every old version of both."""
    People(state(), collection).remove(person)
    engine().source_of(collection).refresh()
    return {"name": person}


@engine_task
def forget_faces(upload: str, collection: str = DEFAULT) -> Value:
    """Forgets single faces, listed in an upload; those that are not there are named."""
    people, wanted = People(state(), collection), _listed(upload)
    there = {face.id for face in people.gallery().faces}
    faces = [face for face in dict.fromkeys(wanted) if face in there]
    if faces:
        people.remove_faces(faces)
        engine().source_of(collection).refresh()
    return {"forgotten": faces, "missing": [face for face in wanted if face not in there]}


@engine_task
def rename(person: str, new: str, collection: str = DEFAULT, unique: bool = True) -> Value:
    """Gives a person another name; with ``unique`` it must be nobody else's."""
    people = People(state(), collection)
    before = people.gallery()
    id_ = before.ids[before.index(person)]
    now = people.rename(id_, new, unique=unique)
    engine().source_of(collection).refresh()
    return described(now, id_)


@engine_task
def merge(person: str, other: str, collection: str = DEFAULT) -> Value:
    """Gives ``person`` the faces of ``other``, who is gone."""
    now = People(state(), collection).merge(person, other)
    engine().source_of(collection).refresh()
    return described(now, person)


@engine_task
def move_faces(upload: str, person: str, new_name: str = "", collection: str = DEFAULT) -> Value:
    """Gives the faces listed in an upload to a person, or with ``new_name`` to a new one."""
    people, faces = People(state(), collection), _listed(upload)
    now = people.split(faces, new_name, person) if new_name else people.move(faces, person)
    engine().source_of(collection).refresh()
    return described(now, person)


@engine_task
def undo(collection: str = DEFAULT) -> Value:
    """Makes a collection what it was before its last change."""
    now = People(state(), collection).undo()
    engine().source_of(collection).refresh()
    return {"people": len(now), "faces": len(now.photos)}


@engine_task
def verify(person: str, upload: str, collection: str = DEFAULT) -> Value:
    """Whether the largest face of a photo is that person's, by the gallery's threshold.

    A gallery without a threshold names the nearest however far: it cannot tell, and says so.
    """
    recognizer = engine().current(collection)
    gallery = recognizer.gallery
    index = gallery.index(person)
    who = {"id": gallery.ids[index], "name": gallery.names[index]}
    seen = recognizer.detect_and_embed(Uploads(state()).get(upload, 0))
    if not seen.detections:
        return {**who, "outcome": "no-face"}
    distance = gallery.distance(who["id"], seen.embeddings[0])
    return {
        **who,
        "outcome": _outcome(gallery, distance),
        "distance": round(distance, 4),
        "threshold": None if gallery.threshold is None else gallery.verification_threshold,
    }


@engine_task
def create_collection(collection: str) -> Value:
    """Makes a collection of nobody, with the embedder and precision of the default one."""
    model = engine().current().gallery
    empty = Gallery.empty(model.description or model.engine, precision=model.precision)
    made = replace(empty, created_at=time.time())
    Collections(state()).create(collection, made.to_bytes())
    return {"name": collection, "engine": model.engine, "created_at": made.created_at}


@engine_task
def delete_collection(collection: str) -> Value:
    """Erases a collection and everybody in it."""
    Collections(state()).delete(collection)
    with contextlib.suppress(NoSuchCollection):  # finding that out erases this machine's copy
        engine().source_of(collection).refresh()
    return {"name": collection}


def _outcome(gallery: Gallery, distance: float) -> str:
    if gallery.threshold is None:
        return "undecided"
    return "same" if distance <= gallery.verification_threshold else "different"


def described(gallery: Gallery, person: str) -> Value:
    """A person as replies show them; of no name once somebody else removed them."""
    try:
        index = gallery.index(person)
    except NoSuchPerson:  # removed by somebody else since
        return {"id": person, "name": "", "photos": 0}
    id_ = gallery.ids[index]
    return {"id": id_, "name": gallery.names[index], "photos": len(gallery.photos_of(id_))}


def _listed(upload: str) -> list[str]:
    found: Any = json.loads(Uploads(state()).get(upload, 0))
    return [str(one) for one in found]
