"""Amazon Rekognition's own client against a web tier and a worker with the real engine."""

import io
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from PIL import Image

from facerec_tasks.aws import client as aws_client
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from local.processes.child import Child
from local.samples import portraits

from .conftest import Web

GRACE, EILEEN = (portrait.path.read_bytes() for portrait in portraits.portraits())
OTHER_GRACE = portraits.sample_photo("Grace_Hopper").data
STAFF = "staff.2026"


class Checked:
    """A client whose every answer is compared with botocore's description of it."""

    def __init__(self, rekognition: Any) -> None:
        self._client = rekognition

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(**parameters: Any) -> dict[str, Any]:
            found: dict[str, Any] = method(**parameters)
            operation = self._client.meta.method_to_api_mapping[name]
            shape = self._client.meta.service_model.operation_model(operation).output_shape
            metadata = found.pop("ResponseMetadata")
            assert metadata["RequestId"]
            check(shape, found, operation)
            report = ParamValidator().validate(found, shape)
            assert not report.has_errors(), report.generate_report()
            return found

        return call


def check(shape: Any, value: Any, where: str) -> None:
    """Names, patterns, enumerations and bounds, which botocore itself does not look at."""
    if shape.type_name == "structure":
        assert set(value) <= set(shape.members), where
        for name, member in value.items():
            check(shape.members[name], member, f"{where}.{name}")
    elif shape.type_name == "list":
        for one in value:
            check(shape.member, one, where)
    elif shape.type_name == "string":
        assert not shape.enum or value in shape.enum, where
        pattern = shape.metadata.get("pattern")
        assert not pattern or re.fullmatch(pattern, value), (where, value)
    elif shape.type_name in ("float", "integer", "long"):
        bounds = shape.metadata
        assert bounds.get("min", value) <= value <= bounds.get("max", value), (where, value)


def make_client(web: Web, key: str = "any", secret: str = "thing", **config: Any) -> Any:
    return boto3.client(
        "rekognition",
        endpoint_url=f"http://127.0.0.1:{web.port}",
        region_name="eu-west-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 1}, read_timeout=60, **config),
    )


@pytest.fixture
def worker(resources: Settings, spawn: Callable[..., Child]) -> Child:
    command = [sys.executable, "-m", "celery", "-A", "facerec_tasks.worker", "worker"]
    return spawn([*command, "--concurrency", "1"], log="worker")


@pytest.fixture
def web(start_web: Callable[..., Web], worker: Child) -> Web:
    return start_web()


@pytest.fixture
def rekognition(web: Web) -> Iterator[Any]:
    made = make_client(web)
    yield Checked(made)
    made.close()


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    code: str = caught.value.response["Error"]["Code"]
    assert caught.value.response["Error"]["Message"]
    return code


def side_by_side(*photos: bytes) -> bytes:
    pictures = [Image.open(io.BytesIO(photo)).convert("RGB").resize((360, 440)) for photo in photos]
    together = Image.new("RGB", (360 * len(pictures), 440))
    for number, picture in enumerate(pictures):
        together.paste(picture, (360 * number, 0))
    out = io.BytesIO()
    together.save(out, "JPEG", quality=92)
    return out.getvalue()


