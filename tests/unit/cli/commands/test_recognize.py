"""`facerec recognize`: answers as the service gives them, without AWS."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.commands.recognize import recognize
from facerec_tasks.settings import get_settings
from local.samples import portraits
from local.samples.videos import Coding, Shot, write


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    sample_photo = portraits.sample_photo()
    path = tmp_path / sample_photo.file_name
    path.write_bytes(sample_photo.data)
    return path


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_MODELS_DIR", str(Path("models").resolve()))
    get_settings.cache_clear()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(recognize, [str(a) for a in arguments])


def test_answers_as_the_service_does(photo: Path) -> None:
    result = run(photo)
    assert (result.stdout, result.exit_code) == ("sample_00:Grace_Hopper\n", 0)


def test_gives_every_face_as_json(photo: Path) -> None:
    (answer,) = json.loads(run(photo, "--json").stdout)
    assert answer["answer"] == "Grace_Hopper"
    (face,) = answer["faces"]
    assert len(face["landmarks"]) == 5
    assert face["distance"] < 0.5


def test_a_folder_of_people_is_a_gallery(photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people" / "Amazing Grace"
    folder.mkdir(parents=True)
    (folder / "one.jpg").write_bytes(portraits.portraits()[0].path.read_bytes())
    assert run(photo, "--gallery", folder.parent).stdout == "sample_00:Amazing Grace\n"


def test_a_stricter_threshold_leaves_unknown(photo: Path) -> None:
    assert run(photo, "--threshold", "0.01").stdout == "sample_00:unknown\n"


def test_refused_photo_is_reported_and_others_continue(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    result = run(tmp_path / "text.jpg", tmp_path / "missing.jpg", photo)
    assert result.stdout == "sample_00:Grace_Hopper\n"
    assert "not-a-picture" in result.stderr
    assert "missing.jpg" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize("content", [b"", b"no gallery"])
@pytest.mark.parametrize("name", ["data.pt", "some.gallery"])
def test_invalid_gallery_is_reported_in_one_line(
    photo: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    result = run(photo, "--gallery", tmp_path / name)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1


def test_missing_models_are_reported_with_the_remedy(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEREC_MODELS_DIR", str(tmp_path))
    get_settings.cache_clear()
    result = run(photo)
    assert result.exit_code == 1
    assert "facerec_tasks.recognition.conversion.convert" in result.stderr


def test_video_is_answered_with_the_longest_seen_person(tmp_path: Path) -> None:
    shots = [Shot(("Eileen_Collins",), 0.6), Shot(("Grace_Hopper",), 1.2)]
    film = write(tmp_path / "film.mp4", shots, Coding(320, 240, rate=10))
    assert run(film).stdout == "film:Grace_Hopper\n"
    (answer,) = json.loads(run(film, "--json").stdout)
    assert [person["name"] for person in answer["people"]] == ["Grace_Hopper", "Eileen_Collins"]
    film.write_bytes(film.read_bytes()[:5000])
    assert "truncated-video" in run(film).stderr
