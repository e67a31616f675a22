"""What S3 says when a video lands, and which of two uploads counts."""

from typing import Any

import pytest

from serverless.uploads import MAX_KEY_BYTES, BadEvent, VideoUpload, uploads


def record(key: str = "clip.mp4", **changes: Any) -> dict[str, Any]:
    """As S3 sends it; ``changes`` of the object."""
    found = {
        "key": key,
        "size": 1024,
        "eTag": "d41d8cd98f00b204e9800998ecf8427e",
        "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
        "sequencer": "0055AED6DCD90281E5",
    }
    return {
        "eventVersion": "2.2",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-24T15:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "t-input"}, "object": found | changes},
    }


def found(*records: dict[str, Any]) -> list[VideoUpload]:
    return list(uploads({"Records": list(records)}, "t-input"))


@pytest.mark.parametrize(
    ("sent", "key", "name"),
    [
        ("clip.mp4", "clip.mp4", "clip"),
        ("my+holiday%2C+day+1.mp4", "my holiday, day 1.mp4", "my holiday, day 1"),
        ("a%2Bb.mp4", "a+b.mp4", "a+b"),
        ("%E6%BC%A2.webm", "漢.webm", "漢"),
        ("2026/11/clip.tar.mp4", "2026/11/clip.tar.mp4", "2026/11/clip.tar"),
        ("a.b/clip", "a.b/clip", "a.b/clip"),
        (".mp4", ".mp4", ".mp4"),
    ],
)
def test_keys_come_url_encoded_and_names_are_keys_without_extension(
    sent: str, key: str, name: str
) -> None:
    (upload,) = found(record(sent))
    assert (upload.key, upload.name) == (key, name)


def test_every_record_of_an_event_counts() -> None:
    assert [u.key for u in found(record("a.mp4"), record("b.mp4"))] == ["a.mp4", "b.mp4"]


def test_folders_other_events_and_s3s_test_are_passed_over() -> None:
    removed = record() | {"eventName": "ObjectRemoved:Delete"}
    assert found(record("folder/", size=0), removed) == []
    assert list(uploads({"Service": "Amazon S3", "Event": "s3:TestEvent"}, "t-input")) == []


def test_an_event_made_by_hand_may_say_less() -> None:
    event = {"Records": [{"s3": {"bucket": {"name": "t-input"}, "object": {"key": "clip.mp4"}}}]}
    assert list(uploads(event, "t-input")) == [VideoUpload("clip.mp4")]


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "clip.mp4",
        {},
        {"Records": None},
        {"Records": ["clip.mp4"]},
        {"Records": [{"s3": {}}]},
        {"Records": [record("")]},
        {"Records": [record("%FF.mp4")]},
        {"Records": [record(size="many")]},
        {"Records": [record("x" * (MAX_KEY_BYTES + 1))]},
        {"Records": [record() | {"eventSource": "aws:sqs"}]},
    ],
)
def test_what_s3_cannot_have_sent_is_refused(event: Any) -> None:
    with pytest.raises(BadEvent):
        list(uploads(event, "t-input"))


def test_an_event_of_another_bucket_is_refused() -> None:
    with pytest.raises(BadEvent, match="of bucket t-input"):
        list(uploads({"Records": [record()]}, "t-output"))


def version(number: str, sequencer: str) -> VideoUpload:
    return VideoUpload("clip.mp4", number, sequencer, "2026-11-24T15:00:00.000Z", 1)


@pytest.mark.parametrize(
    ("one", "other", "newer"),
    [
        (version("2", "0B"), version("1", "0A"), True),
        (version("1", "0A"), version("2", "0B"), False),
        (version("2", "0A1"), version("1", "0A"), True),  # as if it were 0A0
        (version("2", "0A"), version("1", "0A0"), False),
        (version("1", "0A"), version("1", "0A"), False),  # the same, told twice
        (version("1", "0C"), version("1", "0A"), False),
        (version("2", ""), version("1", "0A"), True),  # sent by hand, on purpose
    ],
)
def test_sequencer_orders_uploads_of_a_key(
    one: VideoUpload, other: VideoUpload, newer: bool
) -> None:
    assert one.supersedes(other) is newer


def test_uploads_of_two_keys_with_one_name_are_ordered_by_time() -> None:
    early = VideoUpload("clip.mp4", "1", "0F", "2026-11-24T15:00:00.000Z")
    late = VideoUpload("clip.mov", "1", "0A", "2026-11-24T15:00:01.000Z")
    assert late.supersedes(early)
    assert not early.supersedes(late)


def test_an_upload_survives_its_json() -> None:
    for upload in (VideoUpload("a.mp4"), version("1", "0A")):
        assert VideoUpload.from_dict(upload.to_dict()) == upload


@pytest.mark.parametrize("fields", [None, [], {}, {"key": 1}, {"key": "a", "size": True}])
def test_what_is_no_upload_is_refused(fields: Any) -> None:
    with pytest.raises(BadEvent):
        VideoUpload.from_dict(fields)
