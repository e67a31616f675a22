"""The people who are enrolled, as objects in the state bucket, edited safely from several machines.

A collection's gallery is one object that is only ever written on the condition that it is still the
one that was read, so of two edits at once both are kept. Photos lie beside it under ids that are
never used twice, and are stored before the gallery that mentions them: a crash leaves at most a
photo no gallery mentions, which the next removal sweeps away.

A gallery of format 1 is read like any other; the first edit writes it in format 2.
"""

import contextlib
import logging
import random
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from facerec_tasks.corrections import NewIdentity
from facerec_tasks.errors import AwsError, NotFound, PreconditionFailed
from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery import edits, identifiers
from facerec_tasks.recognition.gallery.calibration import calibrated
from facerec_tasks.recognition.gallery.enrollment import Sample, check_made_by, with_faces
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError, NoSuchPerson
from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord
from facerec_tasks.storage.collections import DEFAULT, NoSuchCollection, keys_of
from facerec_tasks.storage.history import History
from facerec_tasks.storage.state_bucket import StateBucket, Stored

log = logging.getLogger(__name__)

DEFAULT_ENGINE = "resnet128"

EDIT_TIMEOUT = 30.0
"""Seconds an edit keeps trying while others edit too."""
ORPHAN_AGE = timedelta(hours=1)
"""What no gallery mentions for so long does not belong to an edit under way."""

Edit = Callable[[Gallery], Gallery]


class NothingToUndo(GalleryError):
    """Raised when what a gallery was before is not kept: nothing changed, or people were erased."""


@dataclass(frozen=True)
class _NewFace:
    person: str
    """Id or name."""
    sample: Sample
    record: FaceRecord


