"""Photos, names, answers and people outlive the embedded AWS, however it ends."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery_sqs.testing.server import ACCOUNT

from facerec_tasks.settings import Settings
from facerec_tasks.storage.buckets import Storage
from facerec_tasks.storage.photos import Photos
from local.emulators import embedded_aws
from local.emulators.resources import create_buckets
from local.processes import expiry, former_copy
from local.processes.child import Child


@contextmanager
def running(folder: Path, last_words: int = signal.SIGKILL) -> Iterator[Settings]:
    """An embedded AWS on that folder, ended by a signal."""
    command = embedded_aws.command(0, pending=0, stopping=0, folder=folder / "objects")
    child = Child(command, stdout=subprocess.PIPE)
    try:
        settings = Settings(
            _env_file=None, id="kept", endpoint_url=child.first_line(30), state_dir=folder
        )  # type: ignore[call-arg]
        create_buckets(settings)
        yield settings
        os.kill(child.pid, last_words)
        child.wait(10)
    finally:
        child.kill()


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)


def test_what_was_stored_is_there_after_a_crash(tmp_path: Path) -> None:
    with running(tmp_path) as settings:
        storage = Storage(settings)
        first = storage.photos.put("photo.jpg", b"first", "image/jpeg")
        second = storage.photos.put("photo.jpg", b"second", "image/jpeg")
        storage.names.put("photo", "Grace", "task", 7.0)
        storage.state.put("results/a.json", b"{}")
        etag = storage.state.put("gallery/current.gallery", b"one")
        changed = storage.state.put("gallery/current.gallery", b"two", if_match=etag)
        storage.state.put("gallery/photos/gone", b"secret")
        storage.state.erase("gallery/photos/gone")
        storage.state.put("results/deleted.json", b"old")
        storage.state.delete("results/deleted.json")
        storage.state.put("controller/lease.json", b"of this run")
    with running(tmp_path) as settings:
        storage = Storage(settings)
        assert storage.photos.get("photo.jpg", first) == b"first"
        assert storage.photos.get("photo.jpg", second) == b"second"
        assert storage.photos.get("photo.jpg") == b"second"
        assert Photos(settings).names() == {"photo": "Grace"}
        storage.names.put("photo", "Eileen", "older", 6.0, keep_newer=True)
        assert Photos(settings).names() == {"photo": "Grace"}, "metadata is kept"
        found = storage.state.find("gallery/current.gallery")
        assert found
        assert (found.data, found.etag) == (b"two", changed)
        assert storage.state.names("") == ("gallery/current.gallery", "results/a.json")
        storage.state.put("gallery/current.gallery", b"three", if_match=changed)
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_what_expired_is_gone_from_the_disk(tmp_path: Path) -> None:
    with running(tmp_path, signal.SIGINT) as settings:
        Storage(settings).photos.put("photo.jpg", b"first", "image/jpeg")
        week = settings.model_copy(update={"retention_days": 7})
        expiry.expire(week, datetime.now(UTC))
        assert len(list(Photos(settings).photos())) == 1
        expiry.expire(week, datetime.now(UTC) + timedelta(days=8))
        assert list(Photos(settings).photos()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_copy_of_an_earlier_release_is_taken_over(resources: Settings, tmp_path: Path) -> None:
    settings = resources.model_copy(update={"state_dir": tmp_path})
    copy = tmp_path / "kept" / settings.id / "gallery"
    copy.mkdir(parents=True)
    (copy / "current.gallery").write_bytes(b"people")
    (copy / ".half").write_bytes(b"ha")
    assert former_copy.restore(settings) == 1
    stored = Storage(settings).state.find("gallery/current.gallery")
    assert stored
    assert stored.data == b"people"
    assert former_copy.restore(settings) == 0
