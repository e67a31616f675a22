"""The gallery outlives the embedded AWS; whoever is removed does not."""

from pathlib import Path

import pytest

from facerec_tasks.settings import Settings
from facerec_tasks.storage.state_bucket import StateBucket
from local.processes.gallery_persistence import GalleryPersistence


@pytest.fixture
def storage(resources: Settings) -> StateBucket:
    return StateBucket(resources)


def test_what_was_saved_is_restored(storage: StateBucket, tmp_path: Path) -> None:
    storage.put("gallery/current.gallery", b"people")
    storage.put("gallery/photos/abc", b"photo")
    storage.put("results/x.json", b"an answer")
    GalleryPersistence(storage, tmp_path).save()

    for name in ("gallery/current.gallery", "gallery/photos/abc", "results/x.json"):
        storage.delete(name)
    assert GalleryPersistence(storage, tmp_path).restore() == 2
    assert {e.name for e in storage.list("")} == {"gallery/current.gallery", "gallery/photos/abc"}
    stored = storage.find("gallery/photos/abc")
    assert stored
    assert stored.data == b"photo"


def test_what_is_removed_or_changed_is_so_in_the_copy(storage: StateBucket, tmp_path: Path) -> None:
    persistence = GalleryPersistence(storage, tmp_path)
    storage.put("gallery/current.gallery", b"two people")
    storage.put("gallery/photos/abc", b"photo")
    persistence.save()
    storage.put("gallery/current.gallery", b"nobody")
    storage.delete("gallery/photos/abc")
    persistence.save()
    files = {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {"current.gallery": b"nobody"}


def test_half_a_copy_is_not_restored(storage: StateBucket, tmp_path: Path) -> None:
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / ".current.gallery").write_bytes(b"hal")
    assert GalleryPersistence(storage, tmp_path).restore() == 0


def test_a_last_change_is_saved_at_the_stop(storage: StateBucket, tmp_path: Path) -> None:
    persistence = GalleryPersistence(storage, tmp_path)
    persistence.watch()
    storage.put("gallery/current.gallery", b"people")
    persistence.stop(timeout=10)
    assert (tmp_path / "gallery" / "current.gallery").read_bytes() == b"people"


def test_without_a_watch_a_stop_leaves_the_copy_alone(storage: StateBucket, tmp_path: Path) -> None:
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "current.gallery").write_bytes(b"of the last run")
    GalleryPersistence(storage, tmp_path).stop(timeout=10)
    assert list(tmp_path.rglob("current.gallery"))
