"""The sample people, and the photo that is sent at the end of `make run`."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from facerec_tasks.errors import ConfigurationError
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.recognizer import Recognizer
from local.samples import portraits

NAMES = [portrait.name for portrait in portraits.portraits()]


def test_the_probe_is_another_picture_of_the_person() -> None:
    for portrait in portraits.portraits():
        assert portraits.sample_photo(portrait.name).data != portrait.path.read_bytes()
        assert portraits.sample_photo(portrait.name).data.startswith(b"\xff\xd8\xff")


def test_the_probe_is_recognized() -> None:
    batch = Batch(Enroller.load("resnet128", Path("models")), Gallery.empty("resnet128"))
    for portrait in portraits.portraits():
        assert batch.add(portrait.name, portrait.path.read_bytes()) is None
    recognizer = Recognizer.load(Path("models"), batch.gallery)
    for name in NAMES:
        (face,) = recognizer.recognize(portraits.sample_photo(name).data).faces
        assert face.name == name
        assert face.confidence is not None
        assert face.confidence > 0.9


def test_the_wheels_are_read_and_not_run() -> None:
    code = (
        "import sys; from local.samples import portraits; portraits.sample_photo()\n"
        "print({'matplotlib', 'skimage'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_missing_wheel_is_reported_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(portraits, "distribution", missing)
    with pytest.raises(ConfigurationError, match="pip install --no-deps"):
        portraits.portraits()
