"""Our engine against what the originals saw: ``tests/golden/make.py`` wrote it down."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import parity
from facerec_tasks.recognition.conversion import convert
from facerec_tasks.recognition.detection.detector import Detector
from facerec_tasks.recognition.embedding.description import FACENET
from facerec_tasks.recognition.embedding.embedder import Embedder
from tests.golden import make, random_facenet, torch_file

VECTORS = json.loads(make.VECTORS.read_text())
PICTURES = {name: np.asarray(picture) for name, picture in parity.pictures().items()}


@pytest.fixture(scope="module")
def facenet(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    """With random weights, read from a checkpoint as torch writes it."""
    folder = tmp_path_factory.mktemp("facenet")
    checkpoint = folder / "random.pt"
    checkpoint.write_bytes(torch_file.state(random_facenet.state()))
    convert.ensure(
        folder, "facenet", checkpoint, hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    )
    return Embedder(FACENET, folder)


@pytest.mark.parametrize("name", VECTORS["faces"])
def test_finds_the_faces_the_original_finds_within_a_hundredth_of_a_pixel(
    detector: Detector, name: str
) -> None:
    theirs: dict[str, Any] = VECTORS["faces"][name]
    ours = detector.detect(PICTURES[name])
    assert parity.of_faces(name, theirs, ours).ok
    assert [face.score for face in ours] == pytest.approx(theirs["scores"], abs=1e-4)


def test_the_pictures_have_faces_to_find() -> None:
    counts = {name: len(faces["boxes"]) for name, faces in VECTORS["faces"].items()}
    assert counts["group-500"] == 4
    assert counts["none"] == 0
    assert sum(counts.values()) >= 20


def test_resnet128_is_dlibs(resnet128: Embedder) -> None:
    ours = resnet128.embed_unmirrored(PICTURES["chip"][np.newaxis])[0]
    assert parity.of_embeddings("chip", VECTORS["resnet128"], ours).ok


@pytest.mark.parametrize("name", make.EMBEDDED)
def test_facenet_is_the_originals(detector: Detector, facenet: Embedder, name: str) -> None:
    largest = detector.detect(PICTURES[name])[:1]
    ours = facenet.embed(PICTURES[name], largest)[0]
    assert parity.of_embeddings(name, VECTORS["facenet"][name], ours).ok


def test_conversion_is_not_repeated_for_the_same_weights(models_dir: Path) -> None:
    assert convert.ensure(models_dir) == []
