"""The enrolled people of each collection, read from gallery files and cached."""

import threading
from collections import OrderedDict

from facerec_tasks.errors import NotFound
from facerec_tasks.recognition.gallery.header import GalleryInfo, info
from facerec_tasks.recognition.gallery.records import FaceRecord, PersonRecord
from facerec_tasks.storage.collections import DEFAULT, Collections, NoSuchCollection, keys_of
from facerec_tasks.storage.state_bucket import StateBucket
from webapp.http.errors import Problem

MOST_KEPT = 16
"""Collections whose people one process keeps in memory."""


class EnrolledPeople:
    """One per process; safe to use from many threads. Problems come as :class:`Problem`."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state
        self._kept: OrderedDict[str, tuple[str, GalleryInfo]] = OrderedDict()
        """ETag and people."""
        self._lock = threading.Lock()

    def collections(self) -> tuple[str, ...]:
        """The names of all collections, the default one first."""
        return Collections(self._state).names()

    def all(self, collection: str = DEFAULT) -> tuple[PersonRecord, ...]:
        """Everybody, by name and id."""
        return self.info(collection).people

    def info(self, collection: str = DEFAULT) -> GalleryInfo:
        """The collection, as it is now: one conditional request to S3."""
        with self._lock:
            kept = self._kept.get(collection)
            try:
                stored = self._state.get(
                    keys_of(collection).gallery, if_none_match=kept[0] if kept else None
                )
            except NoSuchCollection as error:
                raise Problem("no-such-collection", str(error)) from error
            except NotFound:
                self._kept.pop(collection, None)
                if collection != DEFAULT:
                    raise Problem("no-such-collection", "no collection has this name") from None
                return GalleryInfo("", "", None, ())
            if stored is not None:
                kept = self._kept[collection] = stored.etag, info(stored.data)
            assert kept is not None  # S3 says "not modified" only of an ETag we named
            self._kept.move_to_end(collection)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return kept[1]

    def one(self, person: str, collection: str = DEFAULT) -> PersonRecord:
        """The person with that id; raises ``no-such-person``."""
        found = self.info(collection).by_id.get(person)
        if found is None:
            raise Problem("no-such-person", "nobody has this id")
        return found

    def named(self, name: str, collection: str = DEFAULT) -> PersonRecord:
        """The only person of that name; raises ``no-such-person`` or ``ambiguous-name``."""
        found = self.info(collection).by_name.get(name, ())
        if not found:
            raise Problem("no-such-person", "nobody has this name")
        if len(found) > 1:
            more = {"ids": [person.id for person in found]}
            raise Problem("ambiguous-name", "several people have this name", more=more)
        return found[0]

    def face(self, person: str, face: str, collection: str = DEFAULT) -> FaceRecord:
        """One face of a person; raises ``no-such-person`` or ``no-such-face``."""
        for record in self.one(person, collection).faces:
            if record.id == face:
                return record
        raise Problem("no-such-face", "this person has no such face")

    def photo(self, face: FaceRecord, collection: str = DEFAULT) -> bytes:
        """The photo a face comes from; raises ``not-found`` when it was imported without one."""
        where = keys_of(collection).photos + face.photo
        stored = self._state.find(where) if face.photo else None
        if stored is None:
            raise Problem("not-found", "no such photo")
        return stored.data
