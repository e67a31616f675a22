"""`facerec people` against the state bucket."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.commands.people import people
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators.resources import create_buckets
from local.samples import portraits
from tests.data_pt import saved

HOPPER, COLLINS = (portrait.path for portrait in portraits.portraits())


@pytest.fixture(autouse=True)
def announced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No worker runs here: what would be broadcast to them."""
    create_buckets(settings)
    commands: list[str] = []
    monkeypatch.setattr("cli.gallery_broadcast.app.control.broadcast", commands.append)
    return commands


def run(*arguments: object) -> Result:
    return CliRunner().invoke(people, [str(a) for a in arguments])


def known(settings: Settings) -> dict[str, int]:
    gallery = People(StateBucket(settings)).gallery()
    return {name: len(gallery.photos_of(name)) for name in gallery.names}


def test_adds_lists_renames_and_removes(settings: Settings, announced: list[str]) -> None:
    assert run("add", "Grace", HOPPER).exit_code == 0
    assert run("add", "Eileen", COLLINS).exit_code == 0
    assert run("list").stdout == "Eileen\t1\nGrace\t1\n"
    assert run("rename", "Grace", "Grace Hopper").exit_code == 0
    assert run("remove", "Eileen").exit_code == 0
    listed = json.loads(run("list", "--json").stdout)
    assert (listed["engine"], listed["people"]) == ("resnet128", {"Grace Hopper": 1})
    assert announced == ["refresh_gallery"] * 4


def test_folder_import_reports_skipped_photos(settings: Settings, tmp_path: Path) -> None:
    for name, photo in (("Grace", HOPPER), ("Eileen", COLLINS)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"1{photo.suffix}").write_bytes(photo.read_bytes())
    (tmp_path / "Grace" / "2.jpg").write_text("no photo")
    (tmp_path / "Grace" / "3.jpg").write_bytes(portraits.sample_photo("Eileen_Collins").data)
    (tmp_path / "Eileen" / "notes.txt").write_text("not looked at")
    result = run("import", tmp_path)
    assert result.stdout.splitlines()[-1] == "enrolled 2 photos; already there: 0, not taken: 1"
    assert "2.jpg: skipped, it is no picture (not-a-picture)" in result.stderr
    assert "notes.txt: skipped" in result.stderr
    assert "somebody-else" in result.stderr
    assert known(settings) == {"Eileen": 1, "Grace": 1}
    assert run("import", tmp_path).exit_code == 0
    assert known(settings) == {"Eileen": 1, "Grace": 1}, "a second import changes nothing"


def test_a_large_folder_is_saved_in_between(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.enrollment.MOST_UNSAVED", 1)
    for name, photo in (("Grace", HOPPER), ("Eileen", COLLINS)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"1{photo.suffix}").write_bytes(photo.read_bytes())
    result = run("import", tmp_path)
    assert result.stdout == "enrolled 2 photos; already there: 0, not taken: 0\n"
    assert "hint: 2 people have one photo" in result.stderr
    assert run("import", tmp_path).stdout.startswith("enrolled no photo; already there: 2")
    assert known(settings) == {"Eileen": 1, "Grace": 1}


def test_a_folder_is_no_photo(settings: Settings, tmp_path: Path) -> None:
    result = run("add", "Grace", tmp_path)
    assert (result.exit_code, "is a directory" in result.stderr) == (2, True)


def test_import_without_enrollment_exits_with_failure(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("no photo")
    assert run("add", "Grace", tmp_path / "photo.jpg").exit_code == 1
    assert run("import", tmp_path).exit_code == 1
    assert known(settings) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ("remove", "Nobody"),
        ("rename", "Nobody", "Somebody"),
        ("add", "unknown", HOPPER),
        ("import", HOPPER),
    ],
)
def test_a_failure_is_one_line(arguments: tuple[object, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1


def test_takes_over_a_data_pt(settings: Settings, announced: list[str], tmp_path: Path) -> None:
    file = tmp_path / "data.pt"
    file.write_bytes(saved(["Ann", "Bob", "Ann"], 0.0, 1.0, 2.0))
    result = run("import", file, "--without-model")
    assert result.stdout == "took over 3 faces of 2 people\n"
    gallery = People(StateBucket(settings)).gallery()
    assert (gallery.engine, gallery.threshold) == ("facenet", None)
    assert known(settings) == {"Ann": 2, "Bob": 1}
    assert announced == ["refresh_gallery"]


def test_a_data_pt_is_refused_while_its_engine_is_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACEREC_MODELS_DIR", str(tmp_path))
    get_settings.cache_clear()
    (tmp_path / "data.pt").write_bytes(saved(["Ann"], 0.0))
    result = run("import", tmp_path / "data.pt")
    assert result.exit_code == 1
    assert "--engine facenet" in result.stderr
    assert known(settings) == {}


def test_people_are_forgotten_for_a_data_pt_only_when_asked_to(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "data.pt").write_bytes(saved(["Ann"], 0.0))
    assert run("add", "Grace", HOPPER).exit_code == 0
    result = run("import", tmp_path / "data.pt", "--without-model")
    assert result.exit_code == 1
    assert "--replace" in result.stderr
    assert known(settings) == {"Grace": 1}
    assert run("import", tmp_path / "data.pt", "--without-model", "--replace").exit_code == 0
    assert known(settings) == {"Ann": 1}


def test_edit_is_kept_when_the_broadcast_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(command: str) -> None:
        raise ConnectionError(command)

    monkeypatch.setattr("cli.gallery_broadcast.app.control.broadcast", broken)
    result = run("add", "Grace", HOPPER)
    assert result.exit_code == 0
    assert "in a minute" in result.stderr
    assert known(settings) == {"Grace": 1}


def test_sample_people_are_enrolled_in_an_empty_gallery(settings: Settings) -> None:
    storage = StateBucket(settings)
    known_people, networks = People(storage), ModelFiles(storage, settings)
    assert set(portraits.enrol(known_people, networks)) == {
        "Eileen_Collins",
        "Grace_Hopper",
    }
    assert portraits.enrol(known_people, networks) == ()
    assert known(settings) == {"Eileen_Collins": 1, "Grace_Hopper": 1}
