"""Corrects stored answers after a person was renamed, merged or removed. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from facerec_tasks.schemas import Answer, Candidate, Face
from facerec_tasks.video.timeline import PersonInVideo

UNKNOWN = "unknown"

NewIdentity = tuple[str, str] | None
"""Id and name; None: nobody."""


def with_people(answer: Answer, people: Mapping[str, NewIdentity]) -> Answer:
    """Each of the people, by id, is somebody else, or nobody who is mentioned any more."""
    return _retold(
        replace(
            answer,
            faces=tuple(_face_with(face, people) for face in answer.faces),
            people=tuple(_person_with(person, people) for person in answer.people),
        )
    )


def with_named_face(answer: Answer, number: int, person_id: str, name: str) -> Answer:
    """One face was shown to be that person's; raises :class:`IndexError`."""
    faces = list(answer.faces)
    faces[number] = replace(
        faces[number], name=name, person_id=person_id, confidence=1.0, hint=None, embedding=None
    )
    return _retold(replace(answer, faces=tuple(faces)))


def _retold(answer: Answer) -> Answer:
    """With the outcome that follows from the faces."""
    if answer.outcome not in ("named", "unknown") or not (answer.faces or answer.people):
        return answer
    first = answer.faces[0] if answer.faces else answer.people[0]
    name = None if isinstance(first, PersonInVideo) and not first.known else first.name
    if name is None or name == UNKNOWN:
        return replace(answer, outcome="unknown", name=None)
    return replace(answer, outcome="named", name=name)


def _face_with(face: Face, people: Mapping[str, NewIdentity]) -> Face:
    candidates: list[Candidate] = []
    for candidate in face.candidates:
        new = _named(candidate, people)
        if new and (new.person_id is None or all(c.person_id != new.person_id for c in candidates)):
            candidates.append(new)
    if candidates != list(face.candidates):
        runner_up = candidates[1] if len(candidates) > 1 else None
        face = replace(
            face,
            candidates=tuple(candidates),
            runner_up=runner_up.name if runner_up else None,
            runner_up_distance=runner_up.distance if runner_up else None,
        )
    return _named(face, people) or replace(
        face, name=UNKNOWN, person_id=None, confidence=None, distance=None
    )


def _person_with(person: PersonInVideo, people: Mapping[str, NewIdentity]) -> PersonInVideo:
    return _named(person, people) or replace(person, name=UNKNOWN, known=False, person_id=None)


_One = TypeVar("_One", Candidate, Face, PersonInVideo)


def _named(one: _One, people: Mapping[str, NewIdentity]) -> _One | None:
    """As somebody else, unchanged if it is none of the people, or None if it is nobody any more."""
    if one.person_id is None or one.person_id not in people:
        return one
    new = people[one.person_id]
    return replace(one, person_id=new[0], name=new[1]) if new else None
