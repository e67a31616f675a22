"""Rekognition's operations on collections and faces, answered by our own services."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from facerec_tasks.recognition.gallery.records import FaceRecord, PersonRecord
from facerec_tasks.settings import Settings
from webapp.http.paging import page_of
from webapp.http.uploads import accept
from webapp.rekognition import shapes
from webapp.rekognition.errors import RekognitionError, invalid
from webapp.rekognition.shapes import Structure
from webapp.services.enrolled_people import EnrolledPeople
from webapp.services.task_client import Wait
from webapp.services.worker_requests import Source, WorkerRequests, stored_photo

PAGE = 1000
MAX_FACES = 80
"""Matches unless another number is asked for, as Rekognition's."""
THRESHOLD = 80.0
"""Least similarity unless another is asked for, as Rekognition's."""
NO_FACES = "There are no faces in the image. Should be at least 1."
ACCOUNT = "000000000000"

Operation = Callable[[Structure, Wait], Structure]


@dataclass(frozen=True)
class Operations:
    """One method per operation: parameters of botocore's model in, its output shape out."""

    settings: Settings
    enrolled: EnrolledPeople
    workers: WorkerRequests

    def table(self) -> dict[str, tuple[Operation, str]]:
        """By name: the operation, and the scope a key needs for it."""
        return {
            "CreateCollection": (self.create_collection, "people:write"),
            "ListCollections": (self.list_collections, "people:read"),
            "DescribeCollection": (self.describe_collection, "people:read"),
            "DeleteCollection": (self.delete_collection, "people:write"),
            "IndexFaces": (self.index_faces, "people:write"),
            "ListFaces": (self.list_faces, "people:read"),
            "DeleteFaces": (self.delete_faces, "people:write"),
            "SearchFaces": (self.search_faces, "recognize"),
            "SearchFacesByImage": (self.search_faces_by_image, "recognize"),
            "CompareFaces": (self.compare_faces, "recognize"),
            "DetectFaces": (self.detect_faces, "recognize"),
        }

    # Collections

    def create_collection(self, given: Structure, wait: Wait) -> Structure:
        self.workers.create_collection(given["CollectionId"], wait)
        return {
            "StatusCode": 200,
            "CollectionArn": self._arn(given["CollectionId"]),
            "FaceModelVersion": shapes.MODEL_VERSION,
        }

    def list_collections(self, given: Structure, wait: Wait) -> Structure:
        names = sorted(self.enrolled.collections())
        chosen, token = _page(names, given)
        versions = [shapes.MODEL_VERSION] * len(chosen)
        return {"CollectionIds": chosen, "FaceModelVersions": versions, **token}

    def describe_collection(self, given: Structure, wait: Wait) -> Structure:
        info = self.enrolled.info(given["CollectionId"])
        created = {} if info.created_at is None else {"CreationTimestamp": info.created_at}
        return {
            "FaceCount": info.count_faces(),
            "UserCount": len(info.people),
            "FaceModelVersion": shapes.MODEL_VERSION,
            "CollectionARN": self._arn(given["CollectionId"]),
            **created,
        }

    def delete_collection(self, given: Structure, wait: Wait) -> Structure:
        self.workers.delete_collection(given["CollectionId"], wait)
        return {"StatusCode": 200}

    # Enrolled faces

    def index_faces(self, given: Structure, wait: Wait) -> Structure:
        found = self.workers.index(
            given["Image"],
            given.get("ExternalImageId", ""),
            given.get("MaxFaces"),
            given.get("QualityFilter", "AUTO") != "NONE",
            wait,
        )
        indexed, others = [], []
        for seen in found["faces"]:
            detail = shapes.detail(seen, found)
            if "face_id" in seen:
                indexed.append({"Face": shapes.indexed_face(seen, found), "FaceDetail": detail})
            else:
                others.append({"Reasons": [shapes.reason(seen["reason"])], "FaceDetail": detail})
        return {
            "FaceRecords": indexed,
            "UnindexedFaces": others,
            "FaceModelVersion": shapes.MODEL_VERSION,
        }

    def list_faces(self, given: Structure, wait: Wait) -> Structure:
        owners = self.enrolled.info(given["CollectionId"]).owners
        ids = [
            id_
            for id_, person in owners.items()
            if given.get("UserId") in (None, person.id)
            and ("FaceIds" not in given or id_ in given["FaceIds"])
        ]
        chosen, token = _page(ids, given)
        faces = [shapes.face(_record(id_, owners[id_]), owners[id_]) for id_ in chosen]
        return {"Faces": faces, "FaceModelVersion": shapes.MODEL_VERSION, **token}

    def delete_faces(self, given: Structure, wait: Wait) -> Structure:
        done = self.workers.forget_faces(given["FaceIds"], wait)
        missing = [{"FaceId": id_, "Reasons": ["FACE_NOT_FOUND"]} for id_ in done["missing"]]
        found: Structure = {"DeletedFaces": done["forgotten"]}
        return found | ({"UnsuccessfulFaceDeletions": missing} if missing else {})

    def search_faces(self, given: Structure, wait: Wait) -> Structure:
        found = self.workers.search_by_face(given["FaceId"], *_limits(given), wait)
        return {
            "SearchedFaceId": given["FaceId"],
            "FaceMatches": [shapes.match(one) for one in found["matches"]],
            "FaceModelVersion": shapes.MODEL_VERSION,
        }

    def search_faces_by_image(self, given: Structure, wait: Wait) -> Structure:
        found = self.workers.search_faces(given["Image"], *_limits(given), wait)
        if not found["faces"]:
            raise invalid(NO_FACES)
        largest = shapes.detail(found["faces"][0], found)
        return {
            "SearchedFaceBoundingBox": largest["BoundingBox"],
            "SearchedFaceConfidence": largest["Confidence"],
            "FaceMatches": [shapes.match(one) for one in found["matches"]],
            "FaceModelVersion": shapes.MODEL_VERSION,
        }

    # Photos that are not kept

    def compare_faces(self, given: Structure, wait: Wait) -> Structure:
        found = self.workers.compare(given["SourceImage"], given["TargetImage"], wait)
        if not found["target"]["faces"]:
            raise invalid(NO_FACES)
        least = given.get("SimilarityThreshold", THRESHOLD)
        details = [
            (seen["similarity"], shapes.detail(seen, found["target"]))
            for seen in found["target"]["faces"]
        ]
        details.sort(key=lambda one: -one[0])
        largest = shapes.detail(found["source"]["faces"][0], found["source"])
        return {
            "SourceImageFace": {
                "BoundingBox": largest["BoundingBox"],
                "Confidence": largest["Confidence"],
            },
            "FaceMatches": [
                {"Similarity": alike, "Face": face} for alike, face in details if alike >= least
            ],
            "UnmatchedFaces": [face for alike, face in details if alike < least],
        }

    def detect_faces(self, given: Structure, wait: Wait) -> Structure:
        found = self.workers.detect(given["Image"], wait)
        return {"FaceDetails": [shapes.detail(seen, found) for seen in found["faces"]]}

    # Their parts

    def photo(self, image: Structure) -> AbstractContextManager[Source]:
        """An ``Image`` where workers find it; raises :class:`RekognitionError`, :class:`Problem`.

        Operations are given this in the place of the image.
        """
        if ("Bytes" in image) == ("S3Object" in image):
            raise invalid("an image is Bytes or an S3Object")
        if "Bytes" in image:
            data = accept("photo", image.pop("Bytes"), self.settings.max_upload_bytes).data
            return self.workers.uploaded(data)
        stored = image["S3Object"]
        if stored.get("Bucket") != self.settings.in_bucket or not stored.get("Name"):
            raise RekognitionError(
                "InvalidS3ObjectException",
                f"S3 objects are read from the bucket {self.settings.in_bucket} only",
            )
        return nullcontext(stored_photo(stored["Name"], stored.get("Version")))

    def _arn(self, collection: str) -> str:
        return f"aws:rekognition:{self.settings.region}:{ACCOUNT}:collection/{collection}"


def _limits(given: Structure) -> tuple[int, float]:
    return given.get("MaxFaces", MAX_FACES), given.get("FaceMatchThreshold", THRESHOLD)


def _page(sorted_ids: list[str], given: Structure) -> tuple[Sequence[str], dict[str, Any]]:
    """A page after ``NextToken``, the last id of the page before."""
    limit = given.get("MaxResults") or PAGE
    chosen, last = page_of(sorted_ids, limit, given.get("NextToken"), key=str)
    return chosen, {"NextToken": last} if last else {}


def _record(face: str, person: PersonRecord) -> FaceRecord:
    return next(record for record in person.faces if record.id == face)