def test_from_create_collection_to_delete_collection(
    rekognition: Any, web: Web, resources: Settings
) -> None:
    made = rekognition.create_collection(CollectionId=STAFF)
    assert made["StatusCode"] == 200
    assert made["CollectionArn"].endswith(f":collection/{STAFF}")
    assert (
        code_of(lambda: rekognition.create_collection(CollectionId=STAFF))
        == "ResourceAlreadyExistsException"
    )
    assert rekognition.list_collections()["CollectionIds"] == ["default", STAFF]
    first = rekognition.list_collections(MaxResults=1)
    assert rekognition.list_collections(NextToken=first["NextToken"])["CollectionIds"] == [STAFF]
    described = rekognition.describe_collection(CollectionId=STAFF)
    assert (described["FaceCount"], described["CreationTimestamp"].year > 2024) == (0, True)

    # Two faces on one photo, one of them too many; then the other, from the bucket
    both = side_by_side(GRACE, EILEEN)
    indexed = rekognition.index_faces(
        CollectionId=STAFF, Image={"Bytes": both}, ExternalImageId="both:1", MaxFaces=1
    )
    (record,), (left_out,) = indexed["FaceRecords"], indexed["UnindexedFaces"]
    assert left_out["Reasons"] == ["EXCEEDS_MAX_FACES"]
    assert record["Face"]["ExternalImageId"] == "both:1"
    assert 0 < record["Face"]["BoundingBox"]["Width"] < 0.5
    assert [mark["Type"] for mark in record["FaceDetail"]["Landmarks"]][:2] == [
        "eyeLeft",
        "eyeRight",
    ]
    again = rekognition.index_faces(
        CollectionId=STAFF, Image={"Bytes": both}, ExternalImageId="both:1", MaxFaces=1
    )
    assert again["FaceRecords"][0]["Face"]["FaceId"] == record["Face"]["FaceId"]
    s3 = aws_client(resources, "s3")
    s3.put_object(Bucket=resources.in_bucket, Key="grace.jpg", Body=GRACE)
    stored = {"S3Object": {"Bucket": resources.in_bucket, "Name": "grace.jpg"}}
    grace = rekognition.index_faces(CollectionId=STAFF, Image=stored, ExternalImageId="Grace")
    grace_id = grace["FaceRecords"][0]["Face"]["FaceId"]
    eileen = rekognition.index_faces(CollectionId=STAFF, Image={"Bytes": EILEEN})
    eileen_id = eileen["FaceRecords"][0]["Face"]["FaceId"]
    assert "ExternalImageId" not in eileen["FaceRecords"][0]["Face"]

    # What is there, page by page
    everybody = {record["Face"]["FaceId"], grace_id, eileen_id}
    page = rekognition.list_faces(CollectionId=STAFF, MaxResults=2)
    rest = rekognition.list_faces(CollectionId=STAFF, NextToken=page["NextToken"])
    assert "NextToken" not in rest
    assert {face["FaceId"] for face in page["Faces"] + rest["Faces"]} == everybody
    assert rekognition.describe_collection(CollectionId=STAFF)["FaceCount"] == 3

    # Searched by face and by image
    found = rekognition.search_faces(CollectionId=STAFF, FaceId=eileen_id, FaceMatchThreshold=0)
    assert found["SearchedFaceId"] == eileen_id
    assert eileen_id not in {match["Face"]["FaceId"] for match in found["FaceMatches"]}
    found = rekognition.search_faces_by_image(CollectionId=STAFF, Image={"Bytes": OTHER_GRACE})
    similarities = [match["Similarity"] for match in found["FaceMatches"]]
    assert "Grace" in {match["Face"].get("ExternalImageId") for match in found["FaceMatches"]}
    assert similarities == sorted(similarities, reverse=True)
    assert min(similarities) >= 80
    assert found["SearchedFaceConfidence"] > 90
    one = rekognition.search_faces_by_image(
        CollectionId=STAFF, Image={"Bytes": OTHER_GRACE}, MaxFaces=1, FaceMatchThreshold=1
    )
    assert len(one["FaceMatches"]) == 1

    # Removed, one by one and all together
    nobody = str(uuid.uuid4())
    deleted = rekognition.delete_faces(CollectionId=STAFF, FaceIds=[grace_id, nobody])
    assert deleted["DeletedFaces"] == [grace_id]
    assert deleted["UnsuccessfulFaceDeletions"][0]["Reasons"] == ["FACE_NOT_FOUND"]
    missing = code_of(lambda: rekognition.search_faces(CollectionId=STAFF, FaceId=grace_id))
    assert missing == "InvalidParameterException"
    assert rekognition.delete_collection(CollectionId=STAFF)["StatusCode"] == 200
    for call in (
        lambda: rekognition.delete_collection(CollectionId=STAFF),
        lambda: rekognition.describe_collection(CollectionId=STAFF),
        lambda: rekognition.list_faces(CollectionId=STAFF),
        lambda: rekognition.index_faces(CollectionId=STAFF, Image={"Bytes": GRACE}),
        lambda: rekognition.search_faces_by_image(CollectionId=STAFF, Image={"Bytes": GRACE}),
    ):
        assert code_of(call) == "ResourceNotFoundException"
    state = StateBucket(resources)
    assert list(state.list(layout.GALLERY_COLLECTIONS)) == []
    assert list(state.list(layout.UPLOADS)) == []
    assert web.json("/internal/in-flight")["outstanding"] == 0


