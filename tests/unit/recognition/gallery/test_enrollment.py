"""Which photos are taken, tried on the sample portraits with the real networks."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facerec_tasks.recognition.detection.detector import Detection
from facerec_tasks.recognition.gallery.enrollment import (
    Batch,
    Enroller,
    Reason,
    Refused,
    Sample,
    box_of,
    conflict,
    face_at,
)
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.recognition.gallery.records import FaceBox
from facerec_tasks.recognition.images.picture import Picture
from facerec_tasks.recognition.recognizer import DetectedFaces
from local.samples import portraits

HOPPER, COLLINS = (portrait.path for portrait in portraits.portraits())


@pytest.fixture(scope="module")
def enroller() -> Enroller:
    return Enroller.load("resnet128", Path("models"))


@pytest.fixture
def batch(enroller: Enroller) -> Batch:
    return Batch(enroller, Gallery.empty("resnet128"))


def changed(change: Callable[[Image.Image], Image.Image], path: Path = HOPPER) -> bytes:
    file = io.BytesIO()
    with Image.open(path) as picture:
        change(picture.convert("RGB")).save(file, "PNG")
    return file.getvalue()


def beside_each_other(picture: Image.Image, share: float = 1.0) -> Image.Image:
    with Image.open(COLLINS) as opened:
        other = opened.convert("RGB").crop((100, 0, 356, 300))
    other = other.resize((round(512 * share), round(600 * share)))
    both = Image.new("RGB", (picture.width + other.width, picture.height), "gray")
    both.paste(picture, (0, 0))
    both.paste(other, (picture.width, 0))
    return both


def test_takes_a_good_photo(enroller: Enroller) -> None:
    sample = enroller.examine(HOPPER.read_bytes())
    assert isinstance(sample, Sample)
    assert sample.embedding.shape == (128,)


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (b"no photo", Reason.NOT_A_PHOTO),
        (changed(lambda p: p.crop((0, 0, 100, 100))), Reason.NO_FACE),
        (changed(beside_each_other), Reason.SEVERAL_FACES),
        (changed(lambda p: p.resize((48, 56))), Reason.TOO_SMALL),
        (changed(lambda p: p.filter(ImageFilter.GaussianBlur(9))), Reason.BLURRED),
    ],
)
def test_enrollment_refusal_has_a_reason(enroller: Enroller, photo: bytes, reason: Reason) -> None:
    refused = enroller.examine(photo)
    assert isinstance(refused, Refused)
    assert (refused.reason, bool(refused.message)) == (reason, True)


def test_a_small_face_in_the_background_does_not_matter(enroller: Enroller) -> None:
    photo = changed(lambda p: beside_each_other(p, share=0.5))
    assert isinstance(enroller.examine(photo), Sample)


def cut_at_the_left(share: float) -> Callable[[Image.Image], Image.Image]:
    """Collins's face with that share of it beyond the edge."""

    def cut(picture: Image.Image) -> Image.Image:
        left, width = 180, 87  # of her face on the portrait
        return picture.crop((round(left + share * width), 0, 480, 300)).resize((600, 600))

    return cut


def test_a_face_cut_off_by_the_edge_is_not_enrolled(enroller: Enroller) -> None:
    half = changed(cut_at_the_left(0.4), COLLINS)
    refused = enroller.examine(half)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.CUT_OFF
    assert isinstance(enroller.examine(half, strict=False), Refused), "not even when one insists"


def test_a_cut_off_bystander_is_not_enrolled_in_the_place_of_the_whole_face(
    enroller: Enroller,
) -> None:
    with Image.open(HOPPER) as opened:
        hopper = opened.convert("RGB").resize((512, 600))
    bystander = hopper.crop((265, 0, 512, 600))
    picture = Image.new("RGB", (900, 600), "gray")
    picture.paste(bystander, (0, 0))
    with Image.open(COLLINS) as opened:
        picture.paste(opened.convert("RGB").crop((100, 0, 356, 300)).resize((600, 600)), (300, 0))
    file = io.BytesIO()
    picture.save(file, "PNG")
    found = enroller.examine(file.getvalue())
    alone = enroller.examine(COLLINS.read_bytes())
    assert isinstance(alone, Sample)
    if isinstance(found, Refused):
        assert found.reason is Reason.SEVERAL_FACES
    else:
        assert np.linalg.norm(found.embedding - alone.embedding) < 0.4


