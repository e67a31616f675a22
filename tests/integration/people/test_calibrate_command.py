"""`facerec people calibrate`, on the sample people and pictures made from them."""

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cli.commands.people import people
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.settings import Settings
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators.resources import create_buckets
from local.samples import portraits


def variants(name: str) -> list[bytes]:
    """Three different pictures of a sample person."""
    (portrait,) = (p for p in portraits.portraits() if p.name == name)
    file = io.BytesIO()
    with Image.open(portrait.path) as picture:
        picture.convert("L").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(file, "PNG")
    return [portrait.path.read_bytes(), portraits.sample_photo(name).data, file.getvalue()]


@pytest.fixture(autouse=True)
def announced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No worker runs here: what would be broadcast to them."""
    create_buckets(settings)
    commands: list[str] = []
    monkeypatch.setattr("cli.gallery_broadcast.app.control.broadcast", commands.append)
    return commands


@pytest.fixture
def enrolled(settings: Settings) -> People:
    enroller = Enroller.load("resnet128", settings.models_dir)
    batch = Batch(enroller, Gallery.empty("resnet128"))
    for portrait in portraits.portraits():
        for photo in variants(portrait.name):
            assert batch.add(portrait.name, photo) is None
    known = People(StateBucket(settings))
    known.add(batch.samples)
    return known


def run(*arguments: object) -> Result:
    return CliRunner().invoke(people, ["calibrate", *(str(a) for a in arguments)])


def test_measures_the_enrolled_and_draws(enrolled: People, tmp_path: Path) -> None:
    result = run("--plot", tmp_path / "plot.png")
    assert result.exit_code == 0, result.output
    assert "2 people, 6 photos" in result.stdout
    assert "right 100.0 %, wrong 0.0 %, strangers named 0.0 %" in result.stdout
    assert "Grace_Hopper and Eileen_Collins" in result.stdout.replace(
        "Eileen_Collins and Grace_Hopper", "Grace_Hopper and Eileen_Collins"
    )
    assert "0.516" in result.stdout
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.width > 800


def test_a_proposal_is_used_when_asked_for(
    enrolled: People, announced: list[str], tmp_path: Path
) -> None:
    enrolled.edit(lambda gallery: gallery.with_threshold(0.05))
    result = run("--plot", tmp_path / "plot.svg", "--json", "--apply")
    found = json.loads(result.stdout)
    assert found["now"]["right"] == 0
    assert found["proposed"]["right"] == 1
    known = enrolled.gallery()
    assert known.target_fpir == found["target_fpir"] == 0.01
    assert known.threshold == pytest.approx(found["proposed"]["threshold"], abs=1e-4)
    assert announced == ["refresh_gallery"]


def test_the_threshold_of_larger_galleries_is_lower(enrolled: People, tmp_path: Path) -> None:
    result = run("--plot", tmp_path / "plot.png", "--json", "--target-fpir", 0.001)
    sizes = json.loads(result.stdout)["sizes"]
    assert [size["people"] for size in sizes] == [2, 40, 400, 1600, 10000, 100000]
    assert [size["measured"] for size in sizes] == [True] + 5 * [False]
    thresholds = [size["threshold"] for size in sizes[1:]]
    assert thresholds == sorted(thresholds, reverse=True)
    fnir = [size["fnir"] for size in sizes[1:]]
    assert fnir == sorted(fnir)
    assert all(size["fpir"] == pytest.approx(0.001, abs=1e-4) for size in sizes[1:])


def test_measures_a_folder_and_strangers(tmp_path: Path) -> None:
    strangers = tmp_path / "strangers"
    for folder, photos in (
        (tmp_path / "people" / "Grace", variants("Grace_Hopper")),
        (strangers, variants("Eileen_Collins")),
    ):
        folder.mkdir(parents=True)
        for n, photo in enumerate(photos):
            (folder / f"{n}.png").write_bytes(photo)
    result = run(
        tmp_path / "people", "--strangers", strangers, "--plot", tmp_path / "plot.png", "--json"
    )
    found = json.loads(result.stdout)
    assert (found["people"], found["photos"]) == (1, 3)
    assert (found["now"]["right"], found["now"]["fpir"]) == (1, 0)


def test_calibration_of_an_empty_gallery_is_refused(tmp_path: Path) -> None:
    result = run("--plot", tmp_path / "plot.png", "--apply")
    assert result.exit_code == 1
    assert "no threshold to propose" in result.stdout
    assert "nothing to apply" in result.stderr