class People:
    """Everybody enrolled in one collection. Edits return the gallery they made.

    Where a person is asked for, an id, or a name that one person bears, will do. What raises
    :class:`NoSuchPerson` raises :class:`.AmbiguousName` too, and in a collection that is not there
    everything raises :class:`NoSuchCollection`.
    """

    def __init__(self, state: StateBucket, collection: str = DEFAULT) -> None:
        self._state = state
        self._collection = collection
        self._keys = keys_of(collection)
        self._known: tuple[str, Gallery] | None = None
        """The gallery of an ETag: it is decoded once, however often it is asked for."""

    def gallery(self) -> Gallery:
        """The gallery as it is now; empty when nobody was ever enrolled."""
        return self._decoded(self._state.find(self._keys.gallery))

    def photo(self, photo_id: str) -> bytes:
        """The photo of an enrollment; raises :class:`NotFound`."""
        stored = self._state.get(self._keys.photos + photo_id)
        assert stored is not None  # no condition was given
        return stored.data

    def add(
        self, samples: Mapping[str, Sequence[Sample]], names: Mapping[str, str] | None = None
    ) -> Gallery:
        """Enrolls faces by person; a photo that a person has already is not added again.

        ``names`` gives the name of each person who is to be made under a chosen id.
        """
        known = self.gallery()
        fresh = _fresh(known, samples)
        if not fresh:
            return known
        photos = {face.record.photo: face.sample.photo for face in fresh}

        def store(photo_id: str) -> None:
            self._state.put(self._keys.photos + photo_id, photos[photo_id])

        try:
            self._each(store, photos)
            return self.edit(lambda gallery: _with(gallery, fresh, names or {}))
        finally:  # Ctrl-C included; or somebody enrolled the same photo meanwhile
            with contextlib.suppress(AwsError, GalleryError):  # then a later removal sweeps
                self._erase(set(photos) - set(self.gallery().photos))

    def remove(self, person: str) -> Gallery:
        """Forgets a person: embeddings, photos, and every old version of both.

        Raises :class:`NoSuchPerson`.
        """
        return self._forget(_once(lambda gallery: gallery.without_person(person), NoSuchPerson))

    def remove_faces(self, faces: Collection[str]) -> Gallery:
        """Forgets single faces, and the photos of which none is left.

        Raises :class:`.NoSuchFace`.
        """
        return self._forget(
            _once(lambda gallery: edits.without_faces(gallery, faces), edits.NoSuchFace)
        )

    def rename(self, person: str, new: str, *, unique: bool = True) -> Gallery:
        """Raises :class:`NoSuchPerson`, and with ``unique`` ``NameTaken`` when another has it."""
        return self.edit(lambda gallery: gallery.renamed(person, new, unique=unique))

    def merge(self, person: str, other: str) -> Gallery:
        """Gives ``person`` the faces of ``other``, who is gone; raises :class:`NoSuchPerson`.

        Answers that name ``other`` name ``person`` from now on.
        """
        before = self.gallery()
        gone = before.ids[before.index(other)]
        after = self.edit(lambda gallery: edits.merged(gallery, person, other))
        kept = after.index(person)
        self._replace_in_answers({gone: (after.ids[kept], after.names[kept])})
        return after

    def move(self, faces: Sequence[str], person: str) -> Gallery:
        """Gives faces to another person.

        Raises :class:`NoSuchPerson` and :class:`.NoSuchFace`.
        """
        return self.edit(lambda gallery: edits.moved(gallery, faces, person))

    def split(self, faces: Sequence[str], name: str, id_: str) -> Gallery:
        """Makes faces a person of their own; raises :class:`.NoSuchFace`."""
        return self.edit(lambda gallery: edits.split(gallery, faces, name, id_))

    def undo(self) -> Gallery:
        """Makes the gallery what it was before its last change; once more changes it back.

        Raises :class:`NothingToUndo`, as after every removal, which leaves nothing behind.
        """
        earlier = self._state.previous(self._keys.gallery)
        if earlier is None:
            raise NothingToUndo("there is nothing to undo: what was removed is not kept")
        before = self._decoded(earlier)
        return self.edit(lambda _: before)

    def recompute(
        self,
        like: Gallery,
        embed: Callable[[bytes, FaceBox | None], Embeddings | None],
        approve: Callable[[Gallery, Gallery], None],
    ) -> Gallery:
        """Computes every embedding again, from the photos that were kept.

        ``like`` is an empty gallery of the other engine or precision. ``embed`` gives the embedding
        [dimension] of the face of a photo in that box, if it is there. ``approve`` is shown the
        gallery before and after and raises what keeps it from being changed. What others edit
        meanwhile is kept. Raises :class:`GalleryError` when a face came without a photo.
        """
        known: dict[str, Embeddings] = {}

        def changed(gallery: Gallery) -> Gallery:
            if not all(gallery.photos):
                raise GalleryError(
                    f"{gallery.photos.count('')} faces came without their photos, as those of a "
                    "data.pt: their embeddings cannot be computed again"
                )
            for row, face in enumerate(gallery.faces):
                if face.id in known:
                    continue
                embedding = embed(self.photo(face.photo), face.box)
                if embedding is None:
                    name = gallery.names[gallery.person_index[row]]
                    raise GalleryError(f"no face is found on a photo of {name}: enrol {name} again")
                known[face.id] = embedding
            rows = [known[face.id] for face in gallery.faces]
            return gallery.recomputed(np.stack(rows) if rows else like.embeddings, like)

        before = self.gallery()
        approve(before, changed(before))  # the long part, before the edit's time begins to run
        return self.edit(changed)

    def replace(self, gallery: Gallery) -> Gallery:
        """Puts a whole gallery in the place of the current one, and forgets everybody in that."""
        return self._forget(lambda _: gallery)

    def edit(self, change: Edit) -> Gallery:
        """Reads, changes and writes; again when somebody else wrote meanwhile.

        ``change`` may be called several times. Raises :class:`PreconditionFailed` after
        :data:`EDIT_TIMEOUT`.
        """
        deadline = time.monotonic() + EDIT_TIMEOUT
        stored, written = self._state.find(self._keys.gallery), None
        while True:
            before = self._decoded(stored)
            after = change(before)
            if after is before and stored:
                return before
            if _moves_threshold(before, after):
                after = calibrated(after)
            written = after.to_bytes()
            try:
                self._known = self._state.put_over(self._keys.gallery, written, stored), after
                return after
            except (PreconditionFailed, NotFound):  # changed, or removed, since it was read
                if time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0, 0.1))  # noqa: S311 - so that two do not keep colliding
            stored = self._state.find(self._keys.gallery)
            if stored and stored.data == written:
                return after  # the write succeeded, its answer was lost and it was tried again

    def _forget(self, change: Edit) -> Gallery:
        """An edit after which nothing is left of those it takes away."""
        photos: set[str] = set()
        people: set[str] = set()

        def watched(gallery: Gallery) -> Gallery:
            photos.update(filter(None, gallery.photos))  # imported ones have none
            people.update(gallery.ids)
            return change(gallery)

        after = self.edit(watched)
        self._erase(photos - set(after.photos))
        self._state.erase_old_versions(self._keys.gallery)
        self._sweep(after)
        self._replace_in_answers(dict.fromkeys(people - set(after.ids)))
        return after

    def _replace_in_answers(self, people: Mapping[str, NewIdentity]) -> None:
        """Photos are recognized by the default collection alone."""
        if self._collection != DEFAULT or not people:
            return
        if not History(self._state).replace_people(people):
            log.warning("older answers still hold the ids of people who are gone")

    def _sweep(self, gallery: Gallery) -> None:
        oldest = datetime.now(UTC) - ORPHAN_AGE
        mentioned, photos = set(gallery.photos), self._keys.photos
        self._erase(
            entry.name.removeprefix(photos)
            for entry in self._state.list(photos)
            if entry.modified < oldest and entry.name.removeprefix(photos) not in mentioned
        )

    def _erase(self, photo_ids: Iterable[str]) -> None:
        self._each(lambda photo_id: self._state.erase(self._keys.photos + photo_id), photo_ids)

    def _decoded(self, stored: Stored | None) -> Gallery:
        if stored:
            if self._known is None or self._known[0] != stored.etag:
                self._known = stored.etag, Gallery.from_bytes(stored.data)
            return self._known[1]
        if self._collection != DEFAULT:
            raise NoSuchCollection(f"no collection is called {self._collection}")
        target = self._state.settings.target_fpir
        return Gallery.empty(DEFAULT_ENGINE, target_fpir=target)

    @staticmethod
    def _each(action: Callable[[str], object], photo_ids: Iterable[str]) -> None:
        with ThreadPoolExecutor(max_workers=8) as pool:
            for _ in pool.map(action, photo_ids):
                pass


