"""``facerec photos`` on photos that came the usual way."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from facerec_tasks import aws
from facerec_tasks.settings import Settings
from local.processes.child import Child

from .conftest import Web, photo


def photos(*arguments: str) -> Any:
    command = [sys.executable, "-c", "from cli.main import main; main()", "photos", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def versions(settings: Settings, bucket: str) -> list[str]:
    listed = aws.client(settings, "s3").list_object_versions(Bucket=bucket)
    return [v["Key"] for v in (*listed.get("Versions", []), *listed.get("DeleteMarkers", []))]


@pytest.fixture
def sent(
    start_web: Callable[..., Web], start_worker: Callable[..., Child], resources: Settings
) -> Settings:
    """Two photos of one name, one of another, one refused; one with an idempotency key."""
    web = start_web()
    start_worker()
    web.post(photo(name="Paul"), name="a.jpg")
    web.post(photo(name="Emily"), name="a.jpg", Idempotency_Key="a")
    web.post(photo(name="Zoë"), name="b.jpg")
    web.post(photo(code="broken-picture"), name="c.jpg")
    return resources


def test_photos_list_and_purge(sent: Settings) -> None:
    listed = photos("list", "--json")
    assert [(row["photo"], row["name"]) for row in listed] == [
        ("a.jpg", "Emily"),
        ("b.jpg", "Zoë"),
        ("c.jpg", None),
    ]
    assert [row["photo"] for row in photos("list", "--prefix", "b", "--json")] == ["b.jpg"]

    would = {"photos": 2, "names": 2, "records": 4, "dry_run": True}  # a claim is written twice
    assert photos("purge", "a.jpg", "--dry-run", "--json") == would
    assert photos("purge", "a.jpg", "--yes", "--json") == {**would, "dry_run": False}
    assert versions(sent, sent.in_bucket) == ["b.jpg", "c.jpg"]
    assert versions(sent, sent.out_bucket) == ["b"]
    assert len(versions(sent, sent.state_bucket)) == 2

    untouched = photos("purge", "--older-than", "1h", "--yes", "--json")
    assert (untouched["photos"], untouched["records"]) == (0, 0)
    assert photos("purge", "--older-than", "0m", "--yes", "--json")["photos"] == 2
    for bucket in (sent.in_bucket, sent.out_bucket, sent.state_bucket):
        assert versions(sent, bucket) == []


def test_orphaned_photos_are_found_and_removed(sent: Settings) -> None:
    """A photo whose request died between storing and sending; those with a record stay."""
    aws.client(sent, "s3").put_object(Bucket=sent.in_bucket, Key="lost.jpg", Body=b"x")
    before = versions(sent, sent.in_bucket)
    time.sleep(1.1)  # S3 tells whole seconds
    assert photos("orphans", "--json") == []  # younger than a day
    (found,) = photos("orphans", "--older-than", "0m", "--json")
    assert found["photo"] == "lost.jpg"
    photos("orphans", "--older-than", "0m", "--remove", "--yes", "--json")
    before.remove("lost.jpg")
    assert sorted(versions(sent, sent.in_bucket)) == sorted(before)
