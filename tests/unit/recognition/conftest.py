"""The networks, converted once for all tests of the engine."""

from pathlib import Path

import pytest

from facerec_tasks.recognition.conversion import convert
from facerec_tasks.recognition.detection.detector import Detector
from facerec_tasks.recognition.embedding.description import RESNET128
from facerec_tasks.recognition.embedding.embedder import Embedder


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    convert.ensure(folder)
    return folder


@pytest.fixture(scope="session")
def detector(models_dir: Path) -> Detector:
    return Detector(models_dir)


@pytest.fixture(scope="session")
def resnet128(models_dir: Path) -> Embedder:
    return Embedder(RESNET128, models_dir)
