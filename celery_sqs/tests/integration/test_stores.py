"""What chords need of a store, on every store that has it."""

import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from celery import Celery
from celery_sqs._stores.store import ResultStore
from celery_sqs.errors import InvalidOptions

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's own
STORES = ("file", "s3", "dynamodb", "redis")


@pytest.fixture
def redis_url(tmp_path: Path, free_port: int) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    pytest.importorskip("redis")
    with subprocess.Popen(
        [program, "--port", str(free_port), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    ) as server:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", free_port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{free_port}/0"
        server.kill()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, names: Any) -> ResultStore:
    app = Celery("stores", set_as_current=False)
    name = f"t{uuid.uuid4().hex[:12]}"
    app.conf.update(s3_bucket=name, s3_region="us-east-1")
    if request.param == "file":
        return ResultStore(app, f"file://{tmp_path}")
    if request.param == "redis":
        return ResultStore(app, request.getfixturevalue("redis_url"))
    if request.param == "s3":
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
        return ResultStore(app, "s3")
    store = ResultStore(app, f"dynamodb://@us-east-1/{name}")
    _ = store.driver  # Celery's backend makes the table
    return store


def test_idempotency_of_adding_a_mark(store: ResultStore) -> None:
    driver, chord = store.driver, uuid.uuid4().hex
    assert driver.marks(chord) == set()
    assert driver.add(chord, "part/1") == {"part/1"}
    assert driver.add(chord, "part/1") == {"part/1"}
    assert driver.add(chord, "part/2") == {"part/1", "part/2"}
    assert driver.marks(uuid.uuid4().hex) == set()
    driver.remove(chord, ["part/1", "part/9"])
    assert driver.marks(chord) == {"part/2"}
    driver.remove(chord, [])


def test_of_many_who_create_a_mark_at_once_one_succeeds(store: ResultStore) -> None:
    chord = uuid.uuid4().hex
    for number in range(2):
        barrier, won = threading.Barrier(4), []

        def race(mark: str = f"claim/{number}", barrier: Any = barrier, won: Any = won) -> None:
            driver = store.driver  # each thread its own connection
            barrier.wait()
            if driver.create(chord, mark):
                won.append(mark)

        threads = [threading.Thread(target=race) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1


def test_of_many_who_decide_at_once_the_first_is_believed(store: ResultStore) -> None:
    chord = uuid.uuid4().hex
    store.driver.add(chord, "part/1")
    barrier, found = threading.Barrier(4), list[tuple[str, str]]()

    def race(answer: str) -> None:
        driver = store.driver
        barrier.wait()
        found.append((answer, driver.decide(chord, "body-1", answer)))

    threads = [threading.Thread(target=race, args=(f"answer {n % 2}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    decided = {answer for _, answer in found}
    assert len(found) == 4
    assert len(decided) == 1
    assert decided <= {mine for mine, _ in found}
    assert store.driver.decide(chord, "body-2", "another") == "another"
    assert store.driver.marks(chord) == {"part/1"}
    store.driver.remove(chord, ["part/1"])
    assert {store.driver.decide(chord, "body-1", "too late")} == decided
    store.driver.clear(chord)
    assert store.driver.decide(chord, "body-1", "anew") == "anew"
    store.driver.clear("never-seen")


def test_more_than_a_thousand_marks_and_values(store: ResultStore) -> None:
    chord = uuid.uuid4().hex
    marks = {f"part/{number:04}" for number in range(1050)}
    for mark in sorted(marks):
        store.driver.create(chord, mark)
    assert store.driver.marks(chord) == marks
    store.driver.remove(chord, marks)
    assert store.driver.marks(chord) == set()


def test_a_success_is_never_overwritten(store: ResultStore) -> None:
    assert store.read("t")["status"] == "PENDING"
    store.write("t", {"status": "PROGRESS", "result": {"at": 1}}, first=True)
    assert store.read("t")["result"] == {"at": 1}
    store.write("t", {"status": "SUCCESS", "result": 7}, first=True)
    store.write("t", {"status": "FAILURE", "result": None}, first=False)
    found = store.read_many(["t", "u"])
    assert [(each["status"], each["result"]) for each in found] == [
        ("SUCCESS", 7),
        ("PENDING", None),
    ]
    store.forget(["t"])
    assert store.read("t")["status"] == "PENDING"


def test_a_store_without_conditional_writes_has_no_chords(names: Any) -> None:
    app = Celery("stores", set_as_current=False)
    store = ResultStore(app, "cache+memory://")
    store.write("t", {"status": "SUCCESS", "result": 7}, first=True)
    assert store.read("t")["result"] == 7
    with pytest.raises(NotImplementedError, match="conditional writes"):
        _ = store.driver


@pytest.mark.parametrize("url", ["disabled://", "nonsense://x"])
def test_what_is_no_key_value_store_is_refused(url: str) -> None:
    with pytest.raises(InvalidOptions, match="result_store"):
        ResultStore(Celery("stores", set_as_current=False), url)


def test_a_dynamodb_table_may_be_needed_by_many_for_the_first_time(names: Any) -> None:
    app = Celery("stores", set_as_current=False)
    store = ResultStore(app, f"dynamodb://@us-east-1/{names.id}?ttl_seconds=600")
    barrier, failures = threading.Barrier(8), []

    def use(number: int) -> None:
        barrier.wait()
        try:
            store.write(f"t{number}", {"status": "SUCCESS", "result": number}, first=True)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    table = boto3.client("dynamodb").describe_table(TableName=names.id)["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert [each["result"] for each in store.read_many(["t0", "t7"])] == [0, 7]