def _once(remove: Edit, gone: type[Exception]) -> Edit:
    """``remove``, also when it has been done by an earlier attempt whose answer was lost."""
    done = False

    def removed(gallery: Gallery) -> Gallery:
        nonlocal done
        try:
            gallery = remove(gallery)
        except gone:
            if not done:
                raise
        done = True
        return gallery

    return removed


def _moves_threshold(before: Gallery, after: Gallery) -> bool:
    """Not so of a new name."""
    return after.target_fpir is not None and (
        after.embeddings is not before.embeddings or after.target_fpir != before.target_fpir
    )


def _fresh(known: Gallery, samples: Mapping[str, Sequence[Sample]]) -> list[_NewFace]:
    """The faces that are new; those of one photo share its id."""
    photo_ids: dict[str, str] = {}
    found: dict[tuple[str, str, object], _NewFace] = {}
    for person, chosen in samples.items():
        for sample in chosen:
            if _has(known, person, sample):
                continue
            digest = sample.digest
            photo = photo_ids.setdefault(digest, f"{digest}-{secrets.token_hex(4)}")
            record = FaceRecord(identifiers.new_id(), photo, sample.box)
            found.setdefault((person, digest, sample.box), _NewFace(person, sample, record))
    return list(found.values())


def _has(gallery: Gallery, person: str, sample: Sample) -> bool:
    try:
        photos = gallery.photos_of(person)
    except NoSuchPerson:
        return False
    return any(photo.startswith(sample.digest) for photo in photos)


def _with(gallery: Gallery, fresh: Sequence[_NewFace], names: Mapping[str, str]) -> Gallery:
    there = {face.id for face in gallery.faces}
    for person in dict.fromkeys(face.person for face in fresh):
        chosen = [
            face
            for face in fresh
            if face.person == person
            and face.record.id not in there
            and not _has(gallery, person, face.sample)
        ]
        if chosen:
            for face in chosen:
                check_made_by(face.sample, gallery)
            embeddings = np.stack([face.sample.embedding for face in chosen])
            records = [face.record for face in chosen]
            gallery = with_faces(gallery, person, names, embeddings, records)
    return gallery
