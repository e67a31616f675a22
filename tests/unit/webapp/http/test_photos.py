"""What is answered before anything is stored: no AWS is reached here."""

import io
import json
import logging
from pathlib import Path

import pytest

from facerec_tasks.logs import request_id
from facerec_tasks.settings import Settings
from tests.unit.webapp.asgi_client import AsgiClient
from webapp.http.application import WebApplication
from webapp.services.in_flight import InFlight
from webapp.services.metrics import WebMetrics
from webapp.services.task_client import TaskClient


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        max_upload_bytes=1000,
        max_request_bytes=100_000,
        max_video_upload_bytes=50_000,
        max_waiting=1,
        access="open",
        drain_timeout=0.001,
        state_dir=tmp_path,
    )


@pytest.fixture
def task_client(settings: Settings) -> TaskClient:
    return TaskClient(settings, InFlight("here-0"), WebMetrics(None))


@pytest.fixture
def client(settings: Settings, task_client: TaskClient) -> AsgiClient:
    return AsgiClient(WebApplication(settings, task_client))


def form(data: bytes, name: str = "a.jpg", field: str = "inputFile") -> dict[str, object]:
    return {field: (io.BytesIO(data), name)}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "field-missing"),
        (form(b"x", field="file"), 400, "field-missing"),
        ({"inputFile": "no file, a text"}, 400, "field-missing"),
        (form(b""), 400, "empty"),
        (form(b"hello"), 415, "not-a-picture"),
        (form(b"\xff\xd8\xff" + bytes(2000)), 413, "too-large"),
        (form(b"\xff\xd8\xff" + bytes(200_000)), 413, "too-large"),
    ],
)
def test_problem_is_text_or_json(
    client: AsgiClient, body: dict[str, object], status: int, code: str
) -> None:
    text = client.post("/", data=body, content_type="multipart/form-data")
    assert (text.status_code, text.mimetype) == (status, "text/plain")
    assert text.text.startswith(f"{code}: ")
    assert text.text.count("\n") == 1


@pytest.mark.parametrize("accepts", ["application/json", "application/problem+json"])
def test_json_client_gets_problem_document(client: AsgiClient, accepts: str) -> None:
    answer = client.post("/", headers={"Accept": accepts, "X-Request-ID": "mine-1"})
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    problem = json.loads(answer.data)
    assert (problem["code"], problem["status"]) == ("field-missing", 400)
    assert problem["instance"] == "urn:request:mine-1"


def test_full_admission_slots_answer_503(client: AsgiClient, task_client: TaskClient) -> None:
    with task_client.admission_slot():
        answer = client.post("/", data=form(b"\xff\xd8\xff"))
    assert answer.status_code == 503
    assert answer.text.startswith("overloaded: ")
    assert int(answer.headers["Retry-After"]) > 0
    assert client.post("/", data=form(b"")).status_code == 400  # the place is free again


def test_draining_process_refuses_photos(client: AsgiClient, task_client: TaskClient) -> None:
    task_client.stop()
    answer = client.post("/", data=form(b"\xff\xd8\xff"))
    assert (answer.status_code, answer.text.split(":")[0]) == (503, "stopping")
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("PUT", "/", 405), ("GET", "/results/../etc", 404)],
)
def test_unknown_routes_are_problems(
    client: AsgiClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")


def test_method_not_allowed_sets_allow(client: AsgiClient) -> None:
    assert "POST" in client.put("/").headers["Allow"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1.2_3", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("ä", False)],
)
def test_valid_request_id_is_kept(client: AsgiClient, given: str, kept: bool) -> None:
    answered = client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert (answered == given) is kept
    assert answered


def test_log_lines_have_request_id(client: AsgiClient, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    caplog.handler.addFilter(lambda record: seen.append(request_id.get()) or True)  # type: ignore[func-returns-value]
    with caplog.at_level(logging.INFO):
        client.post("/", headers={"X-Request-ID": "mine-2"})
    assert set(seen) == {"mine-2"}


def test_access_log_has_no_person_name(
    client: AsgiClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.post("/", data=form(b"secret bytes", name="secret name.jpg"))
        client.post("/people/secret%0Aname/verify", data=form(b"secret bytes"))
    assert "POST / 415" in caplog.text
    assert "secret" not in caplog.text


def test_requests_in_flight_are_served(client: AsgiClient, task_client: TaskClient) -> None:
    task_client.in_flight.accept("a")
    report = client.get("/internal/in-flight").json
    assert report["outstanding"] == 1
    assert report["processes"][0]["outstanding"] == 1


def test_metrics_count_problem_codes(client: AsgiClient) -> None:
    client.post("/", data=form(b"hello"))
    assert 'outcome="not-a-picture",route="/",status="415"} 1.0' in client.get("/metrics").text


def test_security_headers_on_every_response(client: AsgiClient) -> None:
    for answer in (client.get("/healthz"), client.post("/"), client.get("/nowhere")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
