"""The pages as they are served: small, strict, from here only."""

import gzip
import re
from pathlib import Path

import pytest

from facerec_tasks.recognition.images.sniff import FORMATS
from facerec_tasks.settings import Settings
from tests.unit.webapp.asgi_client import AsgiClient
from webapp.http.application import WebApplication
from webapp.pages.assets import FOLDER
from webapp.services.in_flight import InFlight
from webapp.services.metrics import WebMetrics
from webapp.services.task_client import TaskClient

PAGES = ("/", "/who", "/history", "/status", "/privacy")
HEAVIEST = 120_000


@pytest.fixture
def client(tmp_path: Path) -> AsgiClient:
    settings = Settings(state_dir=tmp_path, access="open")
    task_client = TaskClient(settings, InFlight("here-0"), WebMetrics(None))
    return AsgiClient(WebApplication(settings, task_client))


@pytest.mark.parametrize("page", PAGES)
def test_pages_have_no_inline_script_or_foreign_resource(client: AsgiClient, page: str) -> None:
    answer = client.get(page, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", answer.text)
    found = re.findall(r'(?:src|href|action)="([^"]+)"', answer.text)
    foreign = [at for at in found if "://" in at and not at.startswith("http://localhost:5555/")]
    assert not foreign
    absolute = [at for at in found if at.startswith("/")]
    assert not absolute, "links must be relative, or they break below a proxy's prefix"


def test_static_files_size_limit(client: AsgiClient) -> None:
    pages = sum(len(client.get(page).data) for page in PAGES)
    files = sum(len(path.read_bytes()) for path in FOLDER.iterdir())
    assert pages + files < HEAVIEST


def test_static_files_name_no_other_host() -> None:
    for path in FOLDER.iterdir():
        hosts = set(re.findall(r"https?://[^\s\"'`)]+", path.read_text()))
        assert hosts <= {"http://www.w3.org/2000/svg"}, path


def test_static_file_is_gzipped_and_cached(client: AsgiClient) -> None:
    plain = client.get("/static/photos.js")
    packed = client.get("/static/photos.js", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == plain.data
    assert packed.mimetype == "text/javascript"
    assert "Accept-Encoding" in packed.headers["Vary"]
    again = client.get("/static/photos.js", headers={"If-None-Match": plain.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "../application.py", "..%2fapplication.py", ""])
def test_static_files_outside_folder_are_not_found(client: AsgiClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize("page", ["/", "/who"])
def test_pages_offer_every_format_that_is_read(client: AsgiClient, page: str) -> None:
    found = re.search(r'accept="([^"]*)"', client.get(page).text)
    offered = found[1].split(",") if found else []
    assert {each.media_type for each in FORMATS} | {".heic", ".heif", ".avif"} <= set(offered)


def test_privacy_page_contents(client: AsgiClient) -> None:
    text = client.get("/privacy").text
    for said in ("facerec-in-bucket", "no liveness check", "facerec people remove"):
        assert said in text


def test_cross_site_request_is_refused(client: AsgiClient) -> None:
    for site, status in (("cross-site", 403), ("same-origin", 400), ("none", 400)):
        answer = client.post("/people", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://localhost"}, 400),
        ({"Origin": "http://localhost:9"}, 403),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 400),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "rebind.test"}, 421),
    ],
)
def test_origin_and_host_are_checked(
    client: AsgiClient, headers: dict[str, str], status: int
) -> None:
    assert client.post("/people", headers=headers).status_code == status


def test_pages_need_no_key_but_data_does(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, host="0.0.0.0")
    task_client = TaskClient(settings, InFlight("here-0"), WebMetrics(None))
    # Not a documentation address: those count as private.
    client = AsgiClient(WebApplication(settings, task_client), "8.8.8.8")
    assert client.get("/").status_code == 200
    assert client.get("/status/events").status_code == 401
