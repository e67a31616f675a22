"""Who is known, and who a face is: people, their embeddings, and an honest "unknown".

A gallery names the engine its numbers come from, because embeddings of two engines cannot be
compared. It is immutable: every edit returns another gallery, so a search never sees half of one.

Its file is described in :mod:`.serialization`."""

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
    EmbedderDescription,
    built_in,
)
from facerec_tasks.recognition.embedding.metrics import Block, Embeddings, means_of
from facerec_tasks.recognition.embedding.precision import FP32
from facerec_tasks.recognition.gallery import identifiers, operating_point, serialization
from facerec_tasks.recognition.gallery.errors import (
    AmbiguousName,
    EngineMismatch,
    NameTaken,
    NoSuchPerson,
)
from facerec_tasks.recognition.gallery.header import GalleryError
from facerec_tasks.recognition.gallery.matching import CANDIDATES, Match, match
from facerec_tasks.recognition.gallery.person_name import checked_name
from facerec_tasks.recognition.gallery.records import FaceRecord
from facerec_tasks.recognition.gallery.validation import check, describe_engine

__all__ = [
    "AmbiguousName",
    "EngineMismatch",
    "Gallery",
    "GalleryError",
    "Match",
    "NameTaken",
    "NoSuchPerson",
]


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
    """What is searched, of a gallery that was checked before (:mod:`.mapped`)."""
    blocks: tuple[Block, ...] = field(init=False, repr=False)
    """What is searched: the photos, and the means of people who have several."""

    def __post_init__(self, searched: tuple[Block, ...] | None) -> None:
        if searched is None:
            self._identify()
            check(self)
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
        described = engine if isinstance(engine, EmbedderDescription) else describe_engine(engine)
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
        """Ids of a person's photos, in the order of enrollment.

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
        names = (*self.names[:index], new, *self.names[index + 1 :])
        return replace(self, names=names, searched=self.blocks)

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

    def with_threshold(self, threshold: float | None) -> Self:
        """The same people under another rule; None names the nearest, however far."""
        return replace(self, threshold=threshold, target_fpir=None)

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
        threshold = round(max(0.0, expected + self.impostor_shift), 4)
        return replace(self, threshold=threshold, searched=self.blocks)

    # Search

    def search(self, embeddings: Embeddings, candidates: int = CANDIDATES) -> list[Match]:
        """For each embedding [n, dimension] who it is, with the nearest people."""
        return [match(self, probe, candidates) for probe in self._compatible(embeddings)]

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
        """The file described in :mod:`.serialization`.

        ``version`` 1 is what programs read that know no other: it has no ids and no boxes, so
        names must be unique. Raises :class:`AmbiguousName` when they are not.
        """
        return serialization.to_bytes(self, version)

    @classmethod
    def from_bytes(cls, data: bytes | mmap.mmap) -> Self:
        """Raises :class:`GalleryError` for anything :meth:`to_bytes` could not have made.

        The arrays are views of ``data``, not copies.
        """
        return serialization.from_bytes(cls, data)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Maps a gallery's file; raises :class:`GalleryError`."""
        with path.open("rb") as file:
            try:
                return cls.from_bytes(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except ValueError as error:  # an empty file cannot be mapped
                raise GalleryError(f"{path}: {error}") from error
