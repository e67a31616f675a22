"""What docs/how-to/operations.md says about restoring, done the way it says."""

import numpy as np
import pytest

from facerec_tasks.aws import client
from facerec_tasks.errors import NotFound
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.buckets import Storage
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket


def with_person(gallery: Gallery, name: str) -> Gallery:
    embedding = np.zeros((1, 128), np.float32)
    embedding[0, len(gallery.names)] = 1
    return gallery.with_person(name, embedding, [""])


def versions(settings: Settings, bucket: str, name: str) -> list[str]:
    """Ids, the newest first, as `aws s3api list-object-versions` shows them."""
    found = client(settings, "s3").list_object_versions(Bucket=bucket, Prefix=name)
    return [one["VersionId"] for one in found.get("Versions", ())]


def test_corrupt_gallery_is_restored(resources: Settings) -> None:
    people = People(StateBucket(resources))
    people.edit(lambda gallery: with_person(gallery, "Ada"))
    people.edit(lambda gallery: with_person(gallery, "Not_Ada"))
    bucket = resources.state_bucket
    _, before = versions(resources, bucket, layout.GALLERY_CURRENT)
    client(resources, "s3").copy_object(
        Bucket=bucket,
        Key=layout.GALLERY_CURRENT,
        CopySource=f"{bucket}/{layout.GALLERY_CURRENT}?versionId={before}",
        MetadataDirective="REPLACE",
    )
    assert people.gallery().names == ("Ada",)


def test_erased_person_cannot_be_restored(resources: Settings) -> None:
    people = People(StateBucket(resources))
    people.edit(lambda gallery: with_person(gallery, "Ada"))
    people.edit(lambda gallery: with_person(gallery, "Grace"))
    people.remove("Ada")
    assert len(versions(resources, resources.state_bucket, layout.GALLERY_CURRENT)) == 1
    assert people.gallery().names == ("Grace",)


def test_deleted_photo_is_restored_from_its_version(resources: Settings) -> None:
    storage, s3 = Storage(resources), client(resources, "s3")
    storage.photos.put("test_00.jpg", b"photo", "image/jpeg")
    mark = s3.delete_object(Bucket=resources.in_bucket, Key="test_00.jpg")["VersionId"]
    with pytest.raises(NotFound):
        storage.photos.get("test_00.jpg")
    s3.delete_object(Bucket=resources.in_bucket, Key="test_00.jpg", VersionId=mark)
    assert storage.photos.get("test_00.jpg") == b"photo"
