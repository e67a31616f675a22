"""Past answers over HTTP and on the command line."""

import json
from collections.abc import Callable

from click.testing import CliRunner

from cli.commands.history import history
from facerec_tasks.settings import Settings
from local.processes.child import Child

from .conftest import Web, photo


def test_what_was_answered_is_listed_and_its_photo_shown(
    start_web: Callable[..., Web], start_worker: Callable[..., Child], resources: Settings
) -> None:
    start_worker("--concurrency", "1")
    web = start_web()
    first = photo(name="Grace")
    assert web.post(first, "grace.jpg").status == 200
    assert web.post(photo(outcome="no-face"), "wall.jpg").status == 200

    latest, earlier = web.json("/v1/history")["entries"]
    assert (latest["file"], latest["outcome"]) == ("wall.jpg", "no-face")
    assert (earlier["file"], earlier["outcome"]) == ("grace.jpg", "named")
    shown = web.request("GET", f"/v1/history/{earlier['task_id']}/photo")
    assert (shown.data, shown.headers["Content-Type"]) == (first, "image/jpeg")
    page = web.json("/v1/history?limit=1")
    assert page["entries"] == [latest]
    following = web.json(f"/v1/history?limit=1&cursor={page['cursor']}")["entries"]
    assert following == [earlier]
    assert web.json("/v1/history?day=2025-06-01")["entries"] == []
    for wrong in ("cursor=x", "day=yesterday", "limit=0"):
        assert web.request("GET", f"/v1/history?{wrong}").status == 400

    printed = CliRunner().invoke(history, ["--file", "GRACE", "--json"])
    assert [json.loads(line)["file"] for line in printed.output.splitlines()] == ["grace.jpg"]
    assert "wall.jpg: no-face" in CliRunner().invoke(history, []).output
