"""A video lands, a name comes out: both functions in their own processes, with S3's own events."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from celery_sqs.testing import FaultProxy

from facerec_tasks.settings import Settings
from local.emulators import video_functions
from local.emulators.lambda_service import LambdaService
from local.samples.videos import Shot, write

from .conftest import RETRIES, SMALL, Buckets

Deliver = Callable[..., None]


@pytest.mark.usefixtures("known")
def test_longest_seen_person_is_written_to_the_out_bucket(
    buckets: Buckets, deliver: Deliver, clips: Path
) -> None:
    version = buckets.upload("my holiday/two é.mp4", (clips / "two.mp4").read_bytes())
    deliver()
    assert buckets.answers() == {"my holiday/two é.txt": "Grace_Hopper"}
    folder = f"my holiday/two é/{version}"
    assert f"{folder}/output-00.jpg" in buckets.frames()
    assert all(key.startswith(folder) for key in buckets.frames())
    record = buckets.record("my holiday/two é")
    assert record["upload"]["version"] == version
    assert [person["name"] for person in record["people"]] == ["Grace_Hopper", "Eileen_Collins"]
    (grace,), (eileen,) = (person["spans"] for person in record["people"])
    assert grace == pytest.approx([0.0, 2.0], abs=0.3)
    assert eileen == pytest.approx([2.0, 3.0], abs=0.3)


def test_strangers_are_unknown_and_an_empty_room_is_no_face(
    buckets: Buckets, deliver: Deliver, clips: Path
) -> None:
    buckets.upload("stranger.mp4", (clips / "eileen.mp4").read_bytes())
    buckets.upload("room.mp4", (clips / "nobody.mp4").read_bytes())
    deliver()
    assert buckets.answers() == {"stranger.txt": "unknown", "room.txt": "no-face"}


@pytest.mark.usefixtures("known")
def test_refused_video_has_a_reason_and_no_dead_letter(
    buckets: Buckets, deliver: Deliver, clips: Path
) -> None:
    whole = (clips / "two.mp4").read_bytes()
    for key, data in {
        "empty.mp4": b"",
        "notes.txt": b"my holiday",
        "page.mp4": b"<html>not found</html>" * 100,
        "cut.mp4": whole[: len(whole) // 2],
        "4k.mp4": (clips / "4k.mp4").read_bytes(),
    }.items():
        buckets.upload(key, data)
    deliver()
    answers = buckets.answers()
    assert answers.pop("4k.txt") == "Grace_Hopper"
    codes = {key: json.loads(text)["code"] for key, text in answers.items()}
    assert codes == {
        "empty.refused.json": "empty",
        "notes.refused.json": "not-a-video",
        "page.refused.json": "not-a-video",
        "cut.refused.json": "truncated-video",
    }
    assert buckets.dead_letters() == []


@pytest.mark.usefixtures("known")
def test_duplicate_s3_event_gives_one_answer(
    buckets: Buckets, service: LambdaService, deliver: Deliver, clips: Path
) -> None:
    buckets.upload("clip.mp4", (clips / "eileen.mp4").read_bytes())
    deliver(lambda events: events * 3)
    assert buckets.answers() == {"clip.txt": "Eileen_Collins"}
    assert buckets.versions() == 1
    assert not any(result.failed for _, result in service.results)


@pytest.mark.usefixtures("known")
def test_late_event_of_an_older_upload_keeps_the_newer_answer(
    buckets: Buckets, deliver: Deliver, clips: Path
) -> None:
    buckets.upload("clip.mp4", (clips / "two.mp4").read_bytes())
    newer = buckets.upload("clip.mp4", (clips / "eileen.mp4").read_bytes())
    deliver(lambda events: [*reversed(events), events[0]])
    assert buckets.answers() == {"clip.txt": "Eileen_Collins"}
    assert buckets.record("clip")["upload"]["version"] == newer


@pytest.mark.usefixtures("known")
def test_the_answer_to_a_better_video_is_not_left_beside_a_refusal(
    buckets: Buckets, deliver: Deliver, clips: Path
) -> None:
    buckets.upload("clip.mp4", (clips / "eileen.mp4").read_bytes())
    deliver()
    buckets.upload("clip.mp4", b"oops")
    deliver()
    assert list(buckets.answers()) == ["clip.refused.json"]
    buckets.upload("clip.mp4", (clips / "two.mp4").read_bytes())
    deliver()
    assert buckets.answers() == {"clip.txt": "Grace_Hopper"}


def test_a_video_that_is_gone_again_is_refused(
    buckets: Buckets, deliver: Deliver, clips: Path, settings: Settings
) -> None:
    version = buckets.upload("clip.mp4", (clips / "eileen.mp4").read_bytes())
    buckets.s3.delete_object(Bucket=settings.video_bucket, Key="clip.mp4", VersionId=version)
    deliver()
    assert json.loads(buckets.answers()["clip.refused.json"])["code"] == "video-gone"


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("victim", [video_functions.SPLITTING, video_functions.RECOGNITION])
def test_a_function_killed_in_the_middle_runs_again(
    buckets: Buckets,
    service: LambdaService,
    deliver: Deliver,
    eventually: Callable[..., None],
    tmp_path: Path,
    victim: str,
) -> None:
    long = write(tmp_path / "long.mp4", [Shot(("Grace_Hopper",), 10.0)], SMALL)
    buckets.upload("clip.mp4", long.read_bytes())
    (event,) = buckets.events()
    service.send(video_functions.SPLITTING, event)
    if victim == video_functions.SPLITTING:
        eventually(lambda: any("output-03" in key for key in buckets.frames()), within=30)
    else:
        eventually(lambda: service.environment(victim), within=30)
        environment = service.environment(victim)
        assert environment
        environment.ready()
    running = service.environment(victim)
    assert running
    os.killpg(running.pid, signal.SIGKILL)
    eventually(lambda: service.idle, within=60)
    assert [r.payload["errorType"] for _, r in service.results if r.failed] == ["Runtime.ExitError"]
    assert buckets.answers() == {"clip.txt": "Grace_Hopper"}
    assert buckets.versions() == 1


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("action", "fault"),
    [
        ("s3.PUT", "throttled"),
        ("s3.PUT", "dropped"),
        ("s3.GET", "cut"),
        ("s3.GET", "expired"),
        ("s3.HEAD", "unavailable"),
    ],
)
def test_s3_outage_delays_answers_only(
    settings: Settings,
    buckets: Buckets,
    tmp_path: Path,
    eventually: Callable[..., None],
    clips: Path,
    action: str,
    fault: str,
) -> None:
    proxy = FaultProxy(settings.endpoint_url or "")
    proxy.start()
    proxy.rule = lambda called: fault if called == action and proxy.calls[action] < 3 else None
    functions = video_functions.functions({"AWS_ENDPOINT_URL": proxy.url})
    try:
        with LambdaService(functions, tmp_path, settings, retries=RETRIES) as service:
            buckets.upload("clip.mp4", (clips / "eileen.mp4").read_bytes())
            service.send(video_functions.SPLITTING, buckets.events()[0])
            eventually(lambda: service.idle, within=60)
    finally:
        proxy.stop()
    assert proxy.spoiled[fault] > 0
    assert buckets.answers() == {"clip.txt": "Eileen_Collins"}
    assert buckets.versions() == 1


def test_what_failed_three_times_is_a_dead_letter_that_can_be_sent_again(
    settings: Settings,
    buckets: Buckets,
    service: LambdaService,
    tmp_path: Path,
    eventually: Callable[..., None],
    clips: Path,
) -> None:
    splitting, _ = video_functions.functions()
    letters = video_functions.dead_letter_queue(settings)
    buckets.upload("clip.mp4", (clips / "nobody.mp4").read_bytes())
    (event,) = buckets.events()
    with LambdaService(
        [splitting], tmp_path / "alone", settings, dead_letters=letters, retries=RETRIES
    ) as alone:  # nobody there to be told
        alone.send(video_functions.SPLITTING, event)
        eventually(lambda: alone.idle and buckets.dead_letters(), within=60)
        assert len(alone.results) == 3
    (letter,) = buckets.dead_letters()
    assert letter["requestContext"]["condition"] == "RetriesExhausted"
    assert "NotFound" in letter["responsePayload"]["errorMessage"]
    service.send(video_functions.SPLITTING, json.dumps(letter["requestPayload"]).encode())
    eventually(lambda: service.idle, within=60)
    assert buckets.answers() == {"clip.txt": "no-face"}


def test_the_bucket_starts_the_functions_by_itself(
    settings: Settings,
    buckets: Buckets,
    tmp_path: Path,
    eventually: Callable[..., None],
    clips: Path,
) -> None:
    with video_functions.video_functions(settings, tmp_path, RETRIES):
        buckets.upload("clip.mp4", (clips / "nobody.mp4").read_bytes())
        eventually(lambda: buckets.answers() == {"clip.txt": "no-face"}, within=60)
