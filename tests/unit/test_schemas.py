import json

import pytest

from facerec_tasks.schemas import Answer, Face, VideoInfo
from facerec_tasks.video.timeline import PersonInVideo

FACE = Face(
    name="Grace Hopper",
    box=(1.0, 2.0, 30.5, 40.25),
    landmarks=((5.0, 6.0), (7.0, 6.0), (6.0, 8.0), (5.0, 9.0), (7.0, 9.0)),
    score=0.999,
    distance=0.31,
    confidence=0.97,
)


def answer(**changes) -> Answer:
    fields = {"task_id": "t", "key": "test_00.jpg", "version": "v", "outcome": "named"}
    return Answer(**{**fields, "name": "Grace Hopper", "faces": (FACE,), **changes})


def test_an_answer_survives_its_json() -> None:
    assert Answer.from_json(answer().to_json()) == answer()


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        ("named", "Grace Hopper"),
        ("unknown", "unknown"),
        ("no-face", "no-face"),
        ("rejected", None),
        ("poison", None),
    ],
)
def test_answer_text_by_outcome(outcome: str, text: str | None) -> None:
    assert answer(outcome=outcome).text == text


def test_fields_of_a_newer_version_are_ignored() -> None:
    newer = {**answer().to_dict(), "mood": "happy"}
    newer["faces"] = [{**newer["faces"][0], "age": 85}]
    assert Answer.from_dict(newer) == answer()


@pytest.mark.parametrize(
    "data", [b"[]", b"{}", b'{"outcome":"named"}', b'{"outcome":"maybe","task_id":"t"}']
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an answer"):
        Answer.from_json(data)


def test_names_are_stored_readable() -> None:
    assert "Jürgen 漢" in answer(name="Jürgen 漢").to_json().decode()
    assert json.loads(answer(history=({"at": 1},)).to_json())["history"] == [{"at": 1}]


def test_an_answer_to_no_version_in_particular_survives_json() -> None:
    answer = Answer("id", "a.jpg", None, "cancelled")
    assert Answer.from_json(answer.to_json()) == answer


def test_an_answer_to_a_video_survives_json() -> None:
    person = PersonInVideo("Ada", True, 0.9, ((0.0, 1.5),), 3, "video/id/0.jpg")
    footage = VideoInfo("video/mp4", "h264", 8.0, 25.0, 16, True, "video/id/sheet.jpg")
    answer = Answer("id", "a.mp4", "v1", "named", "Ada", people=(person,), video=footage)
    assert Answer.from_json(answer.to_json()) == answer
    assert answer.to_message() == answer.to_dict()


def test_an_answer_that_does_not_fit_into_a_message_is_read_from_its_record() -> None:
    spans = tuple((float(2 * n), 2 * n + 1.0) for n in range(20_000))
    answer = Answer(
        "id", "a.mp4", "v1", "named", "Ada", people=(PersonInVideo("A", True, 1, spans, 1),)
    )
    assert answer.to_message() == {"task_id": "id", "outcome": "on-record"}
