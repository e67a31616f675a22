"""The pages as they are served: small, strict, from here only."""

import gzip
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from facerec_tasks.settings import Settings
from webapp.http.application import create_app
from webapp.pages.assets import FOLDER
from webapp.services.in_flight import Ledger
from webapp.services.metrics import Metrics
from webapp.services.task_client import Doorbell

PAGES = ("/", "/who", "/status", "/privacy")
HEAVIEST = 100_000


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    settings = Settings(state_dir=tmp_path)
    return create_app(settings, Doorbell(settings, Ledger("here-0"), Metrics(None))).test_client()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds_no_script_no_style_and_nothing_from_elsewhere(
    client: FlaskClient, page: str
) -> None:
    answer = client.get(page, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", answer.text)
    found = re.findall(r'(?:src|href|action)="([^"]+)"', answer.text)
    assert all(at.startswith(("/", "#", "http://localhost:5555/")) for at in found)


def test_all_of_it_together_is_lighter_than_one_page_may_be(client: FlaskClient) -> None:
    pages = sum(len(client.get(page).data) for page in PAGES)
    files = sum(len(path.read_bytes()) for path in FOLDER.iterdir())
    assert pages + files < HEAVIEST


def test_no_file_of_ours_names_another_host() -> None:
    for path in FOLDER.iterdir():
        hosts = set(re.findall(r"https?://[^\s\"'`)]+", path.read_text()))
        assert hosts <= {"http://www.w3.org/2000/svg"}, path


def test_a_file_comes_packed_and_is_not_sent_twice(client: FlaskClient) -> None:
    plain = client.get("/static/photos.js")
    packed = client.get("/static/photos.js", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == plain.data
    assert packed.mimetype == "text/javascript"
    assert "Accept-Encoding" in packed.headers["Vary"]
    again = client.get("/static/photos.js", headers={"If-None-Match": plain.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "../application.py", "..%2fapplication.py", ""])
def test_only_files_of_the_folder_are_served(client: FlaskClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_the_privacy_page_says_where_and_what_it_cannot_do(client: FlaskClient) -> None:
    text = client.get("/privacy").text
    for said in ("facerec-in-bucket", "no liveness check", "facerec people remove"):
        assert said in text


def test_a_page_of_another_site_cannot_make_a_browser_enrol(client: FlaskClient) -> None:
    for site, status in (("cross-site", 403), ("same-origin", 400), ("none", 400)):
        answer = client.post("/people", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == status


def test_pages_need_no_key_and_data_does(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, host="0.0.0.0")
    doorbell = Doorbell(settings, Ledger("here-0"), Metrics(None))
    client = create_app(settings, doorbell).test_client()
    outside = {"REMOTE_ADDR": "8.8.8.8"}  # not a documentation address: those count as private
    assert client.get("/", environ_base=outside).status_code == 200
    assert client.get("/status/events", environ_base=outside).status_code == 401
