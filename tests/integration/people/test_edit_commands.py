"""``facerec people``: two people of one name, edits of faces, export, format 1."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.commands.people import people as command
from facerec_tasks.recognition.gallery import header
from facerec_tasks.recognition.gallery.enrollment import Sample
from facerec_tasks.recognition.gallery.identifiers import new_id
from facerec_tasks.recognition.gallery.records import FaceBox
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.collections import Collections
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket

FORMAT_1 = Path("tests/golden/format_1.gallery")
BOX = FaceBox(0.1, 0.2, 0.3, 0.4, 0.99)


@pytest.fixture
def state(resources: Settings) -> StateBucket:
    return StateBucket(resources)


def sample(value: float, photo: bytes) -> Sample:
    return Sample(photo, np.full(128, value, np.float32), box=BOX)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def ok(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_faces_are_merged_moved_removed_and_a_change_undone(state: StateBucket) -> None:
    people = People(state)
    first, second = new_id(), new_id()
    people.add({first: [sample(0.1, b"a")]}, {first: "Ada"})
    people.add({second: [sample(0.9, b"b")]}, {second: "Ada"})
    assert ok("list", "--ids").splitlines() == sorted(
        [f"Ada\t1\t{first}", f"Ada\t1\t{second}"], key=lambda line: line.split("\t")[2]
    )
    assert json.loads(ok("list", "--json"))["people"] == {"Ada": 2}
    assert "several people" in run("remove", "Ada").output
    assert "2 photos" in ok("merge", first, second)
    face, moved = (line.split("\t")[0] for line in ok("faces", first).splitlines())
    assert ok("undo") == "2 people, 2 faces\n"
    ok("move-face", moved, first)
    assert people.gallery().ids == (first,)
    ok("remove-face", face)
    assert ok("faces", first).split("\t")[0] == moved
    assert run("remove-face", face).exit_code == 1
    assert "nothing to undo" in run("undo").output
    photos = [entry.name for entry in state.list(layout.GALLERY_PHOTOS)]
    assert photos == [layout.GALLERY_PHOTOS + people.gallery().photos[0]]


def test_people_are_exported_and_imported(state: StateBucket, tmp_path: Path) -> None:
    person = new_id()
    People(state).add({person: [sample(0.1, b"a"), sample(0.2, b"b")]}, {person: "Zoë"})
    target = tmp_path / "people.jsonl"
    ok("export", target)
    assert target.stat().st_mode & 0o077 == 0
    heading, line = map(json.loads, target.read_text().splitlines())
    assert (heading["format"], heading["dimension"]) == ("facerec-people", 128)
    assert (line["id"], line["name"]) == (person, "Zoë")
    numbers = np.frombuffer(base64.b64decode(line["faces"][0]["embedding"]), "<f4")
    assert numbers.tolist() == np.full(128, 0.1, np.float32).tolist()
    assert run("export", target).exit_code == 1, "a file is not overwritten"

    before = People(state).gallery()
    assert "added no face" in ok("import-export", target)
    assert People(state).gallery().to_bytes() == before.to_bytes()
    Collections(state).create("other", before.empty("resnet128").to_bytes())
    assert "added 2 faces" in ok("--collection", "other", "import-export", target)
    copy = People(state, "other").gallery()
    assert (copy.ids, copy.names, copy.photos) == ((person,), ("Zoë",), ("", ""))
    assert [face.box for face in copy.faces] == [BOX, BOX]
    assert (copy.embeddings == before.embeddings).all()


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "{}",
        '{"format": "facerec-people", "version": 1, "engine": "facenet"}',
        'HEAD\n{"id": "x", "name": "Ada", "faces": []}',
        'HEAD\n{"id": "x", "name": "Ada", "faces": [{"id": "y", "embedding": "AAAA"}]}',
        "HEAD\n[1]",
        "HEAD\n" + "[" * 10_000,
    ],
)
def test_what_is_no_export_changes_nothing(state: StateBucket, tmp_path: Path, lines: str) -> None:
    People(state).add({"Ada": [sample(0.1, b"a")]})
    before = People(state).gallery().to_bytes()
    heading = ok("export", "-").splitlines()[0]
    source = tmp_path / "bad.jsonl"
    source.write_text(lines.replace("HEAD", heading))
    done = run("import-export", source)
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert People(state).gallery().to_bytes() == before


def test_a_gallery_of_format_1_is_migrated_in_place_and_back(state: StateBucket) -> None:
    state.put(layout.GALLERY_CURRENT, FORMAT_1.read_bytes())
    people = People(state)
    ids = people.gallery().ids
    people.rename("a/b", "Bea")
    stored = state.find(layout.GALLERY_CURRENT)
    assert stored is not None
    assert stored.data.startswith(header.MAGIC), "the first edit migrates"
    assert people.gallery().ids == ids
    ok("migrate", "--back")
    stored = state.find(layout.GALLERY_CURRENT)
    assert stored is not None
    assert stored.data.startswith(header.MAGIC_1)
    assert ok("list").splitlines() == ["..\t2", "Bea\t1", "Zoë 漢\t2"]
    ok("migrate")
    assert "removed .." in ok("remove", "..")
    assert people.gallery().names == ("Zoë 漢", "Bea")


def test_a_collection_that_is_not_there(state: StateBucket) -> None:
    done = run("--collection", "nobody", "list")
    assert done.exit_code == 1
    assert "no collection is called nobody" in done.output
