"""Videos of the sample people, made on the spot: what tests, benchmarks and demonstrations show.

A video is a list of shots; a cut lies between two. Everything is drawn from the portraits of
:mod:`local.samples.portraits` and coded with PyAV, so that who is seen when is known exactly.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from av.video.stream import VideoStream
from PIL import Image

from local.samples import portraits

Motion = Literal["still", "pan", "turn"]
TURN = 10.0
"""Degrees to either side."""
PAN = 0.15
"""Share of the width by which people move to either side."""


@dataclass(frozen=True)
class Shot:
    """A few seconds without a cut."""

    people: tuple[str, ...]
    """Sample people beside each other; none for an empty room."""
    seconds: float
    motion: Motion = "still"
    share: float = 0.9
    """Height of a portrait, of the picture's."""


@dataclass(frozen=True)
class Coding:
    """How the shots are written."""

    width: int = 640
    height: int = 360
    rate: int = 25
    codec: str = "libx264"
    pixels: str = "yuv420p"
    rotation: int = 0
    """Degrees counter-clockwise of the display matrix; the pictures are coded lying, as a
    telephone does."""
    variable: bool = False
    """Frames of uneven length."""
    sound: bool = False


def write(path: Path, shots: Sequence[Shot], coding: Coding | None = None) -> Path:
    """Writes the video; the container is the one its extension names. Returns ``path``."""
    coding = coding or Coding()
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(coding.codec, rate=coding.rate))
        if coding.codec == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        stream.width, stream.height, stream.pix_fmt = coding.width, coding.height, coding.pixels
        stream.codec_context.time_base = (
            Fraction(1, 1000) if coding.variable else Fraction(1, coding.rate)
        )
        if coding.rotation:
            stream.set_display_rotation(coding.rotation)
        sound = container.add_stream("aac", rate=16000) if coding.sound else None
        for number, picture in enumerate(pictures(shots, coding)):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), "rgb24")
            frame.pts = _stamp(number, coding)
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
            silence.sample_rate = 16000
            container.mux(sound.encode(silence))
            container.mux(sound.encode())
    return path


def pictures(shots: Sequence[Shot], coding: Coding) -> Iterator[Image.Image]:
    """The frames as they are coded."""
    lying = coding.rotation % 180 != 0
    size = (coding.height, coding.width) if lying else (coding.width, coding.height)
    for index, shot in enumerate(shots):
        scene = _Scene(shot, size, index)
        count = round(shot.seconds * coding.rate)
        for number in range(count):
            picture = scene.at(number / max(1, count - 1))
            yield picture.rotate(-coding.rotation, expand=True) if coding.rotation else picture


class _Scene:
    """One shot, drawn frame by frame."""

    def __init__(self, shot: Shot, size: tuple[int, int], index: int) -> None:
        self._shot, self._size = shot, size
        self._room = _room(size, index)
        height = round(size[1] * shot.share)
        self._people = [_portrait(name, height) for name in shot.people]

    def at(self, share: float) -> Image.Image:
        """The picture after that share of the shot."""
        swing = math.sin(2 * math.pi * share)
        picture = self._room.copy()
        for index, person in enumerate(self._people):
            shown = person
            if self._shot.motion == "turn":
                shown = person.rotate(
                    TURN * swing, Image.Resampling.BILINEAR, fillcolor=(90, 90, 90)
                )
            middle = self._size[0] * (index + 0.5) / len(self._people)
            if self._shot.motion == "pan":
                middle += self._size[0] * PAN * swing
            picture.paste(shown, (round(middle - shown.width / 2), self._size[1] - shown.height))
        return picture


def _portrait(name: str, height: int) -> Image.Image:
    picture = portraits.portrait(name)
    return picture.resize((round(picture.width * height / picture.height), height))


def _room(size: tuple[int, int], index: int) -> Image.Image:
    """A background that differs from shot to shot."""
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width]
    tone = (rows * 90 // height + columns * 60 // width + index * 70) % 200
    return Image.fromarray(
        np.stack([tone, (tone + index * 40) % 200, tone // 2 + 40], 2).astype(np.uint8)
    )


def _stamp(number: int, coding: Coding) -> int:
    """In the stream's time base: whole frames, or milliseconds that stumble."""
    if not coding.variable:
        return number
    return number * 1000 // coding.rate + (number % 3) * 9
