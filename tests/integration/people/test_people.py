"""The gallery in the state bucket, edited by several at once."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from facerec_tasks.aws import client
from facerec_tasks.errors import NotFound, PreconditionFailed, Unavailable
from facerec_tasks.recognition.gallery.data_pt import ENGINE as FACENET
from facerec_tasks.recognition.gallery.enrollment import Sample
from facerec_tasks.recognition.gallery.gallery import Gallery, NameTaken, NoSuchPerson
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage import people as people_module
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators.resources import create_buckets
from local.processes.child import Child


def sample(value: float, photo: bytes = b"") -> Sample:
    return Sample(photo or os.urandom(16), np.full(128, value, np.float32))


@pytest.fixture
def storage(settings: Settings) -> StateBucket:
    create_buckets(settings)
    return StateBucket(settings)


@pytest.fixture
def people(storage: StateBucket) -> People:
    return People(storage)


def photo_names(storage: StateBucket) -> set[str]:
    return {
        entry.name.removeprefix(layout.GALLERY_PHOTOS)
        for entry in storage.list(layout.GALLERY_PHOTOS)
    }


def versions(settings: Settings, prefix: str) -> list[str]:
    listed = client(settings, "s3").list_object_versions(
        Bucket=settings.state_bucket, Prefix=prefix
    )
    return [v["Key"] for v in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))]


def test_gallery_is_empty_at_first(people: People) -> None:
    assert (len(people.gallery()), people.gallery().engine) == (0, "resnet128")


def test_enrolled_people_are_known_and_their_photos_kept(
    people: People, storage: StateBucket
) -> None:
    made = people.add({"Ada": [sample(0.1, b"first"), sample(0.2)], "Bob": [sample(0.9)]})
    gallery = people.gallery()
    assert gallery.to_bytes() == made.to_bytes()
    assert gallery.names == ("Ada", "Bob")
    assert photo_names(storage) == set(gallery.photos)
    assert people.photo(gallery.photos_of("Ada")[0]) == b"first"


def test_the_same_photo_of_a_person_is_enrolled_once(people: People, storage: StateBucket) -> None:
    first = people.add({"Ada": [sample(0.1, b"photo"), sample(0.1, b"photo")]})
    again = people.add({"Ada": [sample(0.1, b"photo"), sample(0.1, b"photo")]})
    assert again.to_bytes() == first.to_bytes()
    assert len(photo_names(storage)) == 1


def test_removed_person_leaves_no_embeddings_or_photos(
    people: People, storage: StateBucket, settings: Settings
) -> None:
    people.add({"Ada": [sample(0.1)], "Bob": [sample(0.9)]})
    people.rename("Ada", "Augusta")
    gallery = people.remove("Augusta")
    assert gallery.names == people.gallery().names == ("Bob",)
    assert photo_names(storage) == set(gallery.photos)
    assert versions(settings, layout.GALLERY_CURRENT) == [layout.GALLERY_CURRENT], (
        "no old version holds the embeddings"
    )
    assert len(versions(settings, layout.GALLERY_PHOTOS)) == 1, "no old version holds the photo"


def test_unknown_person_cannot_be_removed_or_renamed(people: People) -> None:
    people.add({"Ada": [sample(0.1)], "Bob": [sample(0.9)]})
    with pytest.raises(NoSuchPerson):
        people.remove("Eve")
    with pytest.raises(NoSuchPerson):
        people.rename("Eve", "Eva")
    with pytest.raises(NameTaken):
        people.rename("Ada", "Bob")


def test_another_gallery_takes_the_place_of_the_old_one(
    people: People, storage: StateBucket
) -> None:
    people.add({"Ada": [sample(0.1)]})
    people.replace(Gallery.empty(FACENET))
    assert people.gallery().engine == FACENET
    assert not photo_names(storage)


def test_an_enrollment_that_failed_leaves_no_photos(people: People, storage: StateBucket) -> None:
    people.replace(Gallery.empty(FACENET))
    with pytest.raises(ValueError, match="switched to facenet"):
        people.add({"Ada": [sample(0.1)]})
    assert not photo_names(storage)


def test_photos_of_a_crashed_enrollment_are_swept_in_time(
    people: People, storage: StateBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put(layout.GALLERY_PHOTOS + "orphan", b"somebody")
    people.add({"Ada": [sample(0.1)], "Bob": [sample(0.9)]})
    people.remove("Ada")
    assert "orphan" in photo_names(storage), "it may belong to an enrollment under way"
    monkeypatch.setattr(people_module, "ORPHAN_AGE", timedelta(0))
    people.remove("Bob")
    assert not photo_names(storage)


MACHINE = """
import os, sys
import numpy as np
from facerec_tasks.storage.people import People
from facerec_tasks.recognition.gallery.enrollment import Sample
from facerec_tasks.settings import Settings
from facerec_tasks.storage.state_bucket import StateBucket

