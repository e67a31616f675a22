"""Who is known, and who a face is: people, their embeddings, and an honest "unknown".

A gallery names the engine its numbers come from, because embeddings of two engines cannot be
compared. It is immutable: every edit returns another gallery, so a search never sees half of one.

As it is kept, all numbers little-endian (a machine's working copy is :mod:`.mapped_gallery`)::

    16 bytes   FACEREC-GALLERY1
     8 bytes   length of the header, unsigned
     n bytes   header, JSON: engine, precision, dimension, threshold, margin, names, photos
               zeros up to a multiple of 64
     4 x rows  int32, which of the names each row belongs to
               zeros up to a multiple of 64
     4 x rows x dimension   float32, the embeddings

Nothing in it is executed, compressed or repeated, so a hostile file is at worst refused.
"""

import json
import math
import mmap
import unicodedata
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.embedding.metrics import (
    EMBEDDER_TRAITS,
    Block,
    EmbedderTraits,
    Embeddings,
    lead_needed,
    means_of,
)
from facerec_tasks.recognition.embedding.precision import FP32, is_known
from facerec_tasks.recognition.gallery.header import LENGTH, MAGIC, GalleryError, read_header, up
from facerec_tasks.recognition.gallery.person_name import checked_name

__all__ = ["EngineMismatch", "Gallery", "GalleryError", "Match", "NameTaken", "NoSuchPerson"]


class EngineMismatch(GalleryError):
    """Raised when embeddings of one engine meet a gallery of another; says the remedy."""


class NoSuchPerson(GalleryError):
    """Raised when a person to remove or rename is not in the gallery."""


class NameTaken(GalleryError):
    """Raised when a person is renamed to somebody who is there already."""


@dataclass(frozen=True)
class Match:
    """Who one face is."""

    name: str | None
    """None when nobody is near enough, or two people are equally near."""
    distance: float | None
    """To the nearest person; none in an empty gallery, like all that follows."""
    confidence: float | None
    """How sure ``name`` is, 0 to 1; for an unknown face, how sure it is that it is nobody known."""
    nearest: str | None = None
    """The nearest person, also when that is not near enough."""
    runner_up: str | None = None
    """The nearest other person; none when only one is known."""
    runner_up_distance: float | None = None


NOBODY = Match(name=None, distance=None, confidence=None)


