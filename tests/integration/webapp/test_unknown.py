"""Unknown faces: grouped, named, confirmed; with the real engine in a real worker."""

import sys
from collections.abc import Callable
from typing import Any

import urllib3

from facerec_tasks.settings import Settings
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import StateBucket
from local.processes.child import Child
from local.samples import portraits

from .conftest import Web

GRACE, EILEEN = (portrait.path.read_bytes() for portrait in portraits.portraits())
OTHER_GRACE = portraits.sample_photo("Grace_Hopper").data
JSON = {"Accept": "application/json"}


def send(web: Web, path: str, **fields: str) -> urllib3.BaseHTTPResponse:
    return web.request("POST", path, fields=fields, headers=JSON)


def past(web: Web) -> dict[str, Any]:
    return {entry["file"]: entry for entry in web.json("/v1/history")["entries"]}


def test_a_group_is_named_and_a_candidate_confirmed(
    start_web: Callable[..., Web], resources: Settings, spawn: Callable[..., Child]
) -> None:
    command = [sys.executable, "-m", "celery", "-A", "facerec_tasks.worker", "worker"]
    spawn([*command, "--concurrency", "1"], log="worker")
    web = start_web()
    for name, photo in (("a.jpg", GRACE), ("b.jpg", OTHER_GRACE), ("c.jpg", EILEEN)):
        answer = web.post(photo, name, Accept="application/json")
        assert (answer.status, answer.json()["outcome"]) == (200, "unknown")
        assert "embedding" not in answer.json()["faces"][0]

    (group,) = web.json("/v1/unknown")["groups"]
    assert group["photos"] == 2
    assert {face["task_id"] for face in group["faces"]} == {
        past(web)[name]["task_id"] for name in ("a.jpg", "b.jpg")
    }
    assert web.json("/v1/unknown")["groups"][0]["id"] == group["id"], "groups keep their ids"

    named = send(web, f"/v1/unknown/{group['id']}", name="Grace")
    assert named.status == 200, named.data
    grace = named.json()
    assert (grace["name"], grace["enrolled"], grace["answers"]) == ("Grace", 2, 2)
    assert web.json("/v1/unknown")["groups"] == []
    assert past(web)["a.jpg"]["people"] == [{"id": grace["id"], "name": "Grace"}]
    assert web.post(GRACE, "d.jpg").data == b"d:Grace"
    gone = send(web, f"/v1/unknown/{group['id']}", name="Grace")
    assert (gone.status, gone.json()["code"]) == (404, "no-such-face")

    # A single face: Eileen by hand, then the same photo again adds nothing.
    eileen = past(web)["c.jpg"]["task_id"]
    refused = send(web, f"/v1/history/{eileen}/faces/7", name="Eileen")
    assert refused.status == 404
    made = send(web, f"/v1/history/{eileen}/faces/0", name="Eileen").json()
    assert (made["enrolled"], made["answers"]) == (1, 1)
    again = send(web, f"/v1/history/{eileen}/faces/0", person=made["id"]).json()
    assert (again["id"], again["enrolled"]) == (made["id"], 0)
    record = Results(StateBucket(resources)).get(eileen)
    assert record
    assert (record.name, record.faces[0].embedding) == ("Eileen", None)

    web.request("DELETE", f"/v1/people/{grace['id']}")
    assert past(web)["a.jpg"]["people"] == []
