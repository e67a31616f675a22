"""Who is known, and who a face is: people, their embeddings, and an honest "unknown".

A gallery names the engine its numbers come from, because embeddings of two engines cannot be
compared. It is immutable: every edit returns another gallery, so a search never sees half of one.

As it is kept, all numbers little-endian (a machine's working copy is :mod:`.mapped_gallery`)::

    16 bytes   FACEREC-GALLERY2
     8 bytes   length of the header, unsigned
     n bytes   header, JSON: engine, precision, dimension, threshold, margin, target_fpir,
               impostor_shift, created_at, people and faces (:mod:`.header`), and embedder where it
               is not one of the product's
               zeros up to a multiple of 64
     4 x rows  int32, which of the people each row belongs to
               zeros up to a multiple of 64
     4 x rows x dimension   float32, the embeddings

Nothing in it is executed, compressed or repeated, so a hostile file is at worst refused.
"""

import json
import mmap
import unicodedata
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.embedding.description import (
    BUILT_IN,
    DescriptionError,
    EmbedderDescription,
    built_in,
)
from facerec_tasks.recognition.embedding.metrics import Block, Embeddings, means_of
from facerec_tasks.recognition.embedding.precision import FP32, is_known
from facerec_tasks.recognition.embedding.score_model import lead_needed
from facerec_tasks.recognition.gallery import identifiers, operating_point
from facerec_tasks.recognition.gallery.header import (
    LENGTH,
    MAGIC,
    MAGIC_1,
    GalleryError,
    count_faces,
    identities,
    listed_faces,
    read_header,
    up,
)
from facerec_tasks.recognition.gallery.person_name import checked_name
from facerec_tasks.recognition.gallery.records import FaceRecord

__all__ = [
    "AmbiguousName",
    "EngineMismatch",
    "Gallery",
    "GalleryError",
    "Match",
    "NameTaken",
    "NoSuchPerson",
]


class EngineMismatch(GalleryError):
    """Raised when embeddings of one engine meet a gallery of another; says the remedy."""


class NoSuchPerson(GalleryError):
    """Raised when a person to remove or rename is not in the gallery."""


class AmbiguousName(GalleryError):
    """Raised when a name that several people bear is to say which of them is meant."""


class NameTaken(GalleryError):
    """Raised when a person is renamed, by name, to somebody who is there already."""


@dataclass(frozen=True)
class Candidate:
    """One of the people who are nearest to a face."""

    name: str
    distance: float
    similarity: float
    """0 to 100: how probable it is that two faces this far apart are one person's, if one person's
    and two people's were as frequent. Does not depend on who else is enrolled."""
    confidence: float
    """0 to 1: how probable it is that the face is this person's, given everybody who is enrolled,
    when half of all faces are of people who are not."""
    photos: int
    """From how many the person is enrolled."""
    person_id: str = ""


@dataclass(frozen=True)
class Match:
    """Who one face is."""

    name: str | None
    """None when nobody is near enough, or two people are equally near."""
    distance: float | None
    """To the nearest person; None in an empty gallery, like all that follows."""
    confidence: float | None
    """Of the nearest person, when it is named. Otherwise the probability that nobody enrolled is on
    the photo; ``1 - confidence`` is then shared by the candidates and those behind them."""
    candidates: tuple[Candidate, ...] = ()
    """The nearest people, nearest first, also when nobody is named."""
    runner_up: str | None = None
    """The nearest other person; None when only one is known."""
    runner_up_distance: float | None = None

    @property
    def person_id(self) -> str | None:
        """Of the person who is named."""
        return self.candidates[0].person_id if self.name is not None else None

    @property
    def nearest(self) -> str | None:
        """The nearest person, also when that is not near enough."""
        return self.candidates[0].name if self.candidates else None


NOBODY = Match(name=None, distance=None, confidence=None)