@dataclass(frozen=True, eq=False)
class Gallery:
    """People and their embeddings. Raises :class:`GalleryError` for what does not fit together."""

    engine: str
    names: Sequence[str]
    person_index: NDArray[np.int32]
    """[rows], for each embedding the index of its person in ``names``."""
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
    searched: InitVar[tuple[Block, ...] | None] = None
    """What is searched, of a gallery that was checked before (:mod:`.mapped_gallery`)."""
    blocks: tuple[Block, ...] = field(init=False, repr=False)
    """What is searched: the photos, and the means of people who have several."""

    def __post_init__(self, searched: tuple[Block, ...] | None) -> None:
        if searched is None:
            _check(self)
            photos = Block(self.embeddings, self.person_index)
            # A mean is one more photo of its person: with three photos it halves the faces missed.
            means = None if self.threshold is None else means_of(photos)
            searched = (photos, means) if means else (photos,)
        object.__setattr__(self, "blocks", searched)
        for array in (self.person_index, self.embeddings):
            array.flags.writeable = False

    @classmethod
    def empty(cls, engine: str, *, precision: str = FP32) -> Self:
        """A gallery of nobody, with the engine's threshold."""
        traits = _embedder_traits(engine)
        return cls(
            engine=engine,
            names=(),
            person_index=np.zeros(0, np.int32),
            embeddings=np.zeros((0, traits.dimension), np.float32),
            photos=(),
            threshold=traits.threshold,
            margin=traits.margin,
            precision=precision,
        )

    @property
    def dimension(self) -> int:
        return int(self.embeddings.shape[1])

    def __len__(self) -> int:
        """Number of people."""
        return len(self.names)

    def photos_of(self, name: str) -> tuple[str, ...]:
        """Ids of a person's photos, in the order of enrolment; raises :class:`NoSuchPerson`."""
        return tuple(
            self.photos[row]
            for row in np.flatnonzero(self.person_index == self._index(name)).tolist()
        )

    def distance(self, name: str, embedding: Embeddings) -> float:
        """From a face [dimension] to a person's nearest photo; raises :class:`NoSuchPerson`."""
        rows = self.embeddings[self.person_index == self._index(name)]
        return float(np.linalg.norm(rows - embedding, axis=1).min())

    # Edits

    def with_person(self, name: str, embeddings: Embeddings, photos: Sequence[str]) -> Self:
        """The person with further embeddings [n, dimension], one photo id each."""
        name = checked_name(name)
        rows = self._compatible(embeddings)
        names = self.names if name in self.names else (*self.names, name)
        owner = np.full(len(rows), names.index(name), np.int32)
        return replace(
            self,
            names=names,
            person_index=np.concatenate([self.person_index, owner]),
            embeddings=np.concatenate([self.embeddings, rows]),
            photos=(*self.photos, *photos),
        )

    def without_person(self, name: str) -> Self:
        """Everybody else; raises :class:`NoSuchPerson`."""
        gone = self._index(name)
        stays = self.person_index != gone
        person_index = self.person_index[stays]
        return replace(
            self,
            names=(*self.names[:gone], *self.names[gone + 1 :]),
            person_index=person_index - (person_index > gone).astype(np.int32),
            embeddings=self.embeddings[stays],
            photos=tuple(self.photos[row] for row in np.flatnonzero(stays).tolist()),
        )

    def renamed(self, old: str, new: str) -> Self:
        """The same faces under a new name; raises :class:`NoSuchPerson`, :class:`NameTaken`."""
        new = checked_name(new)
        index = self._index(old)
        if new in self.names and new != old:
            raise NameTaken(f"{new} is there already")
        return replace(self, names=(*self.names[:index], new, *self.names[index + 1 :]))

    def recomputed(self, embeddings: Embeddings, precision: str) -> Self:
        """The same photos, their embeddings [rows, dimension] computed in another precision."""
        rows = self._compatible(embeddings)
        return replace(self, embeddings=rows, precision=precision)

    def with_threshold(self, threshold: float | None, margin: float | None = None) -> Self:
        """The same people under another rule; None names the nearest, however far."""
        return replace(self, threshold=threshold, margin=self.margin if margin is None else margin)

    # Search

    def search(self, embeddings: Embeddings) -> list[Match]:
        """For each embedding [n, dimension] who it is."""
        return [self._match(probe) for probe in self._compatible(embeddings)]

    def _match(self, probe: Embeddings) -> Match:
        if not self.names:
            return NOBODY
        estimates = [block.estimate(probe) for block in self.blocks]
        owner, distance = self._nearest(estimates, probe)
        runner_up, runner_up_distance = None, None
        if len(self.names) > 1:
            for block, estimate in zip(self.blocks, estimates, strict=True):
                estimate[block.person_index == owner] = np.inf
            other, runner_up_distance = self._nearest(estimates, probe)
            runner_up = self.names[other]
        known = self._is_known(distance, runner_up_distance)
        sure = self._confidence(distance, runner_up_distance)
        return Match(
            name=self.names[owner] if known else None,
            distance=distance,
            confidence=sure if known else 1 - sure,
            nearest=self.names[owner],
            runner_up=runner_up,
            runner_up_distance=runner_up_distance,
        )

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

    def _confidence(self, distance: float, runner_up_distance: float | None) -> float:
        """Of three possibilities, the nearest, the runner-up and nobody known: the first's share.

        The odds of each person against nobody are ``exp((threshold - distance) / spread)``.
        """
        traits = EMBEDDER_TRAITS[self.engine]
        threshold = traits.threshold if self.threshold is None else self.threshold
        odds = [
            math.exp(max(-50.0, min(50.0, (threshold - d) / traits.spread)))
            for d in (distance, runner_up_distance)
            if d is not None
        ]
        nobody = 1.0 if self.threshold is not None else 0.0
        return odds[0] / (sum(odds) + nobody)

    def _index(self, name: str) -> int:
        try:
            return self.names.index(unicodedata.normalize("NFC", name))
        except ValueError:
            raise NoSuchPerson(f"nobody is called {name}") from None

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

    def to_bytes(self) -> bytes:
        """The file described at the top of this module."""
        header = {
            "engine": self.engine,
            "precision": self.precision,
            "dimension": self.dimension,
            "threshold": self.threshold,
            "margin": self.margin,
            "names": list(self.names),
            "photos": list(self.photos),
        }
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        head = _padded(MAGIC + LENGTH.pack(len(text)) + text)
        person_index = _padded(self.person_index.astype("<i4").tobytes())
        return b"".join((head, person_index, self.embeddings.astype("<f4").tobytes()))

    @classmethod
    def from_bytes(cls, data: bytes | mmap.mmap) -> Self:
        """Raises :class:`GalleryError` for anything :meth:`to_bytes` could not have made.

        The arrays are views of ``data``, not copies.
        """
        header, start = read_header(data)
        try:
            names, photos = _listed(header["names"]), _listed(header["photos"])
            dimension, rows = header["dimension"], len(photos)
            begin = start + up(4 * rows)
            if not isinstance(dimension, int) or len(data) != begin + 4 * rows * dimension:
                raise GalleryError("not a gallery: its length is not what its header says")
            return cls(
                engine=header["engine"],
                names=names,
                person_index=np.frombuffer(data, "<i4", rows, start),
                embeddings=np.frombuffer(data, "<f4", -1, begin).reshape(rows, dimension)
                if rows
                else np.zeros((0, dimension), np.float32),
                photos=photos,
                threshold=header["threshold"],
                margin=header["margin"],
                precision=header["precision"],
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


def _embedder_traits(engine: str) -> EmbedderTraits:
    if not isinstance(engine, str) or engine not in EMBEDDER_TRAITS:
        raise EngineMismatch(
            f"no engine is called {engine!r:.50}; there are {', '.join(EMBEDDER_TRAITS)}"
        )
    return EMBEDDER_TRAITS[engine]


def _check(gallery: Gallery) -> None:
    traits = _embedder_traits(gallery.engine)
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
    if len(set(names)) != len(names) or any(checked_name(name) != name for name in names):
        raise GalleryError("two people have one name, or one name has two spellings")
    if gallery.person_index.shape != (rows,) or not np.array_equal(
        np.unique(gallery.person_index), np.arange(len(names))
    ):
        raise GalleryError("embeddings and people do not fit together")
    if not _is_distance(gallery.margin) or not (
        gallery.threshold is None or _is_distance(gallery.threshold)
    ):
        raise GalleryError("threshold and margin are distances")


def _is_distance(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6


def _listed(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise GalleryError("not a gallery: no list where one is expected")
    return tuple(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(up(len(data)) - len(data))
