"""A video over HTTP, to the real engine and back."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from facerec_tasks.settings import Settings
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket
from local.processes.child import Child
from local.samples import portraits
from local.samples.videos import Coding, Shot, write

from .conftest import Web

WORKER = Path(__file__).parents[1] / "tasks" / "video_worker.py"
Eventually = Callable[..., None]
HOPPER = "Grace_Hopper"
JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "clip.mp4"
    return write(path, [Shot((HOPPER,), 2.0, "pan")], Coding(320, 240, rate=10)).read_bytes()


@pytest.fixture
def start_watcher(
    resources: Settings, spawn: Callable[..., Child], tmp_path: Path
) -> Callable[[float], Child]:
    storage = StateBucket(resources)
    portraits.enrol(People(storage), ModelFiles(storage, resources))

    def start(pause: float) -> Child:
        environment = {
            "FACEREC_TEST_LOOKS": str(tmp_path / "looks"),
            "FACEREC_TEST_PAUSE": str(pause),
        }
        return spawn([sys.executable, str(WORKER)], log="worker", environment=environment)

    return start


def test_video_result_as_text_json_and_pictures(
    start_web: Callable[..., Web], start_watcher: Callable[[float], Child], film: bytes
) -> None:
    web = start_web()
    start_watcher(0)
    answer = web.post(film, "clip.mp4")
    assert (answer.status, answer.data.decode()) == (200, f"clip:{HOPPER}")

    found = web.json(f"/results/{answer.headers['X-Task-ID']}")
    (person,) = found["people"]
    assert (person["name"], person["known"]) == (HOPPER, True)
    assert person["spans"] == [[0.0, pytest.approx(1.9)]]
    assert (found["video"]["container"], found["video"]["codec"]) == ("video/mp4", "h264")
    for address in (person["crop"], found["video"]["sheet"]):
        picture = web.request("GET", address)
        assert picture.headers["Content-Type"] == "image/jpeg"
        assert Image.open(io.BytesIO(picture.data)).size[0] >= 192
    beside = person["crop"].replace("0.jpg", "")
    for name in ("1.jpg", "state.json", "..%2F0.jpg", "99999.jpg"):
        assert web.request("GET", beside + name).status == 404

    assert web.request("DELETE", f"/results/{found['task_id']}").status == 409, "it is answered"
    again = web.post(film, "clip.mp4", Idempotency_Key="one")
    once_more = web.post(film, "clip.mp4", Idempotency_Key="one")
    assert again.headers["X-Task-ID"] == once_more.headers["X-Task-ID"]
    assert once_more.data == answer.data


def test_video_progress_and_cancel(
    start_web: Callable[..., Web],
    start_watcher: Callable[[float], Child],
    eventually: Eventually,
    film: bytes,
) -> None:
    web = start_web()
    start_watcher(1.5)
    accepted = web.post(film, "clip.mp4", "/?wait=0", Accept="application/json")
    assert accepted.status == 202
    where = accepted.headers["Location"]
    other = start_web()
    eventually(lambda: (other.json(where).get("percent") or 0) > 0, within=60)
    assert other.json(where)["outcome"] == "pending"

    assert other.request("DELETE", where, headers=JSON).json()["outcome"] == "cancelled"
    gone = web.request("GET", where, headers=JSON)
    assert (gone.status, gone.json()["code"]) == (410, "cancelled")
    assert other.request("DELETE", where).status == 200, "a second time is no harm"
    eventually(lambda: web.json("/internal/in-flight")["outstanding"] == 0, within=30)
    unknown = "00000000-0000-4000-8000-000000000000"
    assert web.request("DELETE", f"/results/{unknown}").status == 404


def test_invalid_video_is_rejected(
    start_web: Callable[..., Web], start_watcher: Callable[[float], Child], film: bytes
) -> None:
    web = start_web(FACEREC_MAX_VIDEO_UPLOAD_BYTES="10000")
    start_watcher(0)
    for data, status, code in (
        (film[:9_000], 422, "truncated-video"),
        (b"\x1a\x45\xdf\xa3" + bytes(99), 422, "broken-video"),
        (b"#EXTM3U\nfile:///etc/passwd\n", 415, "not-a-picture"),
        (b"\0\0\0\x18ftypheic" + bytes(99), 422, "broken-picture"),
        (film, 413, "too-large"),
    ):
        refused = web.post(data, "clip.mp4", Accept="application/json")
        assert (refused.status, refused.json()["code"]) == (status, code)
