"""Who is seen when: on videos made of the sample portraits, with the real engine."""

import json
from pathlib import Path

import pytest

from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.video.analysis import VideoAnalyzer
from facerec_tasks.video.contact_sheet import contact_sheet
from facerec_tasks.video.reader import VideoReader
from facerec_tasks.video.timeline import PersonInVideo
from facerec_tasks.video.tracker import BEST
from local.samples import portraits
from local.samples.videos import Coding, Shot, write

MODELS = Path("models")
HOPPER, COLLINS = "Grace_Hopper", "Eileen_Collins"


def recognizer(*names: str) -> Recognizer:
    analyzer = Recognizer.load(MODELS, Gallery.empty("resnet128"))
    batch = Batch(Enroller(analyzer), analyzer.gallery)
    for portrait in portraits.portraits():
        if portrait.name in names:
            assert batch.add(portrait.name, portrait.path.read_bytes()) is None
    return analyzer.with_gallery(batch.gallery)


@pytest.fixture(scope="module")
def both() -> Recognizer:
    return recognizer(HOPPER, COLLINS)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hopper walks, a cut, Collins turns her head, an empty room, both, in this order."""
    shots = [
        Shot((HOPPER,), 2.0, "pan"),
        Shot((COLLINS,), 2.0, "turn"),
        Shot((), 1.0),
        Shot((HOPPER, COLLINS), 2.0),
    ]
    return write(tmp_path_factory.mktemp("film") / "film.mp4", shots, Coding())


def analyzed(analyzer: Recognizer, path: Path) -> tuple[PersonInVideo, ...]:
    analysis = VideoAnalyzer(analyzer)
    with VideoReader(path) as video:
        for frame in video:
            analysis.add_frame(frame)
    assert video.end is not None
    return tuple(person for person, _ in analysis.finish(video.end))


def spans(people: tuple[PersonInVideo, ...]) -> dict[str, list[tuple[float, float]]]:
    return {p.name: [(round(a, 1), round(b, 1)) for a, b in p.spans] for p in people}


def test_video_analysis_finds_everybody_with_spans(both: Recognizer, film: Path) -> None:
    people = analyzed(both, film)
    assert spans(people) == {
        HOPPER: [(0.0, 2.0), (5.0, 7.0)],
        COLLINS: [(2.0, 4.0), (5.0, 7.0)],
    }
    assert all(person.known and person.confidence > 0.8 for person in people)


def test_who_is_not_enrolled_is_one_unknown_person(film: Path) -> None:
    people = analyzed(recognizer(HOPPER), film)
    assert [(person.name, person.known) for person in people] == [
        (HOPPER, True),
        ("unknown-1", False),
    ]
    assert spans(people)["unknown-1"] == [(2.0, 4.0), (5.0, 7.0)]


def test_with_nobody_enrolled_two_people_are_two(film: Path) -> None:
    assert len(analyzed(recognizer(), film)) == 2


def test_video_without_faces_has_no_people(both: Recognizer, tmp_path: Path) -> None:
    assert analyzed(both, write(tmp_path / "room.mp4", [Shot((), 1.0)])) == ()


def test_it_comes_to_the_same_end_however_often_it_is_interrupted(
    both: Recognizer, film: Path
) -> None:
    whole, state = analyzed(both, film), VideoAnalyzer(both).state()
    end = None
    while end is None:
        analysis = VideoAnalyzer(both, state)
        with VideoReader(film, after=analysis.position) as video:
            for number, frame in enumerate(video):
                analysis.add_frame(frame)
                if number == 4:
                    break
            end = video.end
        state = analysis.state()
    assert tuple(person for person, _ in analysis.finish(end)) == whole
    with VideoReader(film) as video:
        assert analysis.frames_analyzed == len(list(video)), "no frame is looked at twice"


def test_a_state_of_another_engine_is_not_gone_on_from(both: Recognizer, film: Path) -> None:
    analysis = VideoAnalyzer(both)
    with VideoReader(film) as video:
        analysis.add_frame(next(iter(video)))
    assert VideoAnalyzer(both, analysis.state()).frames_analyzed == 1
    state = json.loads(analysis.state())
    for wrong in ({**state, "engine": "facenet fp32"}, {**state, "version": 0}, {}, []):
        begun = VideoAnalyzer(both, json.dumps(wrong).encode())
        assert (begun.frames_analyzed, begun.position) == (0, None)


def test_faces_are_embedded_once_a_track_and_not_once_a_frame(
    both: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, really = [], Recognizer.embed

    def counted(self: Recognizer, rgb: object, faces: list[object]) -> object:
        embedded.extend(faces)
        return really(self, rgb, faces)  # type: ignore[arg-type]

    monkeypatch.setattr(Recognizer, "embed", counted)
    film = write(tmp_path / "long.mp4", [Shot((HOPPER,), 4.0)], Coding(rate=10))
    (person,) = analyzed(both, film)
    assert len(embedded) == BEST < person.frames


def test_the_contact_sheet_shows_everybody(both: Recognizer, film: Path) -> None:
    analysis = VideoAnalyzer(both)
    with VideoReader(film) as video:
        for frame in video:
            analysis.add_frame(frame)
    assert video.end is not None
    people = analysis.finish(video.end)
    assert [both.recognize(portrait).faces[0].name for _, portrait in people] == [
        person.name for person, _ in people
    ]
    seen = both.recognize(contact_sheet(people))
    assert sorted(face.name or "" for face in seen.faces) == [COLLINS, HOPPER]
