"""The working copy of the gallery that the processes of a machine share."""

import errno
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facerec_tasks.errors import AwsError, NotFound, Unavailable
from facerec_tasks.recognition.gallery.enrollment import Sample
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.gallery_cache import GallerySource
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket, Stored
from local.emulators.resources import create_buckets
from local.processes.child import Child


class Watched(StateBucket):
    """The real storage, counting its readings; ``failing`` makes them fail as S3 does."""

    readings = 0
    failing: AwsError | None = None

    def get(self, name: str, *, if_none_match: str | None = None) -> Stored | None:
        self.readings += 1
        if self.failing:
            raise self.failing
        return super().get(name, if_none_match=if_none_match)


@pytest.fixture
def storage(settings: Settings) -> Watched:
    create_buckets(settings)
    return Watched(settings)


@pytest.fixture
def people(storage: Watched, settings: Settings) -> People:
    return People(StateBucket(settings))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gallery"


def enrol(people: People, name: str) -> None:
    people.add({name: [Sample(os.urandom(8), np.full(128, len(name) / 10, np.float32))]})


def age(folder: Path, seconds: float) -> None:
    """Makes the last look that old."""
    then = time.time() - seconds
    os.utime(folder / "current.etag", (then, then))


def test_gallery_source_without_enrollment_is_empty(storage: Watched, folder: Path) -> None:
    assert len(GallerySource(storage, folder).current()) == 0


def test_looks_at_the_start_and_then_once_a_minute(
    storage: Watched, folder: Path, people: People
) -> None:
    enrol(people, "Ada")
    source = GallerySource(storage, folder)
    for _ in range(5):
        assert source.current().names == ("Ada",)
    assert storage.readings == 1
    enrol(people, "Bob")
    age(folder, 59)
    assert source.current().names == ("Ada",)
    age(folder, 61)
    assert source.current().names == ("Ada", "Bob")
    assert storage.readings == 2


def test_gallery_refresh_broadcast_is_applied_at_once(
    storage: Watched, folder: Path, people: People
) -> None:
    source = GallerySource(storage, folder)
    assert len(source.current()) == 0
    enrol(people, "Ada")
    source.refresh()
    assert source.current().names == ("Ada",)


def test_one_process_fetches_for_all(storage: Watched, folder: Path, people: People) -> None:
    parent, child = GallerySource(storage, folder), GallerySource(storage, folder)
    parent.current(), child.current()
    enrol(people, "Ada")
    parent.refresh()
    readings = storage.readings
    assert child.current().names == ("Ada",)
    assert storage.readings == readings


def test_an_unchanged_gallery_is_not_fetched_or_mapped_again(
    storage: Watched, folder: Path, people: People
) -> None:
    enrol(people, "Ada")
    source = GallerySource(storage, folder)
    before = source.current()
    age(folder, 61)
    assert source.current() is before


def test_a_restarted_worker_looks_before_it_trusts_an_old_copy(
    storage: Watched, folder: Path, people: People
) -> None:
    GallerySource(storage, folder).current()
    enrol(people, "Ada")
    assert GallerySource(storage, folder).current().names == ("Ada",)


