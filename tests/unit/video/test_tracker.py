"""Faces followed by where they are and, where that is in doubt, by how they look."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter

from facerec_tasks.recognition.detection.detector import Detection
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.video.reader import Frame
from facerec_tasks.video.tracker import BEST, PATIENCE, Track, Tracker

FRAME = (360, 640, 3)
TRACKS = TypeAdapter(list[Track])


class Painted:
    """An engine for painted faces: a face is where it is said to be and looks as its color."""

    gallery = Gallery.empty("resnet128")

    def __init__(self) -> None:
        self.faces: list[Detection] = []
        self.frames_analyzed = 0

    def detect(self, rgb: NDArray[np.uint8]) -> Sequence[Detection]:
        return self.faces

    def embed(self, rgb: NDArray[np.uint8], faces: Sequence[Detection]) -> NDArray[np.float32]:
        self.frames_analyzed += len(faces)
        return np.tile(np.eye(128, dtype=np.float32)[int(rgb[0, 0, 0])], (len(faces), 1))


def face(x: float, y: float = 100, side: float = 60) -> Detection:
    landmarks = (
        (x + 18, y + 22),
        (x + 42, y + 22),
        (x + 30, y + 36),
        (x + 20, y + 48),
        (x + 40, y + 48),
    )
    return Detection((x, y, x + side, y + side), 0.99, landmarks)


class Stage:
    def __init__(self) -> None:
        self.analyzer = Painted()
        self.tracker = Tracker(self.analyzer)
        self.ended: list[Track] = []

    def at(
        self, time: float, *faces: tuple[float, int], cut: bool = False, follows: bool = False
    ) -> None:
        """``faces``: left edge and color."""
        rgb = np.zeros(FRAME, np.uint8)
        for x, color in faces:
            rgb[:, max(0, int(x) - 40) : int(x) + 100] = color
        self.analyzer.faces = [face(x) for x, _ in faces]
        self.ended += self.tracker.update(Frame(0, time, cut, rgb, follows))

    def all(self, at: float) -> list[Track]:
        return self.ended + self.tracker.finish(at)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_face_that_moves_a_little_is_one_track_without_a_look_at_it(stage: Stage) -> None:
    for step in range(5):
        stage.at(step * 0.5, (100 + 10 * step, 1))
    (track,) = stage.all(2.2)
    assert (track.begin, track.end, track.frames) == (0.0, 2.2, 5)
    assert len(track.best) == BEST
    assert stage.analyzer.frames_analyzed == 0


def test_a_face_that_jumps_is_followed_when_it_looks_the_same(stage: Stage) -> None:
    stage.at(0.0, (100, 1))
    stage.at(0.5, (165, 1))
    assert [track.frames for track in stage.all(1.0)] == [2]
    assert stage.analyzer.frames_analyzed == 2


def test_another_face_in_its_place_is_another_track(stage: Stage) -> None:
    stage.at(0.0, (100, 1))
    stage.at(0.5, (165, 2))
    assert [(track.begin, track.frames) for track in stage.all(1.0)] == [(0.0, 1), (0.25, 1)]


def test_a_cut_ends_all_tracks_at_its_time(stage: Stage) -> None:
    stage.at(0.0, (100, 1), cut=True)
    stage.at(0.7, (100, 1), cut=True)
    assert [(track.begin, track.end) for track in stage.all(1.0)] == [(0.0, 0.7), (0.7, 1.0)]


def test_a_face_that_turns_away_for_a_moment_is_one_track(stage: Stage) -> None:
    stage.at(0.0, (100, 1))
    stage.at(0.5)
    stage.at(1.0, (100, 1))
    assert [track.frames for track in stage.all(1.0)] == [2]


def test_a_face_that_stays_away_ends_when_it_was_last_seen(stage: Stage) -> None:
    stage.at(0.0, (100, 1))
    stage.at(0.5, (100, 1))
    stage.at(1.0)
    stage.at(0.5 + PATIENCE + 0.1)
    (track,) = stage.ended
    assert track.end == 0.5


def test_two_people_stay_two(stage: Stage) -> None:
    for step in range(4):
        stage.at(step * 0.5, (100, 1), (400, 2))
    assert [track.frames for track in stage.all(2.0)] == [4, 4]


def test_tracker_state_survives_a_checkpoint(stage: Stage) -> None:
    stage.at(0.0, (100, 1), (400, 2))
    again = Stage()
    again.tracker.tracks = TRACKS.validate_json(TRACKS.dump_json(stage.tracker.tracks))
    again.tracker.looked = stage.tracker.looked
    for one in (stage, again):
        one.at(0.5, (110, 1), (465, 2))
    ours, theirs = stage.all(1.0), again.all(1.0)
    assert TRACKS.dump_json(ours) == TRACKS.dump_json(theirs)


def test_a_face_on_every_frame_is_one_track_however_far_apart_the_frames_are(stage: Stage) -> None:
    for step in range(6):
        stage.at(step * 5.0, (100, 1), follows=step > 0)
    (track,) = stage.all(25.0)
    assert (track.begin, track.end, track.frames) == (0.0, 25.0, 6)


def test_a_track_ends_when_the_next_frame_was_shown_without_the_face(stage: Stage) -> None:
    stage.at(0.0, (100, 1))
    stage.at(5.0, (100, 1), follows=True)
    stage.at(10.0, (400, 2), follows=True)
    stage.at(15.0, (400, 2), follows=True)
    tracks = stage.all(15.0)
    assert [(track.begin, track.end) for track in tracks] == [(0.0, 10.0), (10.0, 15.0)]


def test_frames_passed_over_leave_the_end_to_the_last_look(stage: Stage) -> None:
    stage.at(0.0, (100, 1))
    stage.at(5.0, (400, 2))
    stage.at(10.0, (400, 2))
    first, second = stage.all(10.0)
    assert (first.end, second.begin) == (0.0, 2.5)
