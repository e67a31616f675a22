"""People over HTTP, with the real engine in a real worker."""

import sys
from collections.abc import Callable
from urllib.parse import quote

import pytest
import urllib3

from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from local.processes.child import Child
from local.samples import portraits

from .conftest import Web

GRACE, EILEEN = (portrait.path.read_bytes() for portrait in portraits.portraits())
NAME = "Grace Brewster Höpper/1"


@pytest.fixture
def worker(resources: Settings, spawn: Callable[..., Child]) -> Child:
    command = [sys.executable, "-m", "celery", "-A", "facerec_tasks.worker", "worker"]
    return spawn([*command, "--concurrency", "1"], log="worker")


def enrol(web: Web, name: str, *photos: bytes, query: str = "") -> urllib3.BaseHTTPResponse:
    fields: list[tuple[str, object]] = [("name", name)]
    fields += [("inputFile", (f"{n}.jpg", photo)) for n, photo in enumerate(photos)]
    wish = {"Accept": "application/json"}
    return web.request("POST", f"/people{query}", fields=fields, headers=wish)


def test_person_enrol_verify_remove(
    start_web: Callable[..., Web],
    worker: Child,
    resources: Settings,
    eventually: Callable[..., None],
) -> None:
    web = start_web()
    assert web.json("/people") == {"people": []}
    sample_photo = portraits.sample_photo("Grace_Hopper").data

    made = enrol(web, NAME, GRACE, b"\xff\xd8\xff broken")
    assert made.status == 201
    done = made.json()
    assert (done["name"], done["enrolled"], done["photos"]) == (NAME, 1, 1)
    assert [(one["index"], one["reason"]) for one in done["refused"]] == [(1, "not-a-photo")]
    (known,) = web.json("/people")["people"]
    assert (known["name"], known["photos"], known["id"]) == (NAME, 1, done["id"])
    assert enrol(web, NAME, GRACE).json()["enrolled"] == 0  # known already
    assert list(StateBucket(resources).list(layout.UPLOADS)) == []

    assert web.post(sample_photo, name="p.jpg").data.decode() == f"p:{NAME}"
    where = f"/people/{quote(NAME)}"
    for photo, outcome in ((sample_photo, "same"), (EILEEN, "different")):
        assert web.post(photo, path=f"{where}/verify").data.decode() == outcome
    assert web.post(sample_photo, path="/people/Nobody/verify").status == 404

    assert web.request("DELETE", where).status == 204
    assert web.request("DELETE", where).status == 404
    assert web.json("/people") == {"people": []}
    eventually(lambda: web.post(sample_photo, name="p.jpg").data == b"p:unknown")
    assert web.json("/internal/in-flight")["outstanding"] == 0


def test_enrollment_refusals_have_reasons(start_web: Callable[..., Web], worker: Child) -> None:
    web = start_web()
    assert enrol(web, "", GRACE).json()["code"] == "bad-name"
    assert enrol(web, "unknown", GRACE).json()["code"] == "bad-name"
    assert enrol(web, "x" * 500, GRACE).json()["code"] == "bad-name"
    assert enrol(web, "Paul").json()["code"] == "field-missing"
    assert enrol(web, "Paul", b"hello").json()["code"] == "not-a-picture"
    refused = enrol(web, "Paul", b"\xff\xd8\xff broken").json()
    assert (refused["code"], refused["refused"][0]["reason"]) == ("no-photo-taken", "not-a-photo")
    assert enrol(web, "Paul", GRACE, query="?force=yes").status == 400
