"""People by id over HTTP, with the real engine in a real worker."""

import io
import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import urllib3
from PIL import Image, ImageFilter

from facerec_tasks.aws import client
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from local.processes.child import Child
from local.samples import portraits

from .conftest import Web

GRACE, EILEEN = (portrait.path.read_bytes() for portrait in portraits.portraits())
OTHER_GRACE = portraits.sample_photo("Grace_Hopper").data
JSON = {"Accept": "application/json"}


@pytest.fixture
def web(start_web: Callable[..., Web], resources: Settings, spawn: Callable[..., Child]) -> Web:
    command = [sys.executable, "-m", "celery", "-A", "facerec_tasks.worker", "worker"]
    spawn([*command, "--concurrency", "1"], log="worker")
    return start_web()


def send(
    web: Web, method: str, path: str, *photos: bytes, **fields: str
) -> urllib3.BaseHTTPResponse:
    form: list[tuple[str, Any]] = list(fields.items())
    form += [("inputFile", (f"{n}.jpg", photo)) for n, photo in enumerate(photos)]
    return web.request(method, path, fields=form, headers=JSON)


def enrol(web: Web, name: str, *photos: bytes, below: str = "/v1", query: str = "") -> str:
    made = send(web, "POST", f"{below}/people{query}", *photos, name=name)
    assert made.status == 201, made.data
    assert made.headers["Location"] == f"{below}/people/{made.json()['id']}"
    found: str = made.json()["id"]
    return found


def names(web: Web, below: str = "/v1") -> list[tuple[str, int]]:
    return [(p["name"], p["faces"]) for p in web.json(f"{below}/people")["people"]]


def test_person_name_may_be_shared(web: Web) -> None:
    """The first of the page's people may not be erased in the place of the second."""
    first = enrol(web, "Same Name", GRACE)
    second = enrol(web, "Same Name", EILEEN)
    assert names(web) == [("Same Name", 1), ("Same Name", 1)]
    assert send(web, "DELETE", "/people/Same%20Name").json()["code"] == "ambiguous-name"
    assert set(send(web, "POST", "/people/Same%20Name/verify", GRACE).json()["ids"]) == {
        first,
        second,
    }
    answer = send(web, "POST", "/", OTHER_GRACE).json()
    assert (answer["name"], answer["faces"][0]["person_id"]) == ("Same Name", first)
    assert send(web, "DELETE", f"/v1/people/{first}").status == 204
    assert [p["id"] for p in web.json("/v1/people")["people"]] == [second]
    assert send(web, "DELETE", f"/v1/people/{first}").json()["code"] == "no-such-person"
    assert send(web, "PATCH", f"/v1/people/{second}", name="Eileen").json()["name"] == "Eileen"


def test_no_path_leads_to_another_person(web: Web) -> None:
    enrol(web, "Nobody", GRACE)
    for name, photo in (("/Nobody", EILEEN), ("..", EILEEN), (".", EILEEN)):
        person = enrol(web, name, photo, query="?force=1")
        for method in ("DELETE", "PATCH", "POST", "GET"):
            raw = f"/people//{quote('Nobody')}"
            answer = web.request(method, raw, redirect=False)
            assert answer.status in (400, 404, 405, 200), answer.status
            assert "Location" not in answer.headers
        assert names(web) == sorted([("Nobody", 1), (name, 1)]) or name == "/Nobody"
        if web.request("GET", f"/v1/people/{person}").status == 200:
            assert send(web, "DELETE", f"/v1/people/{person}").status == 204
        assert names(web) == [("Nobody", 1)]


def test_faces_are_shown_moved_merged_and_removed(web: Web, resources: Settings) -> None:
    grace = enrol(web, "Grace", GRACE)
    wrong = enrol(web, "Somebody", OTHER_GRACE, query="?force=1")
    (face,) = web.json(f"/v1/people/{wrong}")["faces"]
    assert 0 < face["box"][2] < 1
    assert face["score"] > 0.9
    where = f"/v1/people/{wrong}/faces/{face['id']}"
    assert web.json(where) == face
    assert web.request("GET", where + "/photo").data == OTHER_GRACE
    assert send(web, "PATCH", where, person=grace).json()["photos"] == 2
    assert names(web) == [("Grace", 2)], "a person whose last face goes is gone"

    assert send(web, "POST", "/v1/undo").json() == {"people": 2, "faces": 2}
    assert send(web, "POST", f"/v1/people/{grace}/merge", other=wrong).json()["photos"] == 2
    where = f"/v1/people/{grace}/faces/{face['id']}"
    split = send(web, "PATCH", where, name="Alone").json()
    assert names(web) == [("Alone", 1), ("Grace", 1)]
    where = f"/v1/people/{split['id']}/faces/{face['id']}"
    assert send(web, "DELETE", where).status == 204
    assert send(web, "DELETE", where).json()["code"] == "no-such-person"
    assert names(web) == [("Grace", 1)]
    assert send(web, "POST", "/v1/undo").json()["code"] == "nothing-to-undo"
    state = StateBucket(resources)
    assert len(list(state.list(layout.GALLERY_PHOTOS))) == 1
    assert list(state.list(layout.UPLOADS)) == []


