"""Folders of people: what is taken, and what is skipped and why."""

import unicodedata
from pathlib import Path

import pytest

from facerec_tasks.recognition.gallery.photo_folder import (
    NotAFolder,
    PhotoFolder,
    SkipReason,
    photos_in,
    photos_of,
)

JPEG = b"\xff\xd8\xff\xe0"


def put(folder: Path, path: str, data: bytes = JPEG) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def test_photos_are_known_by_their_bytes_and_not_by_their_suffix(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.JFIF", "3", "4.txt"):
        put(tmp_path, f"Ada/{name}")
    put(tmp_path, "Ada/5.heic", b"\0\0\0\x18ftypheic" + bytes(12))
    assert [path.name for _, path in photos_of(tmp_path)] == [
        "1.jpg", "2.JFIF", "3", "4.txt", "5.heic",
    ]  # fmt: skip


def test_skipped_files_are_reported_with_a_reason(tmp_path: Path) -> None:
    put(tmp_path, "Ada/1.jpg")
    put(tmp_path, "Ada/notes.txt", b"not a picture")
    put(tmp_path, "Ada/2.jxl", b"\xff\x0a")
    put(tmp_path, "Ada/more/3.jpg")
    put(tmp_path, "trailing /1.jpg")
    put(tmp_path, "loose.jpg")
    (tmp_path / "Empty").mkdir()
    (tmp_path / "Ada" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    put(tmp_path, ".hidden/1.jpg")
    put(tmp_path, "Ada/.DS_Store", b"")
    found = PhotoFolder.read(tmp_path)
    assert [(name, path.name) for name, path in found.photos] == [("Ada", "1.jpg")]
    assert {str(s.path.relative_to(tmp_path)): s.reason for s in found.skipped} == {
        "Ada/2.jxl": SkipReason.UNSUPPORTED_FORMAT,
        "Ada/gone.jpg": SkipReason.UNREADABLE,
        "Ada/more": SkipReason.NESTED,
        "Ada/notes.txt": SkipReason.NOT_A_PICTURE,
        "Empty": SkipReason.EMPTY,
        "loose.jpg": SkipReason.NO_PERSON,
        "trailing ": SkipReason.NAME,
    }
    assert all(skipped.message for skipped in found.skipped)


def test_names_are_in_nfc(tmp_path: Path) -> None:
    put(tmp_path, unicodedata.normalize("NFD", "José") + "/1.jpg")
    ((name, _),) = photos_of(tmp_path)
    assert name == unicodedata.normalize("NFC", "José")


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "Ada/notes.txt", b"text")
    with pytest.raises(NotAFolder, match="NAME"):
        photos_of(tmp_path)
    assert photos_in(tmp_path / "Ada") == []
