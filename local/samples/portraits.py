"""Two people to begin with: public-domain portraits that come inside wheels we install anyway.

The wheels are there for their files; their code is not imported. Both portraits are NASA's and the
US Navy's and in the public domain: Eileen Collins (scikit-image) and Grace Hopper (matplotlib).
"""

import io
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from PIL import Image, ImageEnhance

from facerec_tasks.errors import ConfigurationError
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import People


@dataclass(frozen=True)
class Portrait:
    """One sample person's photo."""

    name: str
    path: Path


@dataclass(frozen=True)
class SamplePhoto:
    """A photo to send: another picture of a sample person than the enrolled one."""

    name: str
    """Who is on it, for checking the answer."""
    file_name: str
    data: bytes
    """JPEG"""


_FILES = {
    "Grace_Hopper": ("matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
    "Eileen_Collins": ("scikit-image", "skimage/data/astronaut.png"),
}


def portraits() -> tuple[Portrait, ...]:
    """The sample people; raises :class:`ConfigurationError` when their wheels are missing."""
    return tuple(Portrait(name, _located(*where)) for name, where in _FILES.items())


def portrait(name: str) -> Image.Image:
    """A sample person's picture, RGB, as the wheel has it."""
    with Image.open(_located(*_FILES[name])) as opened:
        return opened.convert("RGB")


def enrol(people: People, networks: ModelFiles) -> tuple[str, ...]:
    """Makes the sample people known, if nobody is; returns who was enrolled.

    Raises :class:`ConfigurationError`, and ``ModelMissing`` before the models are converted.
    """
    known = people.gallery()
    if len(known):
        return ()
    batch = Batch(Enroller(networks.recognizer(known)), known)
    for sample in portraits():
        batch.add(sample.name, sample.path.read_bytes())
    people.add(batch.samples)
    return tuple(batch.samples)


def sample_photo(name: str = "Grace_Hopper") -> SamplePhoto:
    """A sample person's portrait cropped, turned, darkened and compressed again."""
    picture = portrait(name)
    width, height = picture.size
    turned = picture.rotate(8, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90))
    cropped = turned.crop((width // 8, 0, width * 7 // 8, height * 3 // 4))
    darkened = ImageEnhance.Brightness(cropped).enhance(0.6)
    file = io.BytesIO()
    darkened.save(file, "JPEG", quality=80)
    return SamplePhoto(name, "sample_00.jpg", file.getvalue())


def _located(package: str, path: str) -> Path:
    remedy = f"install it with: pip install --no-deps -r requirements/data.txt ({package})"
    try:
        located = Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError as error:
        raise ConfigurationError(f"{package} is missing; {remedy}") from error
    if not located.is_file():
        raise ConfigurationError(f"{located} is missing; {remedy}")
    return located