def test_idempotency_of_enrollment(web: Web) -> None:
    person = "0f0f0f0f-0000-4000-8000-00000000000f"
    for enrolled in (1, 0):
        made = send(web, "POST", "/v1/people", GRACE, name="Grace", id=person).json()
        assert (made["id"], made["enrolled"], made["photos"]) == (person, enrolled, 1)
    more = send(web, "POST", f"/v1/people/{person}/faces", OTHER_GRACE).json()
    assert (more["enrolled"], more["photos"]) == (1, 2)
    assert send(web, "POST", "/v1/people", GRACE, name="Grace").json()["code"] == "no-photo-taken"
    missing = "1" + person[1:]
    assert send(web, "POST", f"/v1/people/{missing}/faces", EILEEN).status == 404


def test_people_listing_is_paginated(web: Web) -> None:
    for name, photo in (("Ann", GRACE), ("Bea", EILEEN), ("Cleo", OTHER_GRACE)):
        enrol(web, name, photo, query="?force=1")
    first = web.json("/v1/people?limit=2")
    assert [p["name"] for p in first["people"]] == ["Ann", "Bea"]
    assert send(web, "DELETE", f"/v1/people/{first['people'][1]['id']}").status == 204
    second = web.json(f"/v1/people?limit=2&after={quote(first['next'])}")
    assert [p["name"] for p in second["people"]] == ["Cleo"]
    assert "next" not in second
    assert [p["name"] for p in web.json("/v1/people?name=LE")["people"]] == ["Cleo"]
    for query in ("limit=0", "limit=1001", "limit=x", "after=%FF", "after=x"):
        assert web.request("GET", f"/v1/people?{query}").status == 400, query


def test_collections_are_isolated(web: Web, resources: Settings) -> None:
    assert web.json("/v1/collections") == {"collections": [{"name": "default"}]}
    for name, status in (("staff", 201), ("staff", 409), ("../x", 400), (".x", 400), ("", 400)):
        assert send(web, "POST", "/v1/collections", name=name).status == status, name
    below = "/v1/collections/staff"
    grace = enrol(web, "Grace", GRACE, below=below)
    enrol(web, "Ada", GRACE)
    assert names(web, below) == [("Grace", 1)]
    assert web.json(below)["faces"] == 1
    (found,) = send(web, "POST", f"{below}/search", OTHER_GRACE).json()["faces"]
    assert (found["name"], found["person_id"]) == ("Grace", grace)
    (found,) = send(web, "POST", "/v1/search", OTHER_GRACE).json()["faces"]
    assert found["name"] == "Ada"
    assert web.request("GET", f"/v1/people/{grace}").status == 404
    assert send(web, "DELETE", below).status == 204
    assert send(web, "DELETE", below).json()["code"] == "no-such-collection"
    assert web.request("GET", f"{below}/people").status == 404
    assert send(web, "POST", f"{below}/search", GRACE).json()["code"] == "no-such-collection"
    assert send(web, "POST", f"{below}/people", GRACE, name="x").status == 404
    assert list(StateBucket(resources).list(layout.GALLERY_COLLECTIONS)) == []
    assert not list((resources.state_dir / "gallery" / "collections").rglob("*.mapped"))
    assert names(web) == [("Ada", 1)]


def blurred(photo: bytes) -> bytes:
    made = io.BytesIO()
    with Image.open(io.BytesIO(photo)) as picture:
        picture.convert("RGB").filter(ImageFilter.GaussianBlur(4.5)).save(made, "JPEG")
    return made.getvalue()


def test_detect_embed_compare_store_nothing(web: Web, resources: Settings) -> None:
    def raw(path: str, photo: bytes) -> Any:
        answer = web.request(
            "POST", path, body=photo, headers=JSON | {"Content-Type": "image/jpeg"}
        )
        return answer.json()

    found = raw("/v1/detect", GRACE)
    (face,) = found["faces"]
    assert 0 <= face["box"][0] < face["box"][2] <= found["width"]
    assert 0 < face["quality"]["brightness"] < 100
    assert len(face["landmarks"]) == 5
    assert raw("/v1/detect", b"\xff\xd8\xff broken")["code"] == "broken-picture"
    assert raw("/v1/detect", b"hello")["code"] == "not-a-picture"
    (embedded,) = raw("/v1/embed", GRACE)["faces"]
    assert len(embedded["embedding"]) == -(-128 * 4 // 3) * 4
    same = send(web, "POST", "/v1/compare", GRACE, OTHER_GRACE).json()
    assert same["outcome"] == "same"
    assert same["target"]["faces"][0]["similarity"] > 90
    different = send(web, "POST", "/v1/compare", GRACE, EILEEN).json()
    assert different["outcome"] == "different"
    assert different["target"]["faces"][0]["similarity"] < 10
    assert send(web, "POST", "/v1/compare", GRACE).json()["code"] == "field-missing"

    enrol(web, "Grace", GRACE)
    (face,) = raw("/v1/search?limit=1", OTHER_GRACE)["faces"]
    assert [one["name"] for one in face["candidates"]] == ["Grace"]
    assert raw("/v1/search?threshold=0.01", OTHER_GRACE)["faces"][0]["candidates"] == []
    (face,) = raw("/v1/search?quality=99", blurred(GRACE))["faces"]
    assert (face["name"], face["candidates"], face["reason"]) == ("unknown", [], "blurred")
    assert raw("/v1/search?quality=101", GRACE)["code"] == "bad-request"
    assert raw("/v1/search?limit=0", GRACE)["code"] == "bad-request"
    assert raw("/v1/search?threshold=nan", GRACE)["code"] == "bad-request"
    state = StateBucket(resources)
    assert list(state.list(layout.UPLOADS)) == []
    photos = client(resources, "s3").list_objects_v2(Bucket=resources.in_bucket)
    assert "Contents" not in photos
    assert json.dumps(found)