people = People(StateBucket(Settings()))
for n in range(5):
    people.add({f"{sys.argv[1]}{n}": [Sample(os.urandom(8), np.full(128, n / 10, np.float32))]})
"""


def test_of_edits_from_two_machines_at_once_none_is_lost(
    people: People, spawn: Callable[..., Child], tmp_path: Path
) -> None:
    machines = {
        who: spawn([sys.executable, "-c", MACHINE, who], log=who) for who in ("left", "right")
    }
    for who, machine in machines.items():
        assert machine.wait(60)
        assert machine.exit_code == 0, (tmp_path / f"{who}.log").read_text()
    expected = {f"{who}{n}" for who in ("left", "right") for n in range(5)}
    assert set(people.gallery().names) == expected


def test_edits_of_one_person_from_many_threads_are_all_kept(people: People) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: people.add({"Ada": [sample(n / 10)]}), range(8)))
    assert len(people.gallery().photos_of("Ada")) == 8


def test_the_same_photo_from_many_threads_is_enrolled_once(
    people: People, storage: StateBucket
) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: people.add({"Ada": [sample(0.1, b"photo")]}), range(8)))
    assert len(people.gallery().photos_of("Ada")) == 1
    assert photo_names(storage) == set(people.gallery().photos)


def test_an_edit_gives_up_in_the_end(
    people: People, storage: StateBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_module, "EDIT_TIMEOUT", 0.3)

    def somebody_is_always_faster(gallery: Gallery) -> Gallery:
        storage.put(
            layout.GALLERY_CURRENT,
            gallery.with_person("Eve", sample(1).embedding[None], ["e"]).to_bytes(),
        )
        return gallery.with_person("Ada", sample(0).embedding[None], ["a"])

    with pytest.raises(PreconditionFailed):
        people.edit(somebody_is_always_faster)
    assert people.gallery().names == ("Eve",)


def test_idempotency_of_a_gallery_write_with_lost_response(
    people: People, storage: StateBucket, settings: Settings
) -> None:
    """boto3 tries again by itself, and then finds its own first write in the way."""
    lost = []

    class Lossy(StateBucket):
        def put(self, name: str, data: bytes, **condition: object) -> str:
            etag = super().put(name, data, **condition)  # type: ignore[arg-type]
            if not lost:
                lost.append(etag)
                raise PreconditionFailed("the answer to the first attempt was lost")
            return etag

    people.add({"Ada": [sample(0.1)], "Bob": [sample(0.9)]})
    People(Lossy(settings)).edit(lambda gallery: gallery.without_person("Ada"))
    assert lost
    assert people.gallery().names == ("Bob",)


def test_a_removal_is_finished_though_its_answer_was_lost_and_others_edit(
    people: People, storage: StateBucket, settings: Settings
) -> None:
    lost = []

    class Lossy(StateBucket):
        def put(self, name: str, data: bytes, **condition: object) -> str:
            etag = super().put(name, data, **condition)  # type: ignore[arg-type]
            if name == layout.GALLERY_CURRENT and not lost:
                lost.append(etag)
                people.add({"Eve": [sample(0.5)]})
                raise PreconditionFailed("the answer to the first attempt was lost")
            return etag

    people.add({"Ada": [sample(0.1)], "Bob": [sample(0.9)]})
    People(Lossy(settings)).remove("Ada")
    assert people.gallery().names == ("Bob", "Eve")
    assert photo_names(storage) == set(people.gallery().photos)


def test_failed_enrollment_removes_its_photos(
    people: People, storage: StateBucket, settings: Settings
) -> None:
    class Throttled(StateBucket):
        def put(self, name: str, data: bytes, **condition: object) -> str:
            if data == b"third":
                raise Unavailable("SlowDown")
            return super().put(name, data, **condition)  # type: ignore[arg-type]

    photos = [sample(n / 10, text) for n, text in enumerate((b"first", b"second", b"third"))]
    with pytest.raises(Unavailable):
        People(Throttled(settings)).add({"Ada": photos})
    assert len(people.gallery()) == 0
    assert not photo_names(storage)


def test_a_write_that_succeeded_though_it_failed_keeps_its_photos(
    people: People, storage: StateBucket, settings: Settings
) -> None:
    class Deceiving(StateBucket):
        def put(self, name: str, data: bytes, **condition: object) -> str:
            etag = super().put(name, data, **condition)  # type: ignore[arg-type]
            if name == layout.GALLERY_CURRENT:
                raise Unavailable("it was stored, but the answer never came")
            return etag

    with pytest.raises(Unavailable):
        People(Deceiving(settings)).add({"Ada": [sample(0.1)]})
    assert people.gallery().names == ("Ada",)
    assert photo_names(storage) == set(people.gallery().photos)


def test_the_bucket_must_exist(settings: Settings) -> None:
    with pytest.raises(NotFound):
        People(StateBucket(settings)).add({"Ada": [sample(0.1)]})
