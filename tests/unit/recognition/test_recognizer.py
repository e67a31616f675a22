"""Photo in, faces out: where they are, who they are, and what the worst photo may cost."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks import portraits
from facerec_tasks.recognition.detection.detector import (
    MIN_VISIBLE,
    Detection,
    Detector,
    DetectorLimits,
)
from facerec_tasks.recognition.embedding import alignment
from facerec_tasks.recognition.embedding.description import FACENET, RESNET128
from facerec_tasks.recognition.embedding.embedder import Embedder
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.images.picture import Picture
from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.recognition.session import ModelMissing


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def recognizer(models_dir: Path) -> Recognizer:
    """Who knows Hopper and Collins from their whole portraits."""
    nobody = Recognizer.load(models_dir, Gallery.empty("resnet128"))
    gallery = nobody.gallery
    for who in ("hopper", "collins"):
        seen = nobody.detect_and_embed(jpeg(portraits.portrait(who)))
        gallery = gallery.with_person(who, seen.embeddings[:1], (who,))
    return nobody.with_gallery(gallery)


def test_names_everybody_in_a_group(recognizer: Recognizer) -> None:
    found = recognizer.recognize(jpeg(portraits.group(600)))
    assert sorted(str(face.name) for face in found.faces) == [*["collins"] * 2, *["hopper"] * 2]
    areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in found.faces]
    assert areas == sorted(areas, reverse=True)
    assert (found.width, found.height, found.engine) == (600, 600, "resnet128")


@pytest.mark.parametrize("side", [64, 100, 250, 2000])
def test_names_people_at_any_size_in_pixels_of_the_original(
    recognizer: Recognizer, side: int
) -> None:
    (face,) = recognizer.recognize(jpeg(portraits.head("collins", side))).faces
    assert face.name == "collins"
    left, top, right, bottom = (coordinate / side for coordinate in face.box)
    assert (left, top, right, bottom) == pytest.approx((0.27, 0.21, 0.56, 0.58), abs=0.04)
    assert all(left < x / side < right and top < y / side < bottom for x, y in face.landmarks)


def test_a_photo_without_a_face_has_none(recognizer: Recognizer) -> None:
    for size in ((300, 200), (5, 5), (1, 1), (1, 3000), (21, 20)):
        assert recognizer.recognize(jpeg(Image.new("RGB", size, (90, 100, 110)))).faces == ()


def test_a_face_that_fills_the_photo_is_looked_at_again_with_a_margin(
    recognizer: Recognizer, detector: Detector, resnet128: Embedder
) -> None:
    tight = portraits.portrait("collins").crop((183, 70, 266, 168)).resize((830, 980))
    (badly,) = detector.detect(np.asarray(tight))
    assert badly.box[2] - badly.box[0] > 830
    directly = resnet128.embed(np.asarray(tight), [badly])
    (face,) = recognizer.recognize(jpeg(tight)).faces
    assert face.name == "collins"
    assert face.distance
    assert face.distance < 0.6 * np.linalg.norm(directly - _collins(recognizer))
    eyes, mouth = face.landmarks[0], face.landmarks[3]
    assert eyes == pytest.approx((220, 317), abs=40)
    assert mouth == pytest.approx((187, 692), abs=40)


def _collins(recognizer: Recognizer) -> NDArray[np.float32]:
    return recognizer.detect_and_embed(jpeg(portraits.portrait("collins"))).embeddings[0]


def test_a_face_found_only_with_a_margin_is_found(
    recognizer: Recognizer, detector: Detector
) -> None:
    tight = portraits.portrait("hopper").crop((196, 147, 333, 312))
    assert detector.detect(np.asarray(tight)) == []
    assert [face.name for face in recognizer.recognize(jpeg(tight)).faces] == ["hopper"]


# --- looks that are only taken when they are needed ---------------------------------------------


def crowd(face: int, side: int = 4000) -> Image.Image:
    """Collins and Hopper in turn, six of them of ``face`` pixels, on a wide picture."""
    picture = Image.new("RGB", (side, side * 3 // 4), (90, 110, 130))
    for index in range(6):
        who, share = (("collins", 0.37), ("hopper", 0.42))[index % 2]
        head = portraits.head(who, round(face / share))
        picture.paste(head, (300 + index % 3 * side // 3, 300 + index // 3 * side // 3))
    return picture


def test_small_faces_of_a_large_photo_are_found_and_named(recognizer: Recognizer) -> None:
    found = recognizer.recognize(jpeg(crowd(60)))
    assert sorted(str(face.name) for face in found.faces) == [*["collins"] * 3, *["hopper"] * 3]
    for face in found.faces:
        assert 40 < face.box[2] - face.box[0] < 80
        assert face.distance
        assert face.distance < 0.4


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize(("who", "side"), [("collins", 250), ("hopper", 250), ("hopper", 400)])
def test_a_turned_photo_is_looked_at_upright(
    recognizer: Recognizer, who: str, side: int, quarters: int
) -> None:
    """The detector is as sure of Hopper on her head as of her upright, at 400 pixels."""
    turned = np.rot90(np.asarray(portraits.head(who, side)), quarters)
    file = io.BytesIO()
    Image.fromarray(turned).save(file, "PNG")
    (face,) = recognizer.recognize(file.getvalue()).faces
    assert face.name == who


def test_a_large_face_needs_no_larger_copy(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picture, "load_detail", None)
    asked: list[int] = []
    monkeypatch.setattr(Detector, "detect_small", lambda *_: asked.append(1) or [])
    assert len(recognizer.recognize(jpeg(portraits.large())).faces) == 1
    assert asked == []


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_that_lies_on_its_side_without_saying_so(
    recognizer: Recognizer, quarters: int
) -> None:
    upright = portraits.portrait("collins").crop((60, 0, 460, 500))
    (whole,) = recognizer.recognize(jpeg(upright)).faces
    rotation = {
        1: Image.Transpose.ROTATE_270,
        2: Image.Transpose.ROTATE_180,
        3: Image.Transpose.ROTATE_90,
    }
    found = recognizer.recognize(jpeg(upright.transpose(rotation[quarters])))
    (face,) = found.faces
    assert face.name == "collins"
    assert face.distance == pytest.approx(whole.distance, abs=0.1)
    left, top, right, bottom = whole.box
    width, height = upright.size
    expected = {
        1: (height - bottom, left, height - top, right),
        2: (width - right, height - bottom, width - left, height - top),
        3: (top, width - right, bottom, width - left),
    }
    assert face.box == pytest.approx(expected[quarters], abs=12)
    assert all(
        face.box[0] < x < face.box[2] and face.box[1] < y < face.box[3] for x, y in face.landmarks
    )


def test_the_page_with_a_face_is_answered(recognizer: Recognizer) -> None:
    cover, face = Image.new("RGB", (200, 200), "white"), portraits.head("collins", 200)
    for kind in ("TIFF", "GIF", "WEBP"):
        file = io.BytesIO()
        cover.save(file, kind, save_all=True, append_images=[face, face])
        found = recognizer.recognize(file.getvalue())
        assert found.frame == 1, kind
        assert [face.name for face in found.faces] == ["collins"]


def test_of_very_many_faces_the_largest_are_answered_and_the_rest_counted(
    models_dir: Path, recognizer: Recognizer
) -> None:
    picture = Image.new("RGB", (1200, 900), (90, 110, 130))
    for index in range(12):
        head = portraits.head("collins", 120 + 8 * index)
        picture.paste(head, (index % 4 * 300 + 20, index // 4 * 300 + 20))
    few = Recognizer(
        Detector(models_dir, DetectorLimits(faces=5)),
        Embedder(RESNET128, models_dir),
        recognizer.gallery,
    )
    found = few.recognize(jpeg(picture))
    assert (len(found.faces), found.left_out) == (5, 7)
    everybody = recognizer.recognize(jpeg(picture))
    assert everybody.left_out == 0
    assert [face.box for face in found.faces] == [face.box for face in everybody.faces[:5]]


def test_a_least_score_leaves_out_unsure_faces(models_dir: Path) -> None:
    group = np.asarray(portraits.group(300))
    scores = [face.score for face in Detector(models_dir).detect(group)]
    sure = Detector(models_dir, min_score=0.999).detect(group)
    assert 0 < len(sure) == sum(score >= 0.999 for score in scores)


# --- faces cut off by the edge ------------------------------------------------------------------


def beside_a_cut_face() -> Image.Image:
    """A part of Hopper's face, large, at the left edge, and the whole of Collins's beside it."""
    hopper = portraits.head("hopper", 500)
    picture = Image.new("RGB", (700, 500), (90, 110, 130))
    picture.paste(hopper.crop((118 + 77, 0, 500, 500)), (0, 0))
    picture.paste(portraits.head("collins", 320), (380, 90))
    return picture


def test_a_face_cut_off_by_the_edge_is_last_and_has_no_name(recognizer: Recognizer) -> None:
    faces = recognizer.recognize(jpeg(beside_a_cut_face())).faces
    assert [face.name for face in faces] == ["collins", None]
    assert [face.reason for face in faces] == [None, "cut-off"]
    assert faces[0].visible == 1
    assert faces[1].visible < MIN_VISIBLE
    areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in faces]
    assert areas[1] > areas[0], "it would be first by its box"


def test_a_face_that_is_cut_a_little_is_named_less_surely(recognizer: Recognizer) -> None:
    head = portraits.head("collins", 400)
    (whole,) = recognizer.recognize(jpeg(head)).faces
    cut = head.crop((round(whole.box[0] + 0.08 * (whole.box[2] - whole.box[0])), 0, 400, 400))
    (face,) = recognizer.recognize(jpeg(cut)).faces
    assert (face.name, face.reason) == ("collins", "cut-off")
    assert MIN_VISIBLE <= face.visible < 0.8
    assert face.confidence
    assert whole.confidence
    assert face.confidence < whole.confidence


def test_no_faces_no_embeddings(resnet128: Embedder) -> None:
    embedded = resnet128.embed(np.zeros((10, 10, 3), np.uint8), [])
    assert embedded.shape == (0, 128)


def test_many_faces_are_embedded_as_one_by_one(detector: Detector, resnet128: Embedder) -> None:
    rgb = np.tile(np.asarray(portraits.head("collins", 120)), (3, 4, 1))
    faces = detector.detect(rgb)
    assert len(faces) == 12
    singly = np.concatenate([resnet128.embed(rgb, [face]) for face in faces])
    np.testing.assert_allclose(resnet128.embed(rgb, faces), singly, atol=1e-5)


def test_the_detector_judges_no_more_than_its_limits(models_dir: Path) -> None:
    rgb = np.tile(np.asarray(portraits.head("collins", 60)), (6, 6, 1))
    few = Detector(models_dir, DetectorLimits(per_level=40, first=30, second=20, faces=7))
    assert len(Detector(models_dir).detect(rgb)) > 7 == len(few.detect(rgb))


@pytest.mark.parametrize(
    "limits", [DetectorLimits(first=1), DetectorLimits(second=1), DetectorLimits(per_level=0)]
)
def test_every_stage_has_its_limit(models_dir: Path, limits: DetectorLimits) -> None:
    group = np.asarray(portraits.group(300))
    assert len(Detector(models_dir, limits).detect(group)) <= 1


def test_resnet128_averages_a_face_with_its_mirror_image(resnet128: Embedder) -> None:
    picture = portraits.head("collins", 150)
    upright = tuple((float(x), float(y)) for x, y in alignment.TEMPLATE)
    face = Detection((0, 0, 150, 150), 1.0, upright)
    both = np.stack([np.asarray(picture), np.asarray(ImageOps.mirror(picture))])
    embedded = resnet128.embed(np.asarray(picture), [face])[0]
    np.testing.assert_allclose(embedded, resnet128.embed_unmirrored(both).mean(axis=0), atol=1e-5)


def test_another_engines_gallery_is_refused(detector: Detector, resnet128: Embedder) -> None:
    with pytest.raises(ValueError, match="facenet"):
        Recognizer(detector, resnet128, Gallery.empty("facenet"))


def test_a_gallery_of_another_precision_is_refused(detector: Detector, resnet128: Embedder) -> None:
    with pytest.raises(ValueError, match="int8"):
        Recognizer(
            detector, resnet128, Gallery.empty("resnet128", precision="int8-0123456789abcdef")
        )


def test_missing_networks_say_how_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"conversion\.convert --out .* --engine facenet"):
        Embedder(FACENET, tmp_path)
    with pytest.raises(ValueError, match="no engine"):
        Gallery.empty("magic")


COST = """
import json, sys, time
from pathlib import Path
from benchmarks import memory
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.images.picture import Picture
from facerec_tasks.recognition.recognizer import Recognizer
recognizer = Recognizer.load(Path(sys.argv[1]), Gallery.empty("resnet128"))
started = time.process_time()
faces = len(recognizer.recognize(Path(sys.argv[2]).read_bytes()).faces)
print(json.dumps([faces, time.process_time() - started, memory.peak_mb()]))
"""


def mosaic() -> Image.Image:
    """A thousand faces of 40 px."""
    face = np.asarray(portraits.head("collins", 80).crop((14, 10, 54, 50)))
    return Image.fromarray(np.tile(face, (32, 32, 1)))


def clear_noise() -> Image.Image:
    """29 megapixels of half transparent noise, which compress to little."""
    block = np.random.default_rng(0).integers(0, 256, (625, 625, 4), np.uint8)
    return Image.fromarray(block).resize((5400, 5400), Image.Resampling.NEAREST)


@pytest.mark.parametrize(("make", "faces"), [(mosaic, {64}), (clear_noise, {0, 1})])
def test_no_picture_costs_three_seconds_or_700_megabytes(
    models_dir: Path, tmp_path: Path, make: object, faces: set[int]
) -> None:
    assert callable(make)
    photo = tmp_path / "hostile.png"
    make().save(photo, compress_level=1)
    command = [sys.executable, "-c", COST, models_dir, photo]
    run = subprocess.run(command, check=True, capture_output=True, timeout=100)
    found, seconds, megabytes = json.loads(run.stdout)
    assert found in faces
    assert seconds < 3
    assert megabytes < 700


PREFORK = """
import json, sys
from pathlib import Path
from benchmarks import prefork
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.images.picture import Picture
from facerec_tasks.recognition.recognizer import Recognizer
recognizer = Recognizer.load(Path(sys.argv[1]), Gallery.empty("resnet128"))
photo = Path(sys.argv[2]).read_bytes()
recognizer.recognize(photo)
print(prefork.measure(lambda: recognizer.recognize(photo), children=2, calls=5).private_mb)
"""


def test_forked_children_work_and_share_the_networks(models_dir: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg(portraits.head("collins", 250)))
    command = [sys.executable, "-c", PREFORK, models_dir, photo]
    run = subprocess.run(command, check=True, capture_output=True, timeout=100)
    assert float(run.stdout) < 40
