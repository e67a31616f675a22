"""Parameters of Rekognition's operations, checked against botocore's model of them."""

import base64
import math
from typing import Any

import pytest

from webapp.rekognition.errors import RekognitionError
from webapp.rekognition.model import parameters

FACE = "00000000-0000-0000-0000-000000000000"
IMAGE = {"Bytes": base64.b64encode(b"photo").decode()}


@pytest.mark.parametrize(
    ("operation", "given", "checked"),
    [
        ("DetectFaces", {"Image": IMAGE}, {"Image": {"Bytes": b"photo"}}),
        ("ListCollections", {"MaxResults": 5, "NextToken": None}, {"MaxResults": 5}),
        ("CreateCollection", {"CollectionId": "a", "New": 1}, {"CollectionId": "a"}),
        ("CreateCollection", {"CollectionId": "a", "Tags": {"Team": "é"}}, None),
        ("SearchFaces", {"CollectionId": "a", "FaceId": FACE, "FaceMatchThreshold": 80}, None),
    ],
)
def test_parameters_of_the_model_are_taken(
    operation: str, given: dict[str, Any], checked: dict[str, Any] | None
) -> None:
    """``None``: as they were given."""
    assert parameters(operation, given) == (given if checked is None else checked)


@pytest.mark.parametrize(
    ("operation", "given", "named"),
    [
        ("CreateCollection", None, "request"),
        ("CreateCollection", [], "request"),
        ("CreateCollection", {}, "CollectionId"),
        ("CreateCollection", {"CollectionId": None}, "CollectionId"),
        ("CreateCollection", {"CollectionId": ""}, "CollectionId"),
        ("CreateCollection", {"CollectionId": "a b"}, "CollectionId"),
        ("CreateCollection", {"CollectionId": "a\n"}, "CollectionId"),
        ("CreateCollection", {"CollectionId": "\ud800"}, "CollectionId"),
        ("CreateCollection", {"CollectionId": "a" * 256}, "CollectionId"),
        ("ListCollections", {"MaxResults": True}, "MaxResults"),
        ("ListCollections", {"MaxResults": "1"}, "MaxResults"),
        ("ListCollections", {"MaxResults": 4097}, "MaxResults"),
        ("IndexFaces", {"CollectionId": "a", "Image": IMAGE, "MaxFaces": 1 << 60}, "MaxFaces"),
        ("CompareFaces", {"SimilarityThreshold": math.nan}, "SimilarityThreshold"),
        ("CompareFaces", {"SimilarityThreshold": 101}, "SimilarityThreshold"),
        ("CompareFaces", {"QualityFilter": "BEST"}, "QualityFilter"),
        ("DeleteFaces", {"CollectionId": "a", "FaceIds": []}, "FaceIds"),
        ("DeleteFaces", {"CollectionId": "a", "FaceIds": [FACE, 1]}, "FaceIds.1"),
        ("DetectFaces", {"Image": {"Bytes": ""}}, "Image.Bytes"),
        ("DetectFaces", {"Image": {"Bytes": 7}}, "Image.Bytes"),
        ("DetectFaces", {"Image": {"Bytes": "YWJj\n"}}, "Image.Bytes"),
        ("DetectFaces", {"Image": {"Bytes": "_-_-"}}, "Image.Bytes"),
        ("DetectFaces", {"Image": {"S3Object": {"Bucket": "ab"}}}, "Image.S3Object.Bucket"),
    ],
)
def test_other_parameters_are_refused_by_name(operation: str, given: Any, named: str) -> None:
    if operation == "CompareFaces":
        given = {"SourceImage": IMAGE, "TargetImage": IMAGE, **given}
    with pytest.raises(RekognitionError) as refused:
        parameters(operation, given)
    assert refused.value.code == "InvalidParameterException"
    assert refused.value.message.startswith(f"{named}: ")


def test_too_large_a_photo_has_a_code_of_its_own() -> None:
    photo = base64.b64encode(bytes(5 * 1024 * 1024 + 1)).decode()
    with pytest.raises(RekognitionError) as refused:
        parameters("DetectFaces", {"Image": {"Bytes": photo}})
    assert refused.value.code == "ImageTooLargeException"
