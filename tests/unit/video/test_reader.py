"""Whatever a camera, a telephone or an editor writes comes out upright and in time."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facerec_tasks.recognition.rejection import Rejected
from facerec_tasks.video.limits import VideoLimits
from facerec_tasks.video.reader import DecoderCrashed, VideoReader
from facerec_tasks.video.sampling import EVERY_FRAME
from local.samples.videos import Coding, Shot, pictures, write

from .conftest import SHOTS, SMALL, frames_of

CODINGS = {
    "hevc.mkv": Coding(codec="libx265"),
    "vp8.webm": Coding(codec="libvpx"),
    "mpeg4.avi": Coding(codec="mpeg4"),
    "mjpeg.mov": Coding(codec="mjpeg", pixels="yuvj420p"),
    "mpeg2.ts": Coding(codec="mpeg2video"),
    "mpeg1.mpg": Coding(codec="mpeg1video"),
    "h263.flv": Coding(codec="flv1"),
    "wmv2.wmv": Coding(codec="wmv2"),
    "h264.3gp": Coding(),
    "animated.gif": Coding(codec="gif", pixels="rgb8"),
}


def test_video_reader_reports_container_and_codec(clip: Path) -> None:
    with VideoReader(clip) as video:
        metadata = video.metadata
    assert (metadata.container, metadata.codec) == ("video/mp4", "h264")
    assert (metadata.width, metadata.height, metadata.rotation) == (320, 180, 0)
    assert metadata.seconds == pytest.approx(3.0, abs=0.05)
    assert metadata.frame_rate == 25
    assert metadata.size == clip.stat().st_size


def test_every_frame_comes_when_every_frame_is_wanted(clip: Path) -> None:
    frames = frames_of(clip, EVERY_FRAME)
    assert [frame.number for frame in frames] == list(range(75))
    assert np.allclose([frame.time for frame in frames], np.arange(75) / 25, atol=1e-3)


def test_the_pixels_are_those_that_were_coded(clip: Path) -> None:
    first = frames_of(clip)[0].rgb
    wanted = np.asarray(next(pictures(SHOTS, SMALL)))
    assert first.shape == wanted.shape
    assert np.abs(first.astype(int) - wanted).mean() < 6


def test_scenes_begin_where_they_were_cut(clip: Path) -> None:
    with VideoReader(clip) as video:
        frames = list(video)
    assert [frame.time for frame in frames if frame.cut] == pytest.approx([0.0, 1.2, 2.4])
    assert len(frames) <= 10, "a few frames a second are enough"
    assert video.end is not None
    assert (video.end.frames, video.end.complete) == (75, True)


@pytest.mark.parametrize("name", CODINGS)
def test_containers_and_codecs(name: str, tmp_path: Path) -> None:
    coding = replace(CODINGS[name], width=352, height=288)
    film = write(tmp_path / name, [Shot(("Grace_Hopper",), 0.4), Shot((), 0.4)], coding)
    frames = frames_of(film)
    assert frames[0].rgb.shape == (288, 352, 3)
    assert [round(frame.time, 1) for frame in frames if frame.cut] == [0.0, 0.4]


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_telephone_held_any_way_gives_upright_pictures(rotation: int, tmp_path: Path) -> None:
    coding = Coding(width=320, height=192, rotation=rotation)
    shots = [Shot(("Grace_Hopper",), 0.2)]
    film = write(tmp_path / "held.mp4", shots, coding)
    with VideoReader(film) as video:
        frame = next(iter(video))
        metadata = video.metadata
    wanted = np.asarray(
        next(
            pictures(
                shots,
                replace(coding, rotation=0) if rotation == 180 else Coding(width=192, height=320),
            )
        )
    )
    assert frame.rgb.shape == wanted.shape == (metadata.height, metadata.width, 3)
    assert np.abs(frame.rgb.astype(int) - wanted).mean() < 8
    assert metadata.rotation == -rotation % 360


def test_frames_of_uneven_length_keep_their_times(tmp_path: Path) -> None:
    coding = replace(SMALL, variable=True)
    times = [f.time for f in frames_of(write(tmp_path / "v.mkv", SHOTS[:1], coding), EVERY_FRAME)]
    assert np.allclose(times, [n / 25 + n % 3 * 0.009 for n in range(30)], atol=2e-3)


def test_a_recording_that_begins_inside_a_packet(tmp_path: Path) -> None:
    coding = replace(SMALL, codec="mpeg2video")
    whole = write(tmp_path / "whole.ts", [Shot(("Grace_Hopper",), 2.0)], coding)
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[188 * 4 + 100 :])
    assert len(frames_of(cut)) >= 2


def test_a_frame_says_whether_the_one_before_was_shown_until_it(tmp_path: Path) -> None:
    slow = write(tmp_path / "slow.mp4", [Shot(("Grace_Hopper",), 4.0)], replace(SMALL, rate=1))
    assert [frame.follows for frame in frames_of(slow)] == [False, True, True, True]
    quick = write(tmp_path / "quick.mp4", [Shot(("Grace_Hopper",), 2.0)], SMALL)
    assert not any(frame.follows for frame in frames_of(quick))


def test_a_4k_video_keeps_its_pixels_unless_less_is_wanted(tmp_path: Path) -> None:
    coding = Coding(width=3840, height=2160, rate=5)
    film = write(tmp_path / "4k.mp4", [Shot(("Grace_Hopper",), 0.6)], coding)
    with VideoReader(film, limits=VideoLimits(longest_side=1280)) as video:
        assert next(iter(video)).rgb.shape == (720, 1280, 3)
    with VideoReader(film) as video:
        assert next(iter(video)).rgb.shape == (2160, 3840, 3)
        assert (video.metadata.width, video.metadata.height) == (3840, 2160)


def test_video_reader_resumes_at_a_position(clip: Path) -> None:
    whole = frames_of(clip)
    for stop in (0, 2, len(whole) - 2):
        with VideoReader(clip, after=whole[stop].position) as video:
            rest = list(video)
        assert [frame.time for frame in rest] == [frame.time for frame in whole[stop + 1 :]]
        assert all(
            np.array_equal(one.rgb, other.rgb) and one.cut == other.cut
            for one, other in zip(rest, whole[stop + 1 :], strict=True)
        )


def test_many_frames_take_no_more_memory_than_few(tmp_path: Path) -> None:
    """Each frame once left threads behind, until the system refused one."""
    film = write(tmp_path / "many.mp4", [Shot((), 150.0)], Coding(64, 48, 10, "mpeg4"))
    with VideoReader(film, EVERY_FRAME, VideoLimits(memory=512 * 1024**2)) as video:
        assert sum(1 for _ in video) == 1500
    with VideoReader(film, limits=VideoLimits(memory=512 * 1024**2)) as video:
        assert sum(1 for _ in video) == 301
    assert video.end is not None
    assert (video.end.frames, video.end.complete) == (1500, True)


def test_killed_decoder_is_no_fault_of_the_video(clip: Path) -> None:
    with VideoReader(clip, EVERY_FRAME) as video:
        frames = iter(video)
        next(frames)
        os.kill(video.decoder_pid, signal.SIGKILL)
        with pytest.raises(DecoderCrashed):
            list(frames)


def test_a_decoder_that_crashed_is_the_videos_fault(clip: Path) -> None:
    with VideoReader(clip, EVERY_FRAME) as video:
        os.kill(video.decoder_pid, signal.SIGSEGV)
        with pytest.raises(Rejected, match="crashed-decoder"):
            list(video)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_decoder_ends_with_its_reader(clip: Path, eventually: Callable[..., None]) -> None:
    with VideoReader(clip, EVERY_FRAME) as video:
        closed = video.decoder_pid
    assert not is_alive(closed)

    code = "; ".join(
        (
            "import sys, time; from pathlib import Path",
            "from facerec_tasks.video.reader import VideoReader",
            "video = VideoReader(Path(sys.argv[1])); print(video.decoder_pid, flush=True)",
            "time.sleep(60)",
        )
    )
    command = [sys.executable, "-c", code, str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout
        orphan = int(reader.stdout.readline())
        assert is_alive(orphan)
        reader.kill()
    eventually(lambda: not is_alive(orphan))


FORBIDDEN = {
    "a file": "open('/etc/hostname')",
    "a socket": "import socket; socket.socket()",
    "a process": "import os; os.pipe()",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_decoder_process_is_confined(what: str) -> None:
    code = f"""
import socket
from facerec_tasks.video import decoder
from facerec_tasks.video.limits import VideoLimits
decoder.confine(VideoLimits())
try:
    {FORBIDDEN[what]}
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == errno.EMFILE


def test_the_decoder_knows_no_secret(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with VideoReader(clip) as video:
        environment = Path(f"/proc/{video.decoder_pid}/environ").read_bytes()
    assert b"PYTHONPATH" in environment
    assert b"secret" not in environment
