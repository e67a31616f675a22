"""The people who are known, as objects in the state bucket, edited safely from several machines.

The gallery is one object that is only ever written on the condition that it is still the one that
was read, so of two edits at once both are kept. Photos lie beside it under ids that are never used
twice, and are stored before the gallery that mentions them: a crash leaves at most a photo nobody
mentions, which the next removal sweeps away.
"""

import contextlib
import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np

from facerec_tasks.errors import AwsError, NotFound, PreconditionFailed
from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery.calibration import calibrated
from facerec_tasks.recognition.gallery.enrolment import Sample, check_precision
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket, Stored

DEFAULT_ENGINE = "resnet128"

EDIT_TIMEOUT = 30.0
"""Seconds an edit keeps trying while others edit too."""
ORPHAN_AGE = timedelta(hours=1)
"""What no gallery mentions for so long does not belong to an edit under way."""

Edit = Callable[[Gallery], Gallery]


class People:
    """Everybody the system knows. Edits return the gallery they made."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state

    def gallery(self) -> Gallery:
        """The gallery as it is now; empty when nobody was ever enrolled."""
        return self._decoded(self._state.find(layout.GALLERY_CURRENT))

    def photo(self, photo_id: str) -> bytes:
        """The photo of an enrolment; raises :class:`NotFound`."""
        stored = self._state.get(layout.gallery_photo(photo_id))
        assert stored is not None  # no condition was given
        return stored.data

    def add(self, samples: Mapping[str, Sequence[Sample]]) -> Gallery:
        """Enrols photos by name; a photo that a person has already is not added again."""
        known = self.gallery()
        given = {(name, s.digest): s for name, chosen in samples.items() for s in chosen}
        fresh = {
            f"{digest}-{secrets.token_hex(4)}": (name, sample)
            for (name, digest), sample in given.items()
            if not _has(known, name, sample)
        }
        if not fresh:
            return known

        def store(photo_id: str) -> None:
            self._state.put(layout.gallery_photo(photo_id), fresh[photo_id][1].photo)

        try:
            self._each(store, fresh)
            return self.edit(lambda gallery: _with(gallery, fresh))
        finally:  # Ctrl-C included; or somebody enrolled the same photo meanwhile
            with contextlib.suppress(AwsError):  # then a later removal sweeps them away
                self._erase(set(fresh) - set(self.gallery().photos))

    def remove(self, name: str) -> Gallery:
        """Forgets a person: embeddings, photos, and every old version of both.

        Raises :class:`~facerec_tasks.recognition.gallery.gallery.NoSuchPerson`.
        """
        found = False

        def without(gallery: Gallery) -> Gallery:
            nonlocal found
            if found and name not in gallery.names:
                return gallery  # gone with an earlier attempt, whose answer was lost
            gallery = gallery.without_person(name)
            found = True
            return gallery

        return self._forget(without)

    def rename(self, old: str, new: str) -> Gallery:
        """Raises ``NoSuchPerson``, and ``NameTaken`` when ``new`` is somebody else."""
        return self.edit(lambda gallery: gallery.renamed(old, new))

    def recompute(
        self,
        precision: str,
        embed: Callable[[bytes], Embeddings | None],
        approve: Callable[[Gallery, Gallery], None],
    ) -> Gallery:
        """Computes every embedding again, from the photos that were kept, in another precision.

        ``embed`` gives the embedding [dimension] of a photo, if there is a face. ``approve`` is
        shown the gallery before and after and raises what keeps it from being changed. What others
        edit meanwhile is kept. Raises :class:`GalleryError` when a face came without a photo.
        """
        known: dict[str, Embeddings] = {}

        def changed(gallery: Gallery) -> Gallery:
            if not all(gallery.photos):
                raise GalleryError(
                    f"{gallery.photos.count('')} faces came without their photos, as those of a "
                    "data.pt: their embeddings cannot be computed again"
                )
            for row, photo_id in enumerate(gallery.photos):
                if photo_id in known:
                    continue
                embedding = embed(self.photo(photo_id))
                if embedding is None:
                    name = gallery.names[gallery.person_index[row]]
                    raise GalleryError(f"no face is found on a photo of {name}: enrol {name} again")
                known[photo_id] = embedding
            rows = [known[photo_id] for photo_id in gallery.photos]
            return gallery.recomputed(np.stack(rows) if rows else gallery.embeddings, precision)

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
        stored, written = self._state.find(layout.GALLERY_CURRENT), None
        while True:
            before = self._decoded(stored)
            after = change(before)
            if after is before and stored:
                return before
            if _moves_threshold(before, after):
                after = calibrated(after)
            written = after.to_bytes()
            try:
                self._write(written, stored)
                return after
            except (PreconditionFailed, NotFound):  # changed, or removed, since it was read
                if time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0, 0.1))  # noqa: S311 - so that two do not keep colliding
            stored = self._state.find(layout.GALLERY_CURRENT)
            if stored and stored.data == written:
                return after  # the write succeeded, its answer was lost and it was tried again

    def _decoded(self, stored: Stored | None) -> Gallery:
        return _decoded(stored, self._state.settings.target_fpir)

    def _forget(self, change: Edit) -> Gallery:
        """An edit after which nothing is left of those it takes away."""
        before: set[str] = set()

        def watched(gallery: Gallery) -> Gallery:
            before.update(filter(None, gallery.photos))  # imported ones have none
            return change(gallery)

        after = self.edit(watched)
        self._erase(before - set(after.photos))
        self._state.erase_old_versions(layout.GALLERY_CURRENT)
        self._sweep(after)
        return after

    def _write(self, data: bytes, read: Stored | None) -> None:
        if read:
            self._state.put(layout.GALLERY_CURRENT, data, if_match=read.etag)
        else:
            self._state.put(layout.GALLERY_CURRENT, data, if_absent=True)

    def _sweep(self, gallery: Gallery) -> None:
        oldest = datetime.now(UTC) - ORPHAN_AGE
        mentioned = set(gallery.photos)
        self._erase(
            entry.name.removeprefix(layout.GALLERY_PHOTOS)
            for entry in self._state.list(layout.GALLERY_PHOTOS)
            if entry.modified < oldest
            and entry.name.removeprefix(layout.GALLERY_PHOTOS) not in mentioned
        )

    def _erase(self, photo_ids: Iterable[str]) -> None:
        self._each(lambda photo_id: self._state.erase(layout.gallery_photo(photo_id)), photo_ids)

    @staticmethod
    def _each(action: Callable[[str], object], photo_ids: Iterable[str]) -> None:
        with ThreadPoolExecutor(max_workers=8) as pool:
            for _ in pool.map(action, photo_ids):
                pass


def _decoded(stored: Stored | None, target_fpir: float) -> Gallery:
    if stored:
        return Gallery.from_bytes(stored.data)
    return Gallery.empty(DEFAULT_ENGINE, target_fpir=target_fpir)


def _moves_threshold(before: Gallery, after: Gallery) -> bool:
    """Not so of a new name."""
    return after.target_fpir is not None and (
        after.embeddings is not before.embeddings or after.target_fpir != before.target_fpir
    )


def _has(gallery: Gallery, name: str, sample: Sample) -> bool:
    return name in gallery.names and any(
        photo.startswith(sample.digest) for photo in gallery.photos_of(name)
    )


def _with(gallery: Gallery, fresh: Mapping[str, tuple[str, Sample]]) -> Gallery:
    there = set(gallery.photos)
    for name in dict.fromkeys(name for name, _ in fresh.values()):
        chosen = {
            photo_id: sample
            for photo_id, (whose, sample) in fresh.items()
            if whose == name and photo_id not in there and not _has(gallery, name, sample)
        }
        if chosen:
            for sample in chosen.values():
                check_precision(sample, gallery)
            embeddings = np.stack([sample.embedding for sample in chosen.values()])
            gallery = gallery.with_person(name, embeddings, tuple(chosen))
    return gallery
