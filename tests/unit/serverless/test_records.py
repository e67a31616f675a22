"""What the functions keep, as JSON."""

import json

import pytest

from facerec_tasks.recognition.rejection import Rejected, RejectionCode
from facerec_tasks.video.timeline import PersonInVideo
from serverless import limits
from serverless.frames import FrameRejection, SplitVideo, StoredFrame, frame_key, list_key
from serverless.record import Record
from serverless.uploads import VideoUpload

UPLOAD = VideoUpload("a/漢.mp4", "v1", "0A", "2026-11-24T15:00:00.000Z", 7)
ADA = PersonInVideo("Ada", True, 0.9, ((0.0, 1.5), (4.0, 5.0)), 6)


def test_frames_of_two_uploads_of_a_name_lie_apart() -> None:
    assert frame_key(UPLOAD, 7) == "a/漢/v1/output-07.jpg"
    assert frame_key(UPLOAD, 123) == "a/漢/v1/output-123.jpg"
    assert list_key(UPLOAD) == "a/漢/v1/frames.json"


@pytest.mark.parametrize(
    "split",
    [
        SplitVideo(UPLOAD, (StoredFrame("k", 0.5, True),), 1.0, complete=False),
        SplitVideo(UPLOAD, (), refusal=FrameRejection("empty", "The file is empty.")),
    ],
)
def test_the_list_of_frames_survives_its_json(split: SplitVideo) -> None:
    assert SplitVideo.from_json(split.to_json()) == split


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (Record(UPLOAD, "named", (ADA,), frames=8, seconds=5.0, engine="resnet128"), "Ada"),
        (Record(UPLOAD, "unknown"), "unknown"),
        (Record(UPLOAD, "no-face"), "no-face"),
        (Record(UPLOAD, "refused", code="empty", detail="The file is empty."), None),
    ],
)
def test_a_record_survives_its_json_and_a_refusal_is_never_a_name(
    record: Record, text: str | None
) -> None:
    assert Record.from_json(record.to_json()) == record
    assert record.text == text


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"upload": {"key": "a"}}', b"null"])
def test_what_is_neither_is_refused(data: bytes) -> None:
    for kind in (SplitVideo, Record):
        with pytest.raises(ValueError, match=r"\S"):
            kind.from_json(data)


def test_a_newer_release_may_have_said_more() -> None:
    told = json.loads(Record(UPLOAD, "named", (ADA,)).to_json()) | {"mood": "good"}
    assert Record.from_json(json.dumps(told).encode()).text == "Ada"


def test_a_video_larger_than_the_room_is_refused_before_it_is_fetched() -> None:
    limits.check_size(100, free=limits.SPARE_BYTES + 100)
    with pytest.raises(Rejected) as refused:
        limits.check_size(101, free=limits.SPARE_BYTES + 100)
    assert "recognize_video" in limits.remedy(refused.value.code)


def test_only_what_is_too_much_for_lambda_is_sent_elsewhere() -> None:
    assert not limits.remedy(RejectionCode.NOT_A_VIDEO)
    assert limits.remedy(RejectionCode.TOO_LONG)