def test_darkness_is_not_taken_for_blur(enroller: Enroller) -> None:
    assert isinstance(enroller.examine(changed(lambda p: p.point(lambda v: v // 4))), Sample)


def test_small_and_blurred_faces_are_taken_when_one_insists(enroller: Enroller) -> None:
    blurred = changed(lambda p: p.filter(ImageFilter.GaussianBlur(9)))
    assert isinstance(enroller.examine(blurred, strict=False), Sample)


def test_a_face_under_another_name_is_not_taken(batch: Batch) -> None:
    assert batch.add("Grace", HOPPER.read_bytes()) is None
    refused = batch.add("Eileen", portraits.sample_photo("Grace_Hopper").data)
    assert refused is not None
    assert refused.reason is Reason.SOMEBODY_ELSE
    assert "Grace" in refused.message
    assert batch.add("Grace", portraits.sample_photo("Grace_Hopper").data) is None
    assert batch.add("Eileen", COLLINS.read_bytes()) is None
    assert {name: len(taken) for name, taken in batch.samples.items()} == {"Grace": 2, "Eileen": 1}


@pytest.mark.parametrize(
    ("distance", "reason"), [(0.3, None), (0.6, None), (0.8, Reason.UNLIKE_THE_OTHERS)]
)
def test_a_face_far_from_a_persons_others_is_not_taken(
    distance: float, reason: Reason | None
) -> None:
    face = np.zeros(128, np.float32)
    gallery = Gallery.empty("resnet128").with_person("Ada", face[np.newaxis], ["a"])
    face[0] = distance
    refused = conflict(Sample(b"", face), "Ada", gallery)
    assert (refused.reason if refused else None) is reason


@pytest.mark.parametrize(
    ("distance", "reason"), [(0.1, Reason.SOMEBODY_ELSE), (0.45, Reason.SOMEBODY_ELSE), (0.5, None)]
)
def test_only_a_face_very_near_to_another_persons_is_refused(
    distance: float, reason: Reason | None
) -> None:
    face = np.zeros(128, np.float32)
    gallery = Gallery.empty("resnet128").with_person("Ada", face[np.newaxis], ["a"])
    face[0] = distance
    refused = conflict(Sample(b"", face), "Bob", gallery)
    assert (refused.reason if refused else None) is reason


def test_enrollment_of_a_look_alike_accepts_more_photos() -> None:
    face = np.zeros(128, np.float32)
    face[0] = 0.1
    gallery = Gallery.empty("resnet128")
    for name in ("Ada", "Bob"):
        gallery = gallery.with_person(name, np.zeros((1, 128), np.float32), [name])
    assert conflict(Sample(b"", face), "Ada", gallery) is None


def test_what_cannot_be_a_name_is_refused_before_the_photo_is_looked_at(batch: Batch) -> None:
    with pytest.raises(GalleryError):
        batch.add("unknown", b"")


def test_the_face_that_was_enrolled_is_found_again_on_its_photo() -> None:
    """Of three faces in a row, by where it was; not when nothing is there any more."""
    picture = Picture(np.zeros((100, 300, 3), np.uint8), 300, 100)
    detail = Image.fromarray(picture.rgb)
    faces = tuple(
        Detection((left, 10.0, left + 60, 80.0), 0.9, ((0.0, 0.0),) * 5) for left in (0, 100, 200)
    )
    found = DetectedFaces(picture, detail, faces, np.zeros((3, 128), np.float32))
    for nth in range(3):
        left, top, width, height, score = box_of(found, nth)
        moved = FaceBox(left + 0.01, top - 0.02, width * 1.1, height, score)
        assert face_at(found, moved) == nth
    assert face_at(found, FaceBox(0.2, 0.1, 0.2, 0.7, 0.9)) is None
    assert face_at(found, None) == 0
    nobody = DetectedFaces(picture, detail, (), np.zeros((0, 128), np.float32))
    assert face_at(nobody, None) is None
    assert face_at(nobody, FaceBox(0, 0, 1, 1, 1)) is None
