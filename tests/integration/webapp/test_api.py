"""What programs use: waiting elsewhere, many photos at once, keys, harmless repetitions."""

import json
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from subprocess import run

import pytest
import urllib3

from facerec_tasks import aws
from facerec_tasks.settings import Settings
from facerec_tasks.storage.state_bucket import StateBucket
from local.processes.child import Child
from webapp.services.keys import ApiKeys, make

from .conftest import Web, photo

Eventually = Callable[..., None]


@pytest.fixture
def web(start_web: Callable[..., Web]) -> Web:
    return start_web()


def versions(settings: Settings) -> int:
    s3 = aws.client(settings, "s3")
    return len(s3.list_object_versions(Bucket=settings.in_bucket).get("Versions", []))


def test_wait_0_returns_result_location(
    web: Web,
    start_web: Callable[..., Web],
    start_worker: Callable[..., Child],
    eventually: Eventually,
) -> None:
    accepted = web.post(photo(name="Paul"), path="/?wait=0", Accept="application/json")
    assert accepted.status == 202
    where = accepted.headers["Location"]
    assert accepted.json()["result"] == where
    other = start_web()
    for one in (web, other):
        pending = one.request("GET", where)
        assert (pending.status, int(pending.headers["Retry-After"]) > 0) == (202, True)
    assert web.json("/internal/in-flight")["outstanding"] == 1
    start_worker()
    eventually(lambda: other.request("GET", where).data == b"test_00:Paul", within=20)
    eventually(lambda: web.json("/internal/in-flight")["outstanding"] == 0)
    assert web.post(photo(name="Paul"), path="/?wait=never").status == 400


def test_several_photos_stream_ndjson(web: Web, start_worker: Callable[..., Child]) -> None:
    start_worker("--concurrency", "2")
    wishes = [{"name": "Slow", "seconds": 2}, {"name": "Paul"}, {"outcome": "no-face"}]
    files = [("inputFile", (f"p{n}.jpg", photo(**wish))) for n, wish in enumerate(wishes)]
    files += [("inputFile", ("text.txt", b"hello")), ("inputFile", ("b.jpg", photo(code="empty")))]
    answer = web.request("POST", "/", fields=files)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    lines = [json.loads(line) for line in answer.data.splitlines()]
    assert lines[-1]["index"] == 0  # the slow one came last
    by_index = sorted(lines, key=lambda line: int(line["index"]))
    assert [line.get("text") for line in by_index[:3]] == ["p0:Slow", "p1:Paul", "p2:no-face"]
    assert [(line["status"], line["code"]) for line in by_index[3:]] == [
        (415, "not-a-picture"),
        (400, "empty"),
    ]
    assert web.json("/internal/in-flight")["outstanding"] == 0


def test_several_photos_take_several_admission_slots(start_web: Callable[..., Web]) -> None:
    web = start_web(FACEREC_MAX_WAITING="2")
    files = [("inputFile", (f"p{n}.jpg", photo(name="x"))) for n in range(3)]
    for _ in range(2):  # the places of a refused request are free again
        assert web.request("POST", "/", fields=files).status == 503
    assert web.request("POST", "/?wait=0", fields=files[:2]).status == 200


def test_idempotency_key_repeats_result(
    web: Web,
    start_web: Callable[..., Web],
    start_worker: Callable[..., Child],
    resources: Settings,
) -> None:
    key = {"Idempotency_Key": "order-1"}
    first = web.post(photo(name="Paul"), path="/?wait=0", **key)
    assert web.post(photo(name="Emily"), **key).status == 422
    web.child.signal(signal.SIGKILL)
    anew = start_web()
    start_worker()
    again = anew.post(photo(name="Paul"), **key)
    assert again.data == b"test_00:Paul"
    assert again.headers["X-Task-ID"] == first.headers["X-Task-ID"]
    assert anew.post(photo(name="Paul"), **key).headers["X-Task-ID"] == first.headers["X-Task-ID"]
    assert versions(resources) == 1


def test_idempotency_key_concurrent_requests_share_result(
    web: Web, start_web: Callable[..., Web], start_worker: Callable[..., Child]
) -> None:
    webs = [web, start_web()]
    start_worker("--concurrency", "2")

    def send(n: int) -> urllib3.BaseHTTPResponse:
        return webs[n % 2].post(photo(name="Paul", seconds=1), Idempotency_Key="order-2")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert {one.status for one in answers} <= {200, 409}
    assert len({one.headers["X-Task-ID"] for one in answers if one.status == 200}) == 1


def test_api_key_grants_access_beyond_loopback(
    start_web: Callable[..., Web], resources: Settings, eventually: Eventually
) -> None:
    command = [sys.executable, "-c", "from cli.main import main; main()", "keys", "add", "tests"]
    made = run([*command, "--json"], capture_output=True, check=True, timeout=60)
    token = json.loads(made.stdout)["token"]
    web = start_web(FACEREC_HOST="0.0.0.0")
    assert web.post(b"hello").status == 401
    assert web.post(b"hello", Authorization="Bearer fr_nobody_0").status == 401
    assert web.post(b"hello", Authorization=f"Bearer {token}").status == 415
    assert web.post(b"hello", X_API_Key=token).status == 415
    keys = ApiKeys(StateBucket(resources))
    reader, reads = make("reads only", ["people:read"], now=0.0)
    keys.add(reader)
    assert [key.label for key in keys.all()] == ["tests", "reads only"]
    assert token not in repr(keys.all())
    eventually(lambda: web.post(b"hello", X_API_Key=reads).status == 403, within=5)


def test_readyz_lists_what_is_missing(
    web: Web, resources: Settings, eventually: Eventually
) -> None:
    eventually(lambda: web.json("/readyz") == {"status": "ready"})
    sqs = aws.client(resources, "sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=resources.request_queue)["QueueUrl"])
    eventually(lambda: web.request("GET", "/readyz").status == 503, within=15, every=0.5)
    assert resources.request_queue in web.json("/readyz")["missing"][0]
    assert web.alive


def test_idempotency_key_reused_concurrently_stores_one_photo(
    web: Web, resources: Settings
) -> None:
    """Eleven other photos with the same key at the same time leave nothing in the bucket."""
    key = {"Idempotency_Key": "order-3"}

    def send(n: int) -> int:
        data = photo(name=f"Person {n}")
        return web.post(data, name=f"p{n}.jpg", path="/?wait=0", **key).status

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(send, range(12)))
    assert sorted(statuses) == [202] + [422] * 11
    assert versions(resources) == 1
