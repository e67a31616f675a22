"""Everything there is to know of an embedder besides its weights, in one value.

Two embedders come with the product (:data:`BUILT_IN`); any other is described by whoever adds it,
from a preset (:mod:`.presets`). A gallery that was made with such a network carries its
description.
"""

import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from facerec_tasks.recognition.embedding.score_model import ScoreModel
from facerec_tasks.recognition.embedding.templates import DLIB_TEMPLATE, Point

Color = Literal["rgb", "bgr"]
Metric = Literal["euclidean", "cosine"]

MAX_DIMENSION = 4096
MAX_SIDE = 512
"""Pixels of an aligned face."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class DescriptionError(ValueError):
    """Raised for a description that no embedder can have; says what is wrong."""


@dataclass(frozen=True)
class EmbedderDescription:
    """What an embedder looks at, what it returns, and how far apart faces then are.

    Distances are Euclidean. ``metric="cosine"`` means that embeddings are scaled to length 1 first:
    the distance is then ``sqrt(2 - 2 cos)``. Raises :class:`DescriptionError`.
    """

    name: str
    """Lower-case letters, digits, ``._-``; at most 40. Also the name of its file."""
    dimension: int
    side: int
    """Pixels of the square the network looks at."""
    template: tuple[Point, ...] | None
    """Where the five landmarks lie in that square; None: the detector's box, not turned upright."""
    threshold: float
    """Two photos at most this far apart are of one person, when nothing else is known
    (verification); what identifies among many is :attr:`.Gallery.threshold`."""
    margin: float
    """See :attr:`.Gallery.margin`."""
    alike: float
    """A face so far within the threshold of somebody else is refused at enrollment."""
    unlike: float
    """A face so far beyond the threshold from the other photos of its name is refused."""
    scores: ScoreModel
    color: Color = "rgb"
    """Order of the channels the network was trained with."""
    mean: float = 0.0
    """Subtracted from every pixel, 0 to 255."""
    scale: float = 1.0
    """The difference is divided by this."""
    mirrored: bool = False
    """Whether the embedding is the mean of the face's and of its mirror image's."""
    metric: Metric = "euclidean"
    most_of_photo: float | None = None
    """Share of the photo's width or height above which a face is found too badly to be embedded:
    the photo is searched again with a margin around it. None: never."""
    sha256: str | None = None
    """Of the network's file; None for one that is converted on the machine itself."""
    license: str = ""
    """Of the weights, as whoever added them says."""

    def __post_init__(self) -> None:
        for ok, fault in (
            (bool(_NAME.fullmatch(self.name)), f"not a name of an engine: {self.name[:60]!r}"),
            (0 < self.dimension <= MAX_DIMENSION, f"dimension is 1 to {MAX_DIMENSION}"),
            (16 <= self.side <= MAX_SIDE, f"the side is 16 to {MAX_SIDE} pixels"),
            (self.template is None or len(self.template) == 5, "a template has five points"),
            (self._numbers_are_finite(), "a number is not finite, or too large"),
            (self.scale > 0 and self.threshold > 0, "scale and threshold are positive"),
            (min(self.margin, self.alike, self.unlike) >= 0, "a distance is negative"),
            (self.sha256 is None or bool(_SHA256.fullmatch(self.sha256)), "not a SHA-256"),
            (len(self.license) <= 200 and self.license.isprintable(), "the license is one line"),
        ):
            if not ok:
                raise DescriptionError(fault)

    def _numbers_are_finite(self) -> bool:
        found = [
            self.threshold, self.margin, self.alike, self.unlike, self.mean, self.scale,
            self.most_of_photo or 0.0, *(x for point in self.template or () for x in point),
        ]  # fmt: skip
        return all(math.isfinite(number) and abs(number) < 1e6 for number in found)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> "EmbedderDescription":
        """Raises :class:`DescriptionError` for anything :meth:`to_dict` could not have made.

        Fields this version does not know are ignored.
        """
        try:
            return _description.validate_json(text, strict=True)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"]))
            raise DescriptionError(
                f"not a description of an embedder: {place} {fault['msg']}"
            ) from error


_description = TypeAdapter(EmbedderDescription)

RESNET128 = EmbedderDescription(
    name="resnet128",
    dimension=128,
    side=150,
    template=DLIB_TEMPLATE,
    threshold=0.52,
    margin=0.12,
    # So far within the threshold are 3 of 4 pairs of one person, and hardly any of two: a refusal
    # needs a better reason than an answer.
    alike=0.06,
    # So far beyond it are 19 of 20 pairs of two people, and 1 in 50 of one.
    unlike=0.15,
    # LFW, 4,281 people: docs/decisions/threshold.md
    scores=ScoreModel(0.829, 0.0963, 0.4156, 0.0765, dispersion=13.0, trials=300),
    mirrored=True,
    most_of_photo=0.9,
    license="CC0-1.0",
)
"""dlib's ResNet. Found too badly from 0.9 of the photo on: a margin halves the distance then."""

FACENET = EmbedderDescription(
    name="facenet",
    dimension=512,
    side=240,
    template=None,
    # Not measured here: 1.0 to 1.1 is what its users verify pairs with.
    threshold=0.9,
    margin=0.15,
    alike=0.12,
    unlike=0.3,
    scores=ScoreModel(1.37, 0.105, 0.66, 0.16, dispersion=13.0, trials=50),
    mean=127.5,
    scale=128.0,
    license="MIT",
)
"""InceptionResnetV1 of VGGFace2 as the original users run it: ``MTCNN(image_size=240)``'s crop, not
mirrored, and what is found in a tight crop is embedded as it is."""

BUILT_IN = {description.name: description for description in (RESNET128, FACENET)}


def built_in(name: Any) -> EmbedderDescription:
    """Raises :class:`DescriptionError` for a name that does not come with the product."""
    if not isinstance(name, str) or name not in BUILT_IN:
        raise DescriptionError(
            f"no engine is called {name!r:.50}; there are {', '.join(BUILT_IN)}, and what "
            "`facerec engine add` added"
        )
    return BUILT_IN[name]
