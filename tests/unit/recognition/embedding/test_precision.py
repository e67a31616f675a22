"""Another precision is built from one's own photos, compared on them, and never mixed in."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facerec_tasks.recognition.conversion import convert, quantization
from facerec_tasks.recognition.detection.detector import Detector
from facerec_tasks.recognition.embedding import precision
from facerec_tasks.recognition.embedding.description import RESNET128
from facerec_tasks.recognition.embedding.embedder import Embedder
from facerec_tasks.recognition.gallery import precision_check
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import EngineMismatch, Gallery
from facerec_tasks.recognition.gallery.precision_check import Accuracy
from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.recognition.session import ModelMissing
from tests import own_people


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two people with 12 photos each."""
    folder = tmp_path_factory.mktemp("people")
    for number, (name, photo) in enumerate(own_people.photos(12)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / f"{number}.jpg").write_bytes(photo)
    return folder


@pytest.fixture(scope="module")
def out(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted networks of this module's own."""
    folder = tmp_path_factory.mktemp("networks")
    for file in models_dir.glob("*.onnx"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def run(out: Path, photos: Path, *more: str) -> int:
    given = ["--out", str(out), "--precision", "int8", "--photos", str(photos), *more]
    return convert.main(given)


def test_an_int8_network_is_made_and_compared_and_sees_the_same_faces(
    out: Path, people: Path, capsys: pytest.CaptureFixture[str], detector: Detector
) -> None:
    assert run(out, people, "--force") == 0, "two people alone are easily taken for each other"
    assert "given the right name" in capsys.readouterr().out
    (file,) = out.glob("resnet128-int8-*.onnx")
    name = file.stem.removeprefix("resnet128-")
    assert name == precision.of_network(file.read_bytes())
    assert file.stat().st_size < (out / "resnet128.onnx").stat().st_size / 3
    whole, eighth = Embedder(RESNET128, out), Embedder(RESNET128, out, name)
    photo = next(people.rglob("*.jpg")).read_bytes()
    seen = Recognizer(detector, whole, Gallery.empty("resnet128")).detect_and_embed(photo)
    again = eighth.embed(seen.detail, seen.detections)
    drift = float(np.linalg.norm(again - seen.embeddings))
    assert 1e-4 < drift < 0.25, "another network, and the same face"


def test_precision_check_needs_enough_photos(
    tmp_path: Path, out: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Grace", "Eileen"):
        (tmp_path / name).mkdir()
        for photo in sorted((people / name).iterdir())[:6]:
            (tmp_path / name / photo.name).write_bytes(photo.read_bytes())
    before = set(out.iterdir())
    assert run(out, tmp_path) == 1
    assert "12 photos of people who have several are too few" in capsys.readouterr().err
    assert set(out.iterdir()) == before
    assert run(out, tmp_path, "--force") == 0
    assert len(set(out.iterdir()) - before) == 1
    for photo in list(tmp_path.rglob("*.jpg"))[:3]:
        photo.write_bytes(b"no photo")
    assert run(out, tmp_path, "--force") == 1
    assert "10 faces at least are needed, 9 were found" in capsys.readouterr().err


def test_int8_is_for_resnet128(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        convert.main(["--out", str(tmp_path), "--engine", "facenet", "--precision", "int8"])


SAME = Accuracy(verification=0.99, right=0.97, wrong=0.01, fpir=0.02, trials=500)


@pytest.mark.parametrize(
    ("after", "word"),
    [
        (SAME, None),
        (replace(SAME, right=0.961, fpir=0.029, wrong=0.019, verification=0.981), None),
        (replace(SAME, verification=0.97), "verification"),
        (replace(SAME, right=0.95), "right name"),
        (replace(SAME, wrong=0.03), "wrong name"),
        (replace(SAME, fpir=0.04), "strangers"),
        (replace(SAME, right=float("nan")), "right name"),
    ],
)
def test_precision_check_allows_one_point_of_accuracy(after: Accuracy, word: str | None) -> None:
    against = precision_check.objection(SAME, after)
    assert against is None if word is None else word in (against or "")


def test_what_was_not_measured_is_not_judged() -> None:
    few = replace(SAME, trials=99)
    assert "99 photos" in (precision_check.objection(few, few) or "")


def test_a_gallery_measures_itself_by_its_own_rule() -> None:
    points = np.zeros((4, 128), np.float32)
    points[2:, 0] = 1
    points[:, 1] = (0, 0.1, 0, 0.1)
    gallery = Gallery.empty("resnet128").with_person("A", points[:2], ["1", "2"])
    gallery = gallery.with_person("B", points[2:], ["3", "4"])
    assert Accuracy.of(gallery) == Accuracy(1.0, 1.0, 0.0, 0.0, 4)
    assert Accuracy.of(gallery.with_threshold(0.05)) == Accuracy(0.5, 0.0, 0.0, 0.0, 4)
    assert Accuracy.of(gallery.with_threshold(None)) == Accuracy(1.0, 1.0, 0.0, 0.0, 4)


@pytest.mark.parametrize("name", ["int8", "bf16", "int8-0123", "int8-0123456789abcdef/../x", ""])
def test_unknown_precision_is_refused(name: str) -> None:
    with pytest.raises(EngineMismatch, match="no precision"):
        Gallery.empty("resnet128", precision=name)


def test_the_embeddings_of_two_precisions_do_not_mix(models_dir: Path) -> None:
    other = "int8-0123456789abcdef"
    with pytest.raises(ModelMissing, match="facerec people precision fp32"):
        Recognizer.load(models_dir, Gallery.empty("resnet128", precision=other))
    batch = Batch(
        Enroller.load("resnet128", models_dir), Gallery.empty("resnet128", precision=other)
    )
    with pytest.raises(EngineMismatch, match="enrol it again"):
        batch.add(*own_people.photos(1)[0])


def test_damaged_network_is_reported_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "resnet128.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelMissing, match="cannot be used"):
        Embedder(RESNET128, tmp_path)


def test_faces_are_needed_to_make_one(models_dir: Path) -> None:
    with pytest.raises(quantization.TooFewFaces):
        quantization.quantized(models_dir, np.zeros((9, 150, 150, 3), np.uint8))
