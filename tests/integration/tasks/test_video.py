"""A video on the fleet: real workers, the real engine, real kills; every look is counted."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from facerec_tasks.aws import client
from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.schemas import Answer
from facerec_tasks.settings import Settings
from facerec_tasks.storage.attempts import Attempts
from facerec_tasks.storage.buckets import Storage
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import People
from facerec_tasks.storage.photos import Photos, Selection
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.videos import VideoStore
from local.processes.child import Child
from local.samples import portraits
from local.samples.videos import Coding, Shot, write

WORKER = Path(__file__).with_name("video_worker.py")
Eventually = Callable[..., None]
HOPPER, COLLINS = "Grace_Hopper", "Eileen_Collins"
PAUSE = 0.15
"""Seconds of a look, so that there is time to interfere."""

SEND = """
import json, sys
from facerec_tasks.tasks import recognize_video
sent = recognize_video.apply_async(sys.argv[1:3], task_id=sys.argv[3])
print(json.dumps(sent.get(timeout=100)))
"""
PHOTO = """
import sys
from facerec_tasks.tasks import recognize
print(recognize.apply_async(sys.argv[1:3]).get(timeout=60)["outcome"])
"""


LISTEN = """
import json
from facerec_tasks.app import app
told = lambda event: print(json.dumps(event), flush=True)
with app.connection_for_read() as connection:
    receiver = app.events.Receiver(connection, handlers={"task-progress": told})
    receiver.capture(limit=None, timeout=None)