def test_the_longest_names_there_can_be(rekognition: Any, resources: Settings) -> None:
    """They do not fit into a message of the request queue, all together."""
    collection, name, key = "c" * 255, "n" * 255, "漢" * 300 + ".jpg"
    s3 = aws_client(resources, "s3")
    stored = s3.put_object(Bucket=resources.in_bucket, Key=key, Body=GRACE)
    image = {
        "S3Object": {
            "Bucket": resources.in_bucket,
            "Name": key,
            "Version": stored["VersionId"],
        }
    }
    rekognition.create_collection(CollectionId=collection)
    indexed = rekognition.index_faces(
        CollectionId=collection, Image=image, ExternalImageId="n" * 200
    )
    assert indexed["FaceRecords"][0]["Face"]["ExternalImageId"] == name[:200]
    too_long = lambda: rekognition.index_faces(  # noqa: E731
        CollectionId=collection, Image=image, ExternalImageId=name
    )
    assert code_of(too_long) == "InvalidParameterException"
    rekognition.delete_collection(CollectionId=collection)
    assert list(StateBucket(resources).list(layout.UPLOADS)) == []


def test_photos_are_compared_and_their_faces_detected(
    rekognition: Any, resources: Settings
) -> None:
    both = side_by_side(EILEEN, GRACE)
    compared = rekognition.compare_faces(
        SourceImage={"Bytes": OTHER_GRACE}, TargetImage={"Bytes": both}
    )
    (match,), (other,) = compared["FaceMatches"], compared["UnmatchedFaces"]
    assert match["Similarity"] > 90
    assert match["Face"]["BoundingBox"]["Left"] > 0.5 > other["BoundingBox"]["Left"]
    detected = rekognition.detect_faces(Image={"Bytes": both}, Attributes=["ALL"])
    assert len(detected["FaceDetails"]) == 2
    for face in detected["FaceDetails"]:
        assert face["Confidence"] > 90
        assert len(face["Landmarks"]) == 5
        assert 0 < face["Quality"]["Brightness"] < 100

    blank = io.BytesIO()
    Image.new("RGB", (300, 300), "navy").save(blank, "PNG")
    nobody = {"Bytes": blank.getvalue()}
    assert rekognition.detect_faces(Image=nobody)["FaceDetails"] == []
    grace = {"Bytes": GRACE}
    foreign = {"S3Object": {"Bucket": "somebody-elses", "Name": "x.jpg"}}
    gone = {"S3Object": {"Bucket": resources.in_bucket, "Name": "gone.jpg"}}
    detect, compare = rekognition.detect_faces, rekognition.compare_faces
    for expected, call in (
        ("InvalidParameterException", lambda: compare(SourceImage=nobody, TargetImage=grace)),
        ("InvalidParameterException", lambda: compare(SourceImage=grace, TargetImage=nobody)),
        ("InvalidParameterException", lambda: detect(Image={})),
        ("InvalidImageFormatException", lambda: detect(Image={"Bytes": b"hello"})),
        ("InvalidImageFormatException", lambda: detect(Image={"Bytes": GRACE[:500]})),
        ("ImageTooLargeException", lambda: detect(Image={"Bytes": bytes(5_300_000)})),
        ("InvalidS3ObjectException", lambda: detect(Image=foreign)),
        ("InvalidS3ObjectException", lambda: detect(Image=gone)),
    ):
        assert code_of(call) == expected, expected
    bad = lambda: rekognition.create_collection(CollectionId="a b")  # noqa: E731
    assert code_of(bad) == "InvalidParameterException"


