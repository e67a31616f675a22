"""Converts our values to Rekognition's structures: ratios, percentages, reasons."""

import re
from collections.abc import Mapping
from typing import Any

from facerec_tasks.recognition.gallery import identifiers
from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord, PersonRecord

MODEL_VERSION = "1.0"
"""Of the faces: another one would mean that they cannot be compared."""
LANDMARKS = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")
_EXTERNAL = re.compile(r"[^a-zA-Z0-9_.\-:]")
_REASONS = {
    "exceeds-max-faces": "EXCEEDS_MAX_FACES",
    "too-small": "SMALL_BOUNDING_BOX",
    "blurred": "LOW_SHARPNESS",
    "cut-off": "EXTREME_POSE",
}

Structure = dict[str, Any]
Members = Mapping[str, Any]


def face(record: FaceRecord, person: PersonRecord) -> Structure:
    """``Face`` of an enrolled face."""
    return _face(record.id, record.photo, record.box, person.id, person.name)


def indexed_face(seen: Structure, picture: Structure) -> Structure:
    """``Face`` of a face that has just been enrolled."""
    box = FaceBox.of_pixels(seen["box"], seen["score"], picture["width"], picture["height"])
    return _face(seen["face_id"], seen["photo"], box, seen["person_id"], seen["name"])


def match(found: Structure) -> Structure:
    """``FaceMatch`` of one of the nearest faces."""
    box = FaceBox(*found["box"]) if found["box"] else None
    face = _face(found["face_id"], found["photo"], box, found["person_id"], found["name"])
    return {"Similarity": found["similarity"], "Face": face}


def detail(seen: Members, picture: Members) -> Structure:
    """``FaceDetail`` and ``ComparedFace`` of a face on a photo."""
    width, height = picture["width"], picture["height"]
    return {
        "BoundingBox": _box(FaceBox.of_pixels(seen["box"], seen["score"], width, height)),
        "Confidence": _percent(seen["score"]),
        "Landmarks": [
            {"Type": kind, "X": round(x / width, 6), "Y": round(y / height, 6)}
            for kind, (x, y) in zip(LANDMARKS, seen["landmarks"], strict=True)
        ],
        "Quality": {
            "Brightness": seen["quality"]["brightness"],
            "Sharpness": seen["quality"]["sharpness"],
        },
    }


def reason(ours: str) -> str:
    """Of a face that was not indexed."""
    return _REASONS.get(ours, "LOW_FACE_QUALITY")


def _face(id_: str, photo: str, box: FaceBox | None, person: str, name: str) -> Structure:
    """A name is the external image id; characters that cannot be in one become ``_``."""
    found: Structure = {"FaceId": id_, "IndexFacesModelVersion": MODEL_VERSION, "UserId": person}
    if photo:
        found["ImageId"] = identifiers.image_id(photo)
    if box:
        found["BoundingBox"], found["Confidence"] = _box(box), _percent(box.score)
    if name != person:
        found["ExternalImageId"] = _EXTERNAL.sub("_", name)
    return found


def _box(box: FaceBox) -> Structure:
    return {"Left": box.left, "Top": box.top, "Width": box.width, "Height": box.height}


def _percent(share: float) -> float:
    return round(min(100.0, 100 * share), 4)