"""


def task_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    shots = [Shot((HOPPER,), 4.0, "pan"), Shot((COLLINS,), 3.0, "turn"), Shot((), 1.0)]
    path = tmp_path_factory.mktemp("film") / "clip.mp4"
    return write(path, shots, Coding(320, 240, rate=12)).read_bytes()


class Fleet:
    """Workers, videos, and what they leave behind."""

    def __init__(self, settings: Settings, spawn: Callable[..., Child], folder: Path) -> None:
        self.storage = Storage(settings)
        self.settings, self.spawn, self._folder = settings, spawn, folder
        self.looks = folder / "looks"

    def worker(self, name: str = "one") -> Child:
        environment = {"FACEREC_TEST_LOOKS": str(self.looks), "FACEREC_TEST_PAUSE": str(PAUSE)}
        command = [sys.executable, str(WORKER), "--hostname", f"{name}@test"]
        return self.spawn(command, log=f"worker-{name}", environment=environment)

    def send(self, data: bytes, number: int = 1, key: str = "clip.mp4") -> Child:
        version = self.storage.photos.put(key, data, "video/mp4")
        command = [sys.executable, "-c", SEND, key, version, task_id(number)]
        return self.spawn(command, log=f"send-{number}")

    def photo(self) -> Child:
        version = self.storage.photos.put("p.jpg", portraits.sample_photo().data, "image/jpeg")
        return self.spawn([sys.executable, "-c", PHOTO, "p.jpg", version], log="photo")

    def printed(self, log: str) -> str:
        return (self._folder / f"{log}.log").read_text().strip()

    def counted(self) -> int:
        return len(self.looks.read_text().splitlines()) if self.looks.exists() else 0

    def answer(self, number: int = 1) -> Answer | None:
        return Results(self.storage.state).get(task_id(number))

    def files(self, number: int = 1) -> set[str]:
        prefix = f"video/{task_id(number)}/"
        return {entry.name.removeprefix(prefix) for entry in self.storage.state.list(prefix)}

    def name(self, stem: str = "clip") -> bytes | None:
        s3 = client(self.settings, "s3")
        listed = s3.list_objects_v2(Bucket=self.settings.out_bucket, Prefix=stem)
        if not listed.get("KeyCount"):
            return None
        return s3.get_object(Bucket=self.settings.out_bucket, Key=stem)["Body"].read()


@pytest.fixture(autouse=True)
def _quick_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_VISIBILITY_TIMEOUT", "3")
    monkeypatch.setenv("FACEREC_POLL_SECONDS", "1")
    monkeypatch.setenv("FACEREC_MAX_BACKOFF", "2")


@pytest.fixture
def fleet(resources: Settings, spawn: Callable[..., Child], tmp_path: Path) -> Fleet:
    fleet = Fleet(resources, spawn, tmp_path)
    portraits.enrol(People(fleet.storage.state), ModelFiles(fleet.storage.state, resources))
    return fleet


def people(answer: Answer | None) -> list[str]:
    assert answer is not None
    assert answer.video is not None
    return [person.name for person in answer.people]


def test_the_answer_is_on_record_with_its_pictures(
    fleet: Fleet, eventually: Eventually, film: bytes
) -> None:
    client = fleet.send(film)
    fleet.worker()
    assert client.wait(90), "the client is answered"
    answer = fleet.answer()
    assert people(answer) == [HOPPER, COLLINS]
    assert answer is not None
    assert (answer.outcome, answer.name, answer.text) == ("named", HOPPER, HOPPER)
    assert json.loads(fleet.printed("send-1").splitlines()[-1]) == answer.to_dict()
    assert fleet.name() == HOPPER.encode()
    eventually(lambda: fleet.files() == {"sheet.jpg", "0.jpg", "1.jpg"})
    assert answer.people[0].crop == f"video/{task_id(1)}/0.jpg"
    (hopper, collins) = answer.people
    assert [(round(a), round(b)) for a, b in hopper.spans] == [(0, 4)]
    assert [(round(a), round(b)) for a, b in collins.spans] == [(4, 7)]

    Photos(fleet.settings).purge(Selection(names=frozenset({"clip.mp4"})))
    assert (fleet.answer(), fleet.files(), fleet.name()) == (None, set(), None)


def test_kill_9_repeats_only_frames_since_the_last_checkpoint(
    fleet: Fleet, eventually: Eventually, film: bytes
) -> None:
    client = fleet.send(film)
    first = fleet.worker()
    eventually(lambda: fleet.counted() >= 8, within=60)
    first.kill()
    before = fleet.counted()
    fleet.worker("two")
    assert client.wait(90)
    answer = fleet.answer()
    assert people(answer) == [HOPPER, COLLINS]
    assert answer is not None
    assert answer.video is not None
    again = fleet.counted() - answer.video.frames_analyzed
    assert 0 <= again <= 1 + 0.5 / PAUSE + 1, f"{before} looks before the kill"


def test_warm_shutdown_requeues_the_video_at_its_checkpoint(
    fleet: Fleet, eventually: Eventually, film: bytes
) -> None:
    client = fleet.send(film)
    first = fleet.worker()
    eventually(lambda: fleet.counted() >= 5, within=60)
    first.signal(signal.SIGTERM)
    assert first.wait(15), "it does not wait for the video's end"
    assert fleet.answer() is None
    assert "state.json" in fleet.files()
    assert Attempts(fleet.storage.state).starts(task_id(1)) == [], "moving on is no start"
    fleet.worker("two")
    assert client.wait(90)
    answer = fleet.answer()
    assert people(answer) == [HOPPER, COLLINS]
    assert answer is not None
    assert answer.video is not None
    assert fleet.counted() == answer.video.frames_analyzed
    assert len(set(fleet.looks.read_text().split())) == 2, "two processes shared the work"


def test_long_video_yields_the_worker_to_photos(
    fleet: Fleet, eventually: Eventually, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEREC_VIDEO_SLICE", "0.6")
    client = fleet.send(film)
    fleet.worker()
    eventually(lambda: fleet.counted() >= 2, within=60)
    photo = fleet.photo()
    assert photo.wait(30)
    assert fleet.printed("photo") == "named"
    assert fleet.answer() is None, "the photo did not wait for the video"
    assert client.wait(90)
    answer = fleet.answer()
    assert people(answer) == [HOPPER, COLLINS]
    assert answer is not None
    assert answer.video is not None
    assert fleet.counted() == answer.video.frames_analyzed, "no run repeats another's looks"


def test_duplicate_delivery_runs_once(fleet: Fleet, eventually: Eventually, film: bytes) -> None:
    clients = [fleet.send(film), fleet.send(film)]
    fleet.worker("one")
    fleet.worker("two")
    eventually(lambda: fleet.answer(), within=90)
    answer = fleet.answer()
    assert answer is not None
    assert answer.video is not None
    assert fleet.counted() <= 1.5 * answer.video.frames_analyzed, "one of them has ended early"
    eventually(lambda: any(client.exit_code is not None for client in clients), within=20)


def test_runs_with_equal_progress_are_distinguished(fleet: Fleet) -> None:
    one, other = (VideoStore(fleet.storage.state, task_id(1)) for _ in range(2))
    etag = one.put_state(b"the same", None)
    with pytest.raises(PreconditionFailed):
        other.put_state(b"the same", None)
    found = other.state()
    assert found is not None
    assert (found.data, found.etag) == (b"the same", etag)


def test_a_cancel_ends_a_run_within_seconds(
    fleet: Fleet, eventually: Eventually, film: bytes
) -> None:
    fleet.spawn([sys.executable, "-c", LISTEN], log="events")
    client = fleet.send(film)
    fleet.worker()
    eventually(lambda: fleet.counted() >= 3, within=60)
    folder = VideoStore(fleet.storage.state, task_id(1))
    eventually(lambda: folder.progress().get("percent", 0) > 0)
    assert folder.progress()["people"] == []
    cancelled = Answer(task_id(1), "clip.mp4", None, "cancelled")
    Results(fleet.storage.state).create(cancelled)
    assert client.wait(20)
    assert json.loads(fleet.printed("send-1"))["outcome"] == "cancelled"
    assert fleet.answer() == cancelled
    assert fleet.name() is None
    eventually(lambda: fleet.files() == set())
    assert fleet.counted() < 14
    eventually(lambda: fleet.printed("events"), within=20)
    event = json.loads(fleet.printed("events").splitlines()[0])
    assert (event["type"], event["uuid"]) == ("task-progress", task_id(1))
    assert {"percent", "time", "people", "frames_analyzed"} <= event.keys()


@pytest.mark.parametrize(
    ("data", "code"), [(b"hello" * 99, "not-a-video"), (b"\0\0\0\x18ftypmp42", "truncated-video")]
)
def test_what_is_no_video_is_an_answer(fleet: Fleet, data: bytes, code: str) -> None:
    client = fleet.send(data)
    fleet.worker()
    assert client.wait(60)
    answer = fleet.answer()
    assert answer is not None
    assert (answer.outcome, answer.code) == ("rejected", code)
    assert fleet.name() is None


def test_a_checkpoint_goes_in_the_place_of_the_one_its_run_began_from(fleet: Fleet) -> None:
    mine = VideoStore(fleet.storage.state, task_id(1))
    first = mine.put_state(b"one", None)
    second = mine.put_state(b"two", first)
    assert mine.put_state(b"two", first) == second, "our own write, of which the answer was lost"
    for stale in (None, first):
        with pytest.raises(PreconditionFailed):
            mine.put_state(b"other", stale)
    mine.clear()
    with pytest.raises(PreconditionFailed):
        mine.put_state(b"after the end", second)
