"""Writers at once on the embedded S3, and policies of its buckets."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from facerec_tasks.aws import client
from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.settings import Settings
from facerec_tasks.storage.buckets import Storage

WRITERS = 40


def test_no_version_of_a_name_written_at_once_is_lost(resources: Settings) -> None:
    storage = Storage(resources)
    photos = [bytes(100_000) + f"photo {n}".encode() for n in range(400)]
    with ThreadPoolExecutor(WRITERS) as pool:
        versions = list(pool.map(lambda p: storage.photos.put("a.jpg", p, "image/jpeg"), photos))
        assert list(pool.map(lambda v: storage.photos.get("a.jpg", v), versions)) == photos


def test_of_conditional_writers_at_once_one_wins(resources: Settings) -> None:
    storage = Storage(resources)

    def write(turn: int) -> bool:
        try:
            storage.state.put(f"race/{turn // WRITERS}", b"x", if_absent=True)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(write, range(10 * WRITERS))) == 10


def test_a_policy_is_enforced_without_its_conditions(settings: Settings) -> None:
    s3 = client(settings, "s3")
    s3.create_bucket(Bucket="guarded")
    s3.put_object(Bucket="guarded", Key="a", Body=b"a")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject"}
    tls = {"Bool": {"aws:SecureTransport": "false"}}
    statements = [{**deny, "Resource": "arn:aws:s3:::guarded/*", "Condition": tls}]
    s3.put_bucket_policy(Bucket="guarded", Policy=json.dumps({"Statement": statements}))
    assert s3.get_object(Bucket="guarded", Key="a")["Body"].read() == b"a"
    statements.append({**deny, "Resource": "arn:aws:s3:::guarded/a"})
    s3.put_bucket_policy(Bucket="guarded", Policy=json.dumps({"Statement": statements}))
    with pytest.raises(ClientError, match="Forbidden"):
        s3.get_object(Bucket="guarded", Key="a")
