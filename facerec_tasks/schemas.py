"""What travels and what is stored: the answer to a photo or a video, a value with one JSON form."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from facerec_tasks.video.timeline import PersonInVideo

Outcome = Literal["named", "unknown", "no-face", "rejected", "poison", "cancelled"]
MAX_INLINE_RESULT = 200_000
"""Bytes of an answer that still travels; a longer one is read from its record."""
CANDIDATES, MOST_CANDIDATES = 3, 10
"""People listed for a face unless another number is asked for, and at most. All of them are stored,
so that the task needs no argument for it."""
STORED = "on-record"
"""Stands in the place of the outcome of an answer that does not travel."""


UNKNOWN_KIND = "<f2"
"""Numbers of :attr:`Face.embedding`: little-endian float16."""
Hint = Literal["second-photo"]
"""``second-photo``: the nearest person is enrolled from one photo; another would help."""


@dataclass(frozen=True)
class Candidate:
    """One of the people nearest to a face."""

    name: str
    distance: float
    similarity: float
    """0 to 100, of the two faces alone."""
    confidence: float
    """0 to 1: how probable it is that the face is this person's, given everybody enrolled."""
    person_id: str | None = None


@dataclass(frozen=True)
class Face:
    """One face of a photo. Coordinates are pixels of the upright photo as uploaded."""

    name: str
    """The person's name, or ``unknown``."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom."""
    landmarks: tuple[tuple[float, float], ...]
    """Left eye, right eye, nose, left and right corner of the mouth."""
    score: float
    """How sure the detector is that this is a face, 0 to 1."""
    distance: float | None = None
    """Euclidean distance to the nearest person; none in an empty gallery."""
    confidence: float | None = None
    """How probable ``name`` is, 0 to 1; of ``unknown``, that it is nobody who is enrolled."""
    runner_up: str | None = None
    runner_up_distance: float | None = None
    candidates: tuple[Candidate, ...] = ()
    """The nearest people, nearest first, whether or not one of them is named."""
    hint: Hint | None = None
    """What would make the answer surer."""
    person_id: str | None = None
    """Of the person of that name; None for an unknown face."""
    visible: float | None = None
    """How much of a face that the photo's edge cuts is inside the photo, 0 to 1; None: all."""
    reason: str | None = None
    """``cut-off``: for that the name was withheld or the confidence lowered."""
    embedding: str | None = None
    """Of an unknown face that is good enough to be grouped: base64 of little-endian float16. Only
    on record; it never travels."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video is and how much of it was looked at."""

    container: str
    """Media type, such as ``video/mp4``."""
    codec: str
    seconds: float
    """Time of the last frame."""
    frame_rate: float | None
    frames_analyzed: Annotated[
        int, Field(validation_alias=AliasChoices("frames_analyzed", "looks"))
    ]
    """Frames that were looked at."""
    complete: bool
    """False: it is cut short or damaged, and what could be read was looked at."""
    sheet: str
    """Name of the contact sheet in the state bucket."""


@dataclass(frozen=True)
class Answer:
    """The answer to a photo or a video: the record ``results/<task id>.json``, and the reply."""

    task_id: str
    key: str
    version: str | None
    outcome: Outcome
    name: str | None = None
    """When ``outcome`` is ``named``: of the largest face, in a video of who is seen longest."""
    code: str | None = None
    """Why the photo was refused (closed list) or why the task was given up."""
    detail: str | None = None
    faces: tuple[Face, ...] = ()
    """Of a photo, largest first."""
    people: tuple[PersonInVideo, ...] = ()
    """Of a video: known people first, then who is seen longest."""
    video: VideoInfo | None = None
    """Only of a video."""
    left_out: int | None = None
    """Of a photo: further faces that are not among ``faces``, at least this number."""
    frame: int | None = None
    """The page of a document, or frame of an animation, that ``faces`` are on, from 0; None: the
    first one."""
    width: int | None = None
    height: int | None = None
    engine: str | None = None
    request_id: str | None = None
    worker: str | None = None
    finished_at: float | None = None
    """Unix seconds."""
    seconds: float | None = None
    """Seconds of recognition, without S3."""
    history: tuple[dict[str, Any], ...] = ()
    """Starts of a dead-lettered task: when, on which worker, on which receive."""

    @property
    def text(self) -> str | None:
        """What is stored in the out-bucket and stands after the colon; none for a refused photo."""
        if self.outcome == "named":
            return self.name
        return self.outcome if self.outcome in ("unknown", "no-face") else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; what has no value is left out."""
        fields = {k: v for k, v in asdict(self).items() if v is not None and v != ()}
        for face in fields.get("faces", ()):
            if face["embedding"] is None:
                del face["embedding"]
        if self.people:
            fields["people"] = [person.to_dict() for person in self.people]
        return fields

    @property
    def shown(self) -> Self:
        """Without what only the record has."""
        return replace(self, faces=tuple(replace(face, embedding=None) for face in self.faces))

    def to_message(self) -> dict[str, Any]:
        """The message to the client: the answer, or, if too large, that it is stored."""
        shown = self.shown
        if len(shown.to_json()) <= MAX_INLINE_RESULT:
            return shown.to_dict()
        return {"task_id": self.task_id, "outcome": STORED}

    def to_json(self) -> bytes:
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Answer":
        """Raises :class:`ValueError` for anything :meth:`to_dict` could not have made.

        Fields this version does not know are ignored, so that a newer worker can answer.
        """
        try:
            return _answer.validate_python({"version": None} | fields)  # left out of the JSON
        except ValidationError as error:
            raise ValueError(f"not an answer: {error}") from error

    @classmethod
    def from_json(cls, data: bytes) -> "Answer":
        """As :meth:`from_dict`."""
        fields = json.loads(data)
        if not isinstance(fields, dict):
            raise ValueError("not an answer: no JSON object")
        return cls.from_dict(fields)


_answer = TypeAdapter(Answer)