def test_without_s3_the_gallery_stays_as_it_is(
    storage: Watched, folder: Path, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    enrol(people, "Ada")
    GallerySource(storage, folder).current()
    storage.failing = Unavailable("SlowDown")
    restarted = GallerySource(storage, folder)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert restarted.current().names == ("Ada",)
    assert storage.readings == 2, "a failing S3 is not asked at every task"
    assert "SlowDown" in caplog.text


def test_without_s3_and_without_a_copy_there_is_no_gallery(storage: Watched, folder: Path) -> None:
    storage.failing = Unavailable("SlowDown")
    source = GallerySource(storage, folder)
    with pytest.raises(Unavailable):
        source.current()
    storage.failing = None
    assert len(source.current()) == 0


def test_a_damaged_gallery_never_takes_a_good_ones_place(
    storage: Watched, folder: Path, people: People
) -> None:
    enrol(people, "Ada")
    source = GallerySource(storage, folder)
    source.current()
    storage.put(layout.GALLERY_CURRENT, b"FACEREC-GALLERY1 and then nothing of the kind")
    with pytest.raises(GalleryError):
        source.refresh()
    age(folder, 61)
    assert source.current().names == ("Ada",)


def test_a_copy_without_its_etag_is_fetched_again(
    storage: Watched, folder: Path, people: People
) -> None:
    enrol(people, "Ada")
    source = GallerySource(storage, folder)
    source.current()
    (folder / "current.etag").unlink()
    (folder / "current.mapped").write_bytes(Gallery.empty("resnet128").to_bytes())
    assert source.current().names == ("Ada",)


def test_a_full_disk_leaves_the_gallery_as_it_is(
    storage: Watched,
    folder: Path,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    enrol(people, "Ada")
    source = GallerySource(storage, folder)
    source.current()
    enrol(people, "Bob")
    age(folder, 61)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert source.current().names == ("Ada",)
    assert "No space left" in caplog.text
    age(folder, 61)
    assert source.current().names == ("Ada", "Bob")


def test_a_copy_that_was_tidied_away_is_fetched_again(
    storage: Watched, folder: Path, people: People
) -> None:
    enrol(people, "Ada")
    source = GallerySource(storage, folder)
    source.current()
    shutil.rmtree(folder)
    assert source.current().names == ("Ada",)


def test_what_a_killed_process_left_half_written_is_removed(
    storage: Watched, folder: Path, people: People
) -> None:
    folder.mkdir()
    (folder / "current.999.partial").write_bytes(b"half of a gallery")
    enrol(people, "Ada")
    assert GallerySource(storage, folder).current().names == ("Ada",)
    assert sorted(path.name for path in folder.iterdir()) == [
        "current.etag",
        "current.mapped",
        "lock",
    ]


def test_empty_gallery_is_cached_once(storage: Watched, folder: Path) -> None:
    source = GallerySource(storage, folder)
    before = source.current()
    age(folder, 61)
    assert source.current() is before
    assert storage.readings == 2


def test_a_removed_gallery_is_an_empty_one(storage: Watched, folder: Path, people: People) -> None:
    enrol(people, "Ada")
    source = GallerySource(storage, folder)
    source.current()
    storage.erase(layout.GALLERY_CURRENT)
    source.refresh()
    assert len(source.current()) == 0
    with pytest.raises(NotFound):
        storage.get(layout.GALLERY_CURRENT)


FOLLOWER = """
import sys
from pathlib import Path
import numpy as np
from facerec_tasks.storage.gallery_cache import GallerySource
from facerec_tasks.settings import Settings
from facerec_tasks.storage.state_bucket import StateBucket

source, known = GallerySource(StateBucket(Settings()), Path(sys.argv[1])), -1
while known < 6:
    gallery = source.current()
    gallery.search(np.zeros((1, 128), np.float32))
    if len(gallery) != known:
        known = len(gallery)
        print(known, flush=True)
"""


def test_processes_in_the_middle_of_searching_follow_every_change(
    storage: Watched,
    folder: Path,
    people: People,
    tmp_path: Path,
    spawn: Callable[..., Child],
    eventually: Callable[..., None],
) -> None:
    command = [sys.executable, "-c", FOLLOWER, str(folder)]
    followers = [spawn(command, log=f"follower{n}") for n in range(2)]
    logs = [tmp_path / f"follower{n}.log" for n in range(2)]
    eventually(lambda: all(log.read_text().startswith("0\n") for log in logs), within=20)
    source = GallerySource(storage, folder)
    for n in range(1, 7):
        enrol(people, "x" * n)
        source.refresh()
    for follower, log in zip(followers, logs, strict=True):
        assert follower.wait(20)
        assert follower.exit_code == 0, log.read_text()
        seen = [int(line) for line in log.read_text().split()]
        assert seen == sorted(set(seen))
        assert seen[-1] == 6
