"""What views answer in JSON. ``GET /openapi.json`` is made from these very types.

A member is always there unless it is ``NotRequired``; a later version may add some.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from facerec_tasks.schemas import Face, VideoInfo

TASK_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

TaskId = Annotated[str, Field(pattern=f"^{TASK_ID}$")]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Count = Annotated[int, Field(ge=0)]
Pair = tuple[float, float]
Box = Annotated[
    tuple[float, float, float, float],
    Field(description="Left, top, right, bottom; pixels of the upright photo."),
]
Shares = Annotated[
    tuple[float, float, float, float],
    Field(description="Left, top, width, height; shares of the upright photo."),
]
Verdict = Literal["same", "different", "undecided", "no-face"]


class StatusReport(TypedDict):
    """Whether this process can serve."""

    status: str
    missing: NotRequired[list[str]]


# Results


class SeenPerson(TypedDict):
    """Somebody in a video."""

    name: str
    known: bool
    confidence: float
    seconds: float
    frames: Count
    spans: list[Pair]
    """Seconds from and to."""
    crop: NotRequired[str]
    """Address of their picture."""
    person_id: NotRequired[str]


class AnswerDocument(TypedDict):
    """Every face of a photo, or everybody in a video."""

    task_id: TaskId
    key: str
    stem: str
    """Name of the file without its extension."""
    text: str
    """The answer in one line."""
    outcome: Literal["named", "unknown", "no-face"]
    name: NotRequired[str]
    faces: NotRequired[list[Face]]
    people: NotRequired[list[SeenPerson]]
    video: NotRequired[VideoInfo]
    left_out: NotRequired[Count]
    """Of a photo: further faces that are not among ``faces``, at least this number."""
    frame: NotRequired[Count]
    """The page or frame that ``faces`` are on, from 0."""
    width: NotRequired[Count]
    height: NotRequired[Count]
    engine: NotRequired[str]
    request_id: NotRequired[str]
    finished_at: NotRequired[float]
    """Unix seconds."""
    seconds: NotRequired[float]
    """Seconds of recognition."""


class Pending(TypedDict):
    """The answer is to come; of a video, what is known of it so far."""

    task_id: str
    outcome: Literal["pending"]
    result: str
    """Address of the answer."""
    percent: NotRequired[int | None]
    time: NotRequired[float]
    people: NotRequired[list[str]]
    frames_analyzed: NotRequired[Count]
    at: NotRequired[float]


class Cancelled(TypedDict):
    """The task has no answer and will have none."""

    task_id: str
    outcome: Literal["cancelled"]


# People


class PersonName(TypedDict):
    """A person."""

    id: str
    name: str


class PersonSummary(PersonName):
    """A person and how many photos they are enrolled from."""

    photos: Count


class PeopleList(TypedDict):
    """Everybody who is known."""

    people: list[PersonSummary]


class ListedPerson(PersonName):
    """A person and how many faces they have."""

    faces: Count


class PeoplePage(TypedDict):
    """People by name."""

    people: list[ListedPerson]
    next: NotRequired[str]
    """The ``after`` of the next page."""


class EnrolledFace(TypedDict):
    """A face of the gallery."""

    id: Id
    has_photo: bool
    box: NotRequired[Shares]
    score: NotRequired[float]


class Person(PersonName):
    """A person with their faces."""

    faces: list[EnrolledFace]


class Refusal(TypedDict):
    """Why a photo of a form was not taken."""

    index: Count
    reason: str
    message: str


class Enrolled(PersonSummary):
    """What became of the photos of a form."""

    enrolled: Count
    """How many are new."""
    faces: list[Id]
    refused: list[Refusal]
    hint: NotRequired[Literal["second-photo"]]


class Verified(PersonName):
    """Whether the largest face of a photo is a person's."""

    outcome: Verdict
    distance: NotRequired[float]
    threshold: NotRequired[float | None]


class Undone(TypedDict):
    """What a collection holds again."""

    people: Count
    faces: Count


# Past answers, and faces nobody knows


class HistoryItem(TypedDict):
    """A past answer."""

    task_id: Id
    at: float
    """Unix seconds when the photo was accepted."""
    file: str
    outcome: str
    people: list[PersonName]
    """Who is named on it, by the names of today."""
    faces: Count
    unknown: Count
    """Faces nobody is named for."""
    video: bool


class HistoryDocument(TypedDict):
    """Past answers, the newest first."""

    entries: list[HistoryItem]
    cursor: NotRequired[Id]
    """The ``cursor`` of the next page, also when this one is short."""


class NamedFaces(PersonSummary):
    """Who faces of past answers were said to be."""

    enrolled: Count
    """Faces that were enrolled; those that add nothing are not."""
    answers: Count
    """Faces of past answers that are named now."""
    refused: list[Refusal]


class PastFace(TypedDict):
    """A face of a past answer."""

    task_id: Id
    face: Count
    """Its place among the faces of the answer."""
    box: tuple[float, float, float, float]
    """Left, top, width and height as shares of the photo."""


class Suggestion(PersonName):
    """Who an unknown face may be."""

    confidence: float


class UnknownGroup(TypedDict):
    """Unknown faces that may be one person."""

    id: Id
    photos: Count
    faces: list[PastFace]
    """The best ones."""
    maybe: NotRequired[Suggestion]


class UnknownGroups(TypedDict):
    """The largest group first."""

    groups: list[UnknownGroup]


# Faces that are not kept


class Quality(TypedDict):
    """0 to 100 each."""

    brightness: float
    sharpness: float


class DetectedFace(TypedDict):
    """One face of a photo."""

    box: Box
    landmarks: list[Pair]
    """Left eye, right eye, nose, left and right corner of the mouth."""
    score: float
    quality: Quality


class PhotoSize(TypedDict):
    """Pixels of the upright photo."""

    width: Count
    height: Count


class Detected(PhotoSize):
    """The faces of a photo, largest first."""

    faces: list[DetectedFace]


class EmbeddedFace(DetectedFace):
    """A face with its embedding."""

    embedding: str
    """Base64 of little-endian float32."""


class Embedded(PhotoSize):
    """The faces of a photo with their embeddings."""

    faces: list[EmbeddedFace]
    engine: str


class SearchCandidate(TypedDict):
    """One of the people nearest to a face."""

    person_id: str
    name: str
    distance: float
    similarity: float
    """0 to 100, of the two faces alone."""
    confidence: float
    """0 to 1, given everybody enrolled."""


class SearchedFace(DetectedFace):
    """A face and whose it may be."""

    name: str
    candidates: list[SearchCandidate]
    reason: NotRequired[str]
    """``blurred``: less sharp than was asked for, so not searched for."""


class Searched(PhotoSize):
    """The faces of a photo with the nearest people."""

    faces: list[SearchedFace]


class ComparedFace(DetectedFace):
    """A face and how like it is to another."""

    distance: float
    similarity: float


class ComparedPhoto(PhotoSize):
    """The faces of the second photo."""

    faces: list[ComparedFace]


class Compared(TypedDict):
    """Whether the largest face of the first photo is on the second."""

    outcome: Literal["same", "different", "no-face"]
    source: Detected
    target: ComparedPhoto
    threshold: float


# Collections


class CollectionName(TypedDict):
    """A collection."""

    name: str


class CollectionNames(TypedDict):
    """All collections, the default one first."""

    collections: list[CollectionName]


class Collection(CollectionName):
    """What a collection holds."""

    engine: str
    people: Count
    faces: Count
    created_at: NotRequired[float]
    """Unix seconds."""