def test_signatures_are_verified_with_our_keys(
    start_web: Callable[..., Web], resources: Settings, eventually: Callable[..., None]
) -> None:
    from webapp.services.keys import ApiKeys, make, make_aws

    web = start_web(FACEREC_HOST="0.0.0.0")
    keys = ApiKeys(StateBucket(resources))
    reader = make_aws("reader", ["people:read"], 0.0)
    plain, token = make("plain", ["people:read"], 0.0)
    for key in (reader, plain):
        keys.add(key)

    def is_known() -> bool:  # keys that were just read are not read again within a second
        try:
            make_client(web, reader.id, reader.secret).list_collections()
        except ClientError:
            return False
        return True

    eventually(is_known)
    listed = make_client(web, reader.id, reader.secret).list_collections()
    assert listed["CollectionIds"] == ["default"]
    refused = {
        "InvalidSignatureException": make_client(web, reader.id, reader.secret + "x"),
        "UnrecognizedClientException": make_client(web, "FRAKNOBODY", reader.secret),
    }
    for code, other in refused.items():
        assert code_of(other.list_collections) == code
    not_its_own = make_client(web, plain.id, token.rpartition("_")[2])
    assert code_of(not_its_own.list_collections) == "UnrecognizedClientException"
    create = lambda: make_client(web, reader.id, reader.secret).create_collection(  # noqa: E731
        CollectionId="x"
    )
    assert code_of(create) == "AccessDeniedException"

    headers = {"X-Amz-Target": "RekognitionService.ListCollections"}
    unsigned = web.request("POST", "/", body=b"{}", headers=headers)
    assert unsigned.json()["__type"] == "MissingAuthenticationTokenException"
    # The id of a pair is no key: it goes over the wire in the clear
    for given in (reader.id, f"fr_{reader.id}_"):
        bearer = {"Authorization": f"Bearer {given}"}
        assert web.request("GET", "/v1/people", headers=bearer).status == 401
        answer = web.request("POST", "/", body=b"{}", headers=headers | bearer)
        assert answer.json()["__type"] == "MissingAuthenticationTokenException"
    # Neither the body of a stranger is read, nor more than two photos of anybody
    stranger = headers | {"Content-Length": str(10 << 20)}
    assert web.request("POST", "/", body=b"", headers=stranger).status == 401


def test_what_rekognition_has_and_we_have_not(web: Web, resources: Settings) -> None:
    def ask(target: str, body: bytes = b"{}") -> tuple[int, str]:
        headers = {"X-Amz-Target": f"RekognitionService.{target}"}
        answer = web.request("POST", "/", body=body, headers=headers)
        assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"
        return answer.status, answer.json()["__type"]

    assert ask("DetectText") == (400, "UnknownOperationException")
    assert ask("Nonsense") == (400, "UnknownOperationException")
    assert ask("DetectFaces", b"{") == (400, "SerializationException")
    for body in (b"[]", b'{"Image": 7}', b'{"Image": {"Bytes": "?"}}', b'{"Image": null}'):
        assert ask("DetectFaces", body) == (400, "InvalidParameterException"), body
    for body in (b'{"MaxResults": -1}', b'{"MaxResults": true}', b'{"MaxResults": 1e999}'):
        assert ask("ListCollections", body) == (400, "InvalidParameterException"), body
