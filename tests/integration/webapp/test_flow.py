"""One photo in, one name out: real web process, real worker, embedded AWS."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from facerec_tasks import aws
from facerec_tasks.schemas import Answer
from facerec_tasks.settings import Settings
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import StateBucket
from local.processes.child import Child

from .conftest import Web, photo

Eventually = Callable[..., None]
SHORT = {"FACEREC_TASK_TIME_LIMIT": "2", "FACEREC_VISIBILITY_TIMEOUT": "3"}
"""What a short answer timeout asks of the other times."""


@pytest.fixture
def web(start_web: Callable[..., Web]) -> Web:
    return start_web()


@pytest.fixture
def worker(start_worker: Callable[..., Child]) -> Child:
    return start_worker("--concurrency", "2")


def stored(settings: Settings, bucket: str) -> dict[str, bytes]:
    s3 = aws.client(settings, "s3")
    found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {o["Key"]: s3.get_object(Bucket=bucket, Key=o["Key"])["Body"].read() for o in found}


def test_photo_result_as_text_json_and_stored(web: Web, worker: Child, resources: Settings) -> None:
    data = photo(name="Paul")
    text = web.post(data)
    assert (text.status, text.data) == (200, b"test_00:Paul")
    assert text.headers["Content-Type"].startswith("text/plain")

    document = web.post(data, Accept="application/json", X_Request_ID="mine").json()
    assert document["text"] == "test_00:Paul"
    assert (document["name"], document["outcome"]) == ("Paul", "named")
    assert document["request_id"] == "mine"

    again = web.request("GET", f"/results/{document['task_id']}")
    assert (again.status, again.data) == (200, b"test_00:Paul")
    assert stored(resources, resources.in_bucket) == {"test_00.jpg": data}
    assert stored(resources, resources.out_bucket) == {"test_00": b"Paul"}
    assert web.json("/internal/in-flight")["outstanding"] == 0


def test_unknown_and_no_face_results_are_stored(
    web: Web, worker: Child, resources: Settings
) -> None:
    for outcome in ("unknown", "no-face"):
        assert web.post(photo(outcome=outcome)).data.decode() == f"test_00:{outcome}"
        assert stored(resources, resources.out_bucket) == {"test_00": outcome.encode()}


def test_rejected_photo_stores_no_name(web: Web, worker: Child, resources: Settings) -> None:
    refusals = {"broken-picture": 422, "not-a-picture": 415, "too-many-pixels": 422}
    for code, status in refusals.items():
        answer = web.post(photo(code=code))
        assert answer.status == status
        assert answer.data.decode().startswith(f"{code}: ")
        assert web.request("GET", f"/results/{answer.headers['X-Task-ID']}").status == status
    assert stored(resources, resources.out_bucket) == {}


def test_same_file_name_gets_own_result(web: Web, worker: Child) -> None:
    names = [f"Person {n}" for n in range(60)]

    def send(name: str) -> str:
        return web.post(photo(name=name), name="photo.jpg").data.decode()

    with ThreadPoolExecutor(60) as pool:
        assert list(pool.map(send, names)) == [f"photo:{name}" for name in names]


def test_timeout_504_then_result_later(
    start_web: Callable[..., Web],
    start_worker: Callable[..., Child],
    eventually: Eventually,
) -> None:
    web = start_web(FACEREC_ANSWER_TIMEOUT="3", **SHORT)
    late = web.post(photo(name="Paul"))
    task_id = late.headers["X-Task-ID"]
    assert late.status == 504
    assert task_id in late.data.decode()
    assert web.request("GET", f"/results/{task_id}").status == 202
    assert web.json("/internal/in-flight")["outstanding"] == 1
    start_worker()
    eventually(lambda: web.request("GET", f"/results/{task_id}").data == b"test_00:Paul", within=20)
    eventually(lambda: web.json("/internal/in-flight")["outstanding"] == 0)


def test_overload_503_and_health_stays_up(
    start_web: Callable[..., Web], eventually: Eventually
) -> None:
    web = start_web(FACEREC_MAX_WAITING="3", FACEREC_ANSWER_TIMEOUT="5", **SHORT)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(web.post, photo(name="x")) for _ in range(3)]
        eventually(lambda: web.json("/internal/in-flight")["outstanding"] == 3)
        refused = web.post(photo(name="x"))
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert web.alive
        assert {one.result().status for one in waiting} == {504}


def test_lost_result_message_is_read_from_record(
    start_web: Callable[..., Web],
    start_worker: Callable[..., Child],
    resources: Settings,
    eventually: Eventually,
) -> None:
    web = start_web(FACEREC_ANSWER_TIMEOUT="8", **SHORT)
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(web.post(photo(name="Paul"))))
    waiting.start()
    eventually(lambda: web.json("/internal/in-flight")["outstanding"] == 1)
    _record(resources, _steal(resources), name="Paul")
    waiting.join(timeout=20)
    assert answers[0].data == b"test_00:Paul"


def test_response_queue_deleted(
    web: Web, worker: Child, resources: Settings, eventually: Eventually
) -> None:
    """Whoever waits is answered by the record, whoever comes through a queue of a new name."""
    answers: list[Any] = []
    waiting = threading.Thread(
        target=lambda: answers.append(web.post(photo(name="Paul", seconds=2)))
    )
    waiting.start()
    eventually(lambda: web.json("/internal/in-flight")["outstanding"] == 1)
    sqs = aws.client(resources, "sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=resources.response_queue)["QueueUrl"])
    waiting.join(timeout=30)
    assert answers[0].data == b"test_00:Paul"
    assert web.post(photo(name="Ada")).data == b"test_00:Ada"
    response_queues = sqs.list_queues(QueueNamePrefix=resources.response_queue)["QueueUrls"]
    assert resources.response_queue not in [url.rsplit("/", 1)[1] for url in response_queues]
    assert web.alive


def _steal(settings: Settings) -> str:
    """Takes the task out of the queue, as a worker that dies after its record would; its id."""
    sqs = aws.client(settings, "sqs")
    url = sqs.get_queue_url(QueueName=settings.request_queue)["QueueUrl"]
    message = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"][0]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    found = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", message["Body"])
    assert found is not None, message["Body"]
    return found.group()


def _record(settings: Settings, task_id: str, name: str) -> None:
    answer = Answer(task_id, "test_00.jpg", "v", "named", name=name)
    Results(StateBucket(settings)).create(answer)
