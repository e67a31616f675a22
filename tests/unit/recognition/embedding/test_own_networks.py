"""Any network runs as its description says: color, range, batch, metric, mirror, alignment."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facerec_tasks.recognition.embedding.description import EmbedderDescription
from facerec_tasks.recognition.embedding.embedder import Embedder
from facerec_tasks.recognition.embedding.presets import PRESETS, scaled
from facerec_tasks.recognition.session import ModelMissing
from tests.small_networks import embedding, network, write

FACES = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), np.uint8)
SFACE = replace(PRESETS["sface"].description, name="small", dimension=32)


def embedder(folder: Path, described: EmbedderDescription, **kind: object) -> Embedder:
    made = network(described.dimension, described.side, **kind)  # type: ignore[arg-type]
    write(folder / f"{described.name}.onnx", made)
    return Embedder(described, folder)


def unit(rows: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> object:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("batch", ["n", 1, 2, 4])
@pytest.mark.parametrize("name", ["input", "data", "input.1", "x:0"])
def test_input_name_and_batch_are_the_files(tmp_path: Path, batch: object, name: str) -> None:
    made = embedder(tmp_path, SFACE, batch=batch, input_name=name)
    x = FACES.transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_allclose(made.embed_chips(list(FACES)), unit(embedding(x, 32)), atol=1e-5)


@pytest.mark.parametrize("mean", [0.0, 127.5])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_pixels_are_what_the_description_says(
    tmp_path: Path, mean: float, mirrored: bool, color: str, metric: str
) -> None:
    described = replace(SFACE, mean=mean, scale=64.0, mirrored=mirrored, color=color, metric=metric)  # type: ignore[arg-type]
    faces = FACES[..., ::-1] if color == "bgr" else FACES
    x = (faces.transpose(0, 3, 1, 2).astype(np.float32) - mean) / 64
    wanted = embedding(x, 32)
    if mirrored:
        wanted = (wanted + embedding(x[..., ::-1], 32)) / 2
    found = embedder(tmp_path, described, batch=2).embed_chips(list(FACES))
    expected = unit(wanted) if metric == "cosine" else wanted
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_no_faces_are_no_rows(tmp_path: Path) -> None:
    assert embedder(tmp_path, SFACE, batch=2).embed_chips([]).shape == (0, 32)


@pytest.mark.parametrize("change", [{"dimension": 64}, {"side": 64}, {"name": "missing"}], ids=str)
def test_another_network_than_described_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    embedder(tmp_path, SFACE)
    with pytest.raises(ModelMissing):
        Embedder(replace(SFACE, **change), tmp_path)  # type: ignore[arg-type]


def test_alignment_scales_with_the_network() -> None:
    half = scaled(PRESETS["arcface"].description, 56)
    assert half.template is not None
    assert half.template[0] == pytest.approx((19.145, 25.85))
    assert scaled(PRESETS["facenet"].description, 160).template is None


def test_presets_say_where_weights_are_and_under_which_license() -> None:
    licenses = ("Apache-2.0", "MIT", "CC0", "non-commercial")
    for preset in PRESETS.values():
        assert any(license in preset.weights for license in licenses)
        assert preset.description.license == ""  # of the weights that are added, not of the preset
