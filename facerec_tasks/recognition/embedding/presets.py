"""Descriptions to begin with for kinds of networks people can get, and where their weights are.

A preset says what no ONNX file does: how faces are aligned, the order and range of the pixels, and
how far apart faces are. The numbers of ``scores`` decide less than those of a gallery's own people,
which soon outweigh them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from facerec_tasks.recognition.embedding.description import FACENET, RESNET128, EmbedderDescription
from facerec_tasks.recognition.embedding.score_model import ScoreModel
from facerec_tasks.recognition.embedding.templates import ARCFACE_TEMPLATE, DLIB_TEMPLATE


@dataclass(frozen=True)
class Preset:
    """A kind of network."""

    description: EmbedderDescription
    weights: str
    """Where they are to be had and under which license, as their makers' own pages say."""


_ARCFACE = EmbedderDescription(
    name="arcface",
    dimension=512,
    side=112,
    template=ARCFACE_TEMPLATE,
    mean=127.5,
    scale=127.5,
    metric="cosine",
    # A MobileFaceNet trained with ArcFace's loss on 220 news photos of 100 people: the deviation
    # is that of the nearest thousandth of two people;
    # the threshold has resnet128's false match rate.
    threshold=1.08,
    margin=0.12,
    alike=0.06,
    unlike=0.15,
    scores=ScoreModel(1.407, 0.11, 0.696, 0.144, dispersion=13.0, trials=50),
)

PRESETS: Mapping[str, Preset] = {
    "arcface": Preset(
        _ARCFACE,
        "AuraFace v1 (Apache-2.0, ResNet100, 261 MB); InsightFace's own packs such as buffalo_l "
        "are for non-commercial research only",
    ),
    "sface": Preset(
        # OpenCV's FaceRecognizerSF: RGB from 0 to 255, scaled inside the network. Its published
        # threshold is 1.128 (cosine 0.363); its distances were not measured here.
        replace(
            _ARCFACE,
            name="sface",
            dimension=128,
            mean=0.0,
            scale=1.0,
            threshold=1.128,
            scores=ScoreModel(1.40, 0.09, 0.80, 0.15, dispersion=13.0, trials=50),
        ),
        "OpenCV Zoo, face_recognition_sface (Apache-2.0, 24 MB, SHA-256 "
        "f6abbfff9575e3041db692c1e29d782e995191888477fd59ebc81202d99fc63b)",
    ),
    "facenet": Preset(
        replace(FACENET, name="facenet-own", metric="cosine", license=""),
        "facenet-pytorch, vggface2 (MIT, LFW 99.65 % by its makers), exported to ONNX",
    ),
    "dlib": Preset(
        replace(RESNET128, name="dlib", template=DLIB_TEMPLATE, license=""),
        "dlib-models (CC0-1.0): dlib_face_recognition_resnet_model_v1.dat is what ships here; "
        "others of its structure are taken as .dat files too",
    ),
}


def scaled(description: EmbedderDescription, side: int) -> EmbedderDescription:
    """The same alignment for a network that looks at another size."""
    factor = side / description.side
    template = description.template
    if template is not None:
        template = tuple((round(x * factor, 4), round(y * factor, 4)) for x, y in template)
    return replace(description, side=side, template=template)