CANDIDATES = 3
"""People listed for a face unless another number is asked for."""
_CONSIDERED = 5
"""People among whom the probability that somebody is enrolled is divided."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """People and their embeddings. Raises :class:`GalleryError` for what does not fit together."""

    engine: str
    names: Sequence[str]
    """[people], labels: several people may bear one."""
    person_index: NDArray[np.int32]
    """[rows], for each embedding the index of its person in ``names`` and ``ids``."""
    embeddings: Embeddings
    """[rows, dimension], read-only; may be a mapped file."""
    photos: Sequence[str]
    """[rows], the id of the photo each embedding comes from; empty when it was imported."""
    threshold: float | None
    """None: always the nearest person, however far (the semantics of an imported ``data.pt``)."""
    margin: float
    """How much farther the second person must be from a face that is at the threshold. The nearer
    the face, the less: by as much as it is nearer, down to a fifth. The more people are known, the
    nearer is the second by chance, so this also makes a large gallery stricter than a small one."""
    precision: str = FP32
    """Arithmetic the engine ran in (:mod:`.precision`); embeddings of two do not mix either."""
    target_fpir: float | None = None
    """Share of searches of people who are not enrolled that may return somebody: the threshold
    follows from it (:mod:`.operating_point`) and from the number of people, with every edit.
    None: the threshold was set and stays."""
    impostor_shift: float = 0.0
    """How much farther from each other the gallery's own people are than the embedder's model
    expects: moves the threshold. Measured by :func:`.calibration.calibrated`."""
    description: EmbedderDescription | None = None
    """Of an embedder that does not come with the product."""
    ids: Sequence[str] = ()
    """[people], a UUID each. Left out, they follow from the names (:mod:`.identifiers`)."""
    faces: Sequence[FaceRecord] = ()
    """[rows], id and box of each face. Left out, the ids follow from names and photos."""
    created_at: float | None = None
    """Unix seconds; None of a gallery of format 1."""
    searched: InitVar[tuple[Block, ...] | None] = None
    """What is searched, of a gallery that was checked before (:mod:`.mapped_gallery`)."""
    blocks: tuple[Block, ...] = field(init=False, repr=False)
    """What is searched: the photos, and the means of people who have several."""

    def __post_init__(self, searched: tuple[Block, ...] | None) -> None:
        if searched is None:
            self._identify()
            _check(self)
            photos = Block(self.embeddings, self.person_index)
            # A mean is one more photo of its person: with three photos it halves the faces missed.
            means = None if self.threshold is None else means_of(photos)
            searched = (photos, means) if means else (photos,)
        object.__setattr__(self, "blocks", searched)
        for array in (self.person_index, self.embeddings):
            array.flags.writeable = False

    def _identify(self) -> None:
        """Gives those without identifiers the ones that follow from names and photos."""
        names, photos = tuple(self.names), tuple(self.photos)
        if not self.ids and len(set(names)) == len(names):
            object.__setattr__(self, "ids", identifiers.person_ids(names))
        if not self.faces and len(self.person_index) == len(photos):
            ids = identifiers.face_ids(self.ids, self.person_index.tolist(), photos)
            faces = tuple(FaceRecord(*one) for one in zip(ids, photos, strict=True))
            object.__setattr__(self, "faces", faces)

    @classmethod
    def empty(
        cls,
        engine: str | EmbedderDescription,
        *,
        precision: str = FP32,
        target_fpir: float = operating_point.DEFAULT_TARGET_FPIR,
    ) -> Self:
        """A gallery of nobody, whose threshold follows the default target.

        ``engine``: the name of an embedder that comes with the product, or the description of
        another. Raises :class:`EngineMismatch`.
        """
        own = isinstance(engine, EmbedderDescription)
        described = engine if isinstance(engine, EmbedderDescription) else _described(engine)
        return cls(
            engine=described.name,
            names=(),
            person_index=np.zeros(0, np.int32),
            embeddings=np.zeros((0, described.dimension), np.float32),
            photos=(),
            threshold=described.threshold,
            margin=described.margin,
            precision=precision,
            description=described if own and described.name not in BUILT_IN else None,
        ).with_target_fpir(target_fpir)

    @property
    def embedder(self) -> EmbedderDescription:
        """What made the embeddings."""
        return self.description or built_in(self.engine)

    @property
    def made_by(self) -> tuple[str, str, str | None]:
        """Engine, precision and network: embeddings that differ in it do not mix."""
        return self.engine, self.precision, self.embedder.sha256

    @cached_property
    def effective_people(self) -> float:
        """See :func:`.operating_point.effective_people`."""
        return operating_point.effective_people(np.bincount(self.person_index))

    @property
    def verification_threshold(self) -> float:
        """At most this far from a person who was named beforehand is that person: the size of the
        gallery does not matter then, so it is the embedder's own unless one was set."""
        if self.target_fpir is None and self.threshold is not None:
            return self.threshold
        return self.embedder.threshold

    @property
    def dimension(self) -> int:
        return int(self.embeddings.shape[1])

    def __len__(self) -> int:
        """Number of people."""
        return len(self.names)

    def photos_of(self, name: str) -> tuple[str, ...]:
        """Ids of a person's photos, in the order of enrolment.

        ``name`` may be an id, here and below. Raises :class:`NoSuchPerson`.
        """
        return tuple(
            self.photos[row]
            for row in np.flatnonzero(self.person_index == self.index(name)).tolist()
        )

    def distance(self, name: str, embedding: Embeddings) -> float:
        """From a face [dimension] to a person's nearest photo; raises :class:`NoSuchPerson`."""
        rows = self.embeddings[self.person_index == self.index(name)]
        return float(np.linalg.norm(rows - embedding, axis=1).min())

    # Edits: of a whole person; see :mod:`.edits` for those of faces

    def with_person(
        self,
        name: str,
        embeddings: Embeddings,
        photos: Sequence[str],
        faces: Sequence[FaceRecord] = (),
    ) -> Self:
        """The person with further embeddings [n, dimension], one photo id each.

        ``name`` is an id or a name; a name nobody bears makes another person. ``faces`` gives the
        records in the place of ``photos``. Raises :class:`AmbiguousName`, and
        :class:`NoSuchPerson` for an id nobody has.
        """
        given = faces or [FaceRecord(identifiers.new_id(), photo) for photo in photos]
        try:
            index = self.index(name)
        except NoSuchPerson:
            if identifiers.is_id(name):
                raise
            return self.with_new_person(identifiers.new_id(), name, embeddings, given)
        return self._with_rows(index, embeddings, given)

    def with_new_person(
        self, id_: str, name: str, embeddings: Embeddings, faces: Sequence[FaceRecord]
    ) -> Self:
        """Another person with that id and name, which others may bear."""
        names, ids = (*self.names, checked_name(name)), (*self.ids, id_)
        return self._with_rows(len(self.names), embeddings, faces, names=names, ids=ids)

    def _with_rows(
        self, index: int, embeddings: Embeddings, faces: Sequence[FaceRecord], **people: Any
    ) -> Self:
        rows = self._compatible(embeddings)
        owner = np.full(len(rows), index, np.int32)
        return replace(
            self,
            **people,
            person_index=np.concatenate([self.person_index, owner]),
            embeddings=np.concatenate([self.embeddings, rows]),
            photos=(*self.photos, *(face.photo for face in faces)),
            faces=(*self.faces, *faces),
        ).at_target()

    def without_person(self, name: str) -> Self:
        """Everybody else; raises :class:`NoSuchPerson`."""
        gone = self.index(name)
        return self.selected(np.flatnonzero(self.person_index != gone), self.person_index)

    def selected(
        self,
        rows: NDArray[np.intp],
        owners: NDArray[np.int32],
        people: Sequence[tuple[str, str]] = (),
    ) -> Self:
        """Those rows, each with the owner given for it in ``owners`` [all rows].

        ``owners`` may go beyond this gallery's people: ``people`` are those, by id and name. Who
        has no face is left out.
        """
        known = [*zip(self.ids, self.names, strict=True), *people]
        used, person_index = np.unique(owners[rows], return_inverse=True)
        kept, chosen = [known[person] for person in used.tolist()], rows.tolist()
        return replace(
            self,
            names=tuple(name for _, name in kept),
            ids=tuple(id_ for id_, _ in kept),
            person_index=person_index.astype(np.int32),
            embeddings=self.embeddings[rows],
            photos=tuple(self.photos[row] for row in chosen),
            faces=tuple(self.faces[row] for row in chosen),
        ).at_target()

    def renamed(self, old: str, new: str, *, unique: bool = True) -> Self:
        """The same faces under a new name.

        Raises :class:`NoSuchPerson`, and with ``unique`` :class:`NameTaken` when another has it.
        """
        new = checked_name(new)
        index = self.index(old)
        if unique and new in self.names and new != self.names[index]:
            raise NameTaken(f"{new} is there already")
        return replace(self, names=(*self.names[:index], new, *self.names[index + 1 :]))

    def recomputed(self, embeddings: Embeddings, like: "Gallery") -> Self:
        """The same photos, their embeddings [rows, dimension] computed as ``like`` has them.

        By another embedder distances mean something else: the threshold follows the target then.
        """
        rows = like._compatible(embeddings)
        changed = replace(
            self,
            engine=like.engine,
            description=like.description,
            embeddings=rows,
            precision=like.precision,
        )
        if like.embedder == self.embedder:
            return changed
        return replace(
            changed,
            threshold=like.threshold,
            margin=like.margin,
            impostor_shift=0.0,
            target_fpir=self.target_fpir or like.target_fpir,
        ).at_target()

    def with_threshold(self, threshold: float | None, margin: float | None = None) -> Self:
        """The same people under another rule; None names the nearest, however far."""
        return replace(
            self,
            threshold=threshold,
            margin=self.margin if margin is None else margin,
            target_fpir=None,
        )

    def with_target_fpir(self, target: float) -> Self:
        """The same people; their threshold follows from a false positive identification rate."""
        return replace(self, target_fpir=target).at_target()

    def at_target(self) -> Self:
        """With the threshold that follows from the target; unchanged without one."""
        if self.target_fpir is None:
            return self
        expected = operating_point.threshold_for(
            self.embedder.scores, self.target_fpir, self.effective_people, self.margin
        )
        return replace(self, threshold=round(max(0.0, expected + self.impostor_shift), 4))

    # Search

    def search(self, embeddings: Embeddings, candidates: int = CANDIDATES) -> list[Match]:
        """For each embedding [n, dimension] who it is, with so many of the nearest people."""
        return [self._match(probe, candidates) for probe in self._compatible(embeddings)]

    def _match(self, probe: Embeddings, candidates: int) -> Match:
        if not self.names:
            return NOBODY
        found = self._nearest_people(probe, max(_CONSIDERED, candidates))
        first, second = found[0][1], found[1][1] if len(found) > 1 else None
        enrolled = self._enrolled(first, second)
        listed = self._candidates(found, enrolled)
        known = self._is_known(first, second)
        return Match(
            name=listed[0].name if known else None,
            distance=first,
            confidence=listed[0].confidence if known else 1 - enrolled,
            candidates=listed[: max(1, candidates)],
            runner_up=listed[1].name if len(found) > 1 else None,
            runner_up_distance=second,
        )

    def _nearest_people(self, probe: Embeddings, most: int) -> list[tuple[int, float]]:
        """Indexes of the nearest people and the exact distances, nearest first."""
        estimates = [block.estimate(probe) for block in self.blocks]
        found = [self._nearest(estimates, probe)]
        while len(found) < min(most, len(self.names)):
            for block, estimate in zip(self.blocks, estimates, strict=True):
                estimate[block.person_index == found[-1][0]] = np.inf
            found.append(self._nearest(estimates, probe))
        return found

    def _nearest(self, estimates: list[Embeddings], probe: Embeddings) -> tuple[int, float]:
        """Index of the nearest person and the exact distance; the first of several as near."""
        found = [
            block.nearest(estimate, probe)
            for block, estimate in zip(self.blocks, estimates, strict=True)
        ]
        return min(found, key=lambda one: one[1])

    def _is_known(self, distance: float, runner_up_distance: float | None) -> bool:
        if self.threshold is None:
            return True
        if distance > self.threshold:
            return False
        lead = lead_needed(distance, self.threshold, self.margin)
        return runner_up_distance is None or runner_up_distance - distance >= lead

    def _enrolled(self, first: float, second: float | None) -> float:
        """Probability that the face is that of somebody enrolled, see :class:`Candidate`."""
        if self.threshold is None:
            return 1.0
        lacking = 0.0 if second is None else max(0.0, self.margin - (second - first))
        expected = operating_point.rates(self.embedder.scores, self.effective_people, self.margin)
        return expected.enrolled_at(first + lacking - self.impostor_shift)

    def _candidates(self, found: list[tuple[int, float]], enrolled: float) -> tuple[Candidate, ...]:
        ratios = self.embedder.scores.likelihood_ratio(np.array([d for _, d in found]))
        odds = np.exp(ratios - ratios[0])
        shares = enrolled * odds / odds[:_CONSIDERED].sum()
        return tuple(
            Candidate(
                name=self.names[person],
                distance=distance,
                similarity=100 / (1 + float(np.exp(-ratio))),
                confidence=float(share),
                photos=int(np.count_nonzero(self.person_index == person)),
                person_id=self.ids[person],
            )
            for (person, distance), ratio, share in zip(found, ratios, shares, strict=True)
        )

    def index(self, name: str) -> int:
        """Of the person with that id, or the only one of that name.

        Raises :class:`NoSuchPerson` and :class:`AmbiguousName`.
        """
        if identifiers.is_id(name) and name in self.ids:
            return self.ids.index(name)
        spelled = unicodedata.normalize("NFC", name)
        try:
            found = self.names.index(spelled)
        except ValueError:
            raise NoSuchPerson(f"nobody is called {name}") from None
        if self.names.count(spelled) > 1:
            raise AmbiguousName(f"several people are called {name}: give an id")
        return found

    def _compatible(self, embeddings: Embeddings) -> Embeddings:
        rows = np.ascontiguousarray(embeddings, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise EngineMismatch(
                f"embeddings of shape {rows.shape} do not fit this gallery of {self.engine} "
                f"({self.dimension} numbers a face): enrol the people again with one engine"
            )
        if not np.isfinite(rows).all():
            raise GalleryError("an embedding is not finite")
        return rows

    # Files

    def to_bytes(self, *, version: int = 2) -> bytes:
        """The file described at the top of this module.

        ``version`` 1 is what programs read that know no other: it has no ids and no boxes, so
        names must be unique. Raises :class:`AmbiguousName` when they are not.
        """
        if version == 1 and len(set(self.names)) != len(self.names):
            raise AmbiguousName("several people have one name, which format 1 cannot hold")
        header = {
            "engine": self.engine,
            "precision": self.precision,
            "dimension": self.dimension,
            "threshold": self.threshold,
            "margin": self.margin,
            "target_fpir": self.target_fpir,
            "impostor_shift": self.impostor_shift,
            **({"embedder": self.description.to_dict()} if self.description else {}),
            **self._identities(version),
        }
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        head = _padded((MAGIC if version == 2 else MAGIC_1) + LENGTH.pack(len(text)) + text)
        person_index = _padded(self.person_index.astype("<i4").tobytes())
        return b"".join((head, person_index, self.embeddings.astype("<f4").tobytes()))

    def _identities(self, version: int) -> dict[str, Any]:
        if version == 1:
            return {"names": list(self.names), "photos": list(self.photos)}
        people = list(zip(self.ids, self.names, strict=True))
        return {
            "created_at": self.created_at,
            "people": people,
            "faces": listed_faces(self.faces),
        }

    @classmethod
    def from_bytes(cls, data: bytes | mmap.mmap) -> Self:
        """Raises :class:`GalleryError` for anything :meth:`to_bytes` could not have made.

        The arrays are views of ``data``, not copies.
        """
        header, start = read_header(data)
        try:
            dimension, rows = header["dimension"], count_faces(header)
            begin = start + up(4 * rows)
            if not isinstance(dimension, int) or len(data) != begin + 4 * rows * dimension:
                raise GalleryError("not a gallery: its length is not what its header says")
            person_index = np.frombuffer(data, "<i4", rows, start)
            who = identities(header, person_index.tolist())
            return cls(
                engine=header["engine"],
                names=tuple(name for _, name in who.people),
                ids=tuple(id_ for id_, _ in who.people),
                person_index=person_index,
                embeddings=np.frombuffer(data, "<f4", -1, begin).reshape(rows, dimension)
                if rows
                else np.zeros((0, dimension), np.float32),
                photos=tuple(face.photo for face in who.faces),
                faces=who.faces,
                created_at=header.get("created_at"),
                threshold=header["threshold"],
                margin=header["margin"],
                precision=header["precision"],
                **operating_fields(header),
            )
        except (KeyError, TypeError) as error:
            raise GalleryError(f"not a gallery: {error!r} in its header") from error

    @classmethod
    def open(cls, path: Path) -> Self:
        """Maps a gallery's file; raises :class:`GalleryError`."""
        with path.open("rb") as file:
            try:
                return cls.from_bytes(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except ValueError as error:  # an empty file cannot be mapped
                raise GalleryError(f"{path}: {error}") from error


def operating_fields(header: dict[str, Any]) -> dict[str, Any]:
    """Of a header, what older files do not have; raises :class:`GalleryError`.

    In these the threshold was the embedder's own unless somebody set another: then it follows now.
    """
    try:
        described = header.get("embedder")
        own = None if described is None else EmbedderDescription.from_dict(described)
        if "target_fpir" in header:
            target = header["target_fpir"]
        else:
            usual = BUILT_IN.get(header["engine"])
            as_it_was = usual is not None and header["threshold"] == usual.threshold
            target = operating_point.DEFAULT_TARGET_FPIR if as_it_was else None
    except DescriptionError as error:
        raise GalleryError(f"not a gallery: {error}") from error
    return {
        "target_fpir": target,
        "impostor_shift": header.get("impostor_shift", 0.0),
        "description": own,
    }


def _described(engine: Any) -> EmbedderDescription:
    try:
        return built_in(engine)
    except DescriptionError as error:
        raise EngineMismatch(str(error)) from error


def _check(gallery: Gallery) -> None:
    traits = gallery.description or _described(gallery.engine)
    if traits.name != gallery.engine:
        raise GalleryError(f"the description is of {traits.name}, the gallery of {gallery.engine}")
    rows, names = len(gallery.photos), gallery.names
    if gallery.embeddings.shape != (rows, traits.dimension):
        raise EngineMismatch(
            f"{gallery.engine} makes {traits.dimension} numbers a face, "
            f"not {gallery.embeddings.shape} for {rows} photos"
        )
    if not is_known(gallery.precision):
        raise EngineMismatch(
            f"no precision is called {gallery.precision!r:.50}: another version made this gallery"
        )
    if not all(isinstance(text, str) for text in (*names, *gallery.photos)):
        raise GalleryError("a name or photo id is not text")
    if any(checked_name(name) != name for name in names):
        raise GalleryError("one name has two spellings")
    _check_identifiers(gallery)
    if gallery.person_index.shape != (rows,) or not np.array_equal(
        np.unique(gallery.person_index), np.arange(len(names))
    ):
        raise GalleryError("embeddings and people do not fit together")
    if not _is_distance(gallery.margin) or not (
        gallery.threshold is None or _is_distance(gallery.threshold)
    ):
        raise GalleryError("threshold and margin are distances")
    _check_target(gallery)


def _check_identifiers(gallery: Gallery) -> None:
    faces = [face.id for face in gallery.faces]
    for ids, count in ((gallery.ids, len(gallery.names)), (faces, len(gallery.photos))):
        if len(ids) != count or len(set(ids)) != count:
            raise GalleryError("two people or two faces have one id, or one has none")
        if not all(map(identifiers.is_id, ids)):
            raise GalleryError("the id of a person or a face is no UUID")
    if [face.photo for face in gallery.faces] != list(gallery.photos):
        raise GalleryError("faces and photos do not fit together")
    if not (gallery.created_at is None or isinstance(gallery.created_at, int | float)):
        raise GalleryError("the time of its creation is no number")


def _check_target(gallery: Gallery) -> None:
    target, shift = gallery.target_fpir, gallery.impostor_shift
    if target is not None and not (_is_distance(target) and 0 < target < 1):
        raise GalleryError("the target is a share of searches, above 0 and below 1")
    if target is not None and gallery.threshold is None:
        raise GalleryError("a gallery that names the nearest however far has no target")
    if not (isinstance(shift, int | float) and abs(shift) < 1e6) or isinstance(shift, bool):
        raise GalleryError("the shift is a distance")


def _is_distance(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6


def _padded(data: bytes) -> bytes:
    return data + bytes(up(len(data)) - len(data))
