"""Any file: a typed rejection or a right answer, within memory and time."""

import random
import struct
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facerec_tasks.recognition.rejection import Rejected, RejectionCode
from facerec_tasks.video.limits import VideoLimits
from facerec_tasks.video.reader import VideoReader
from facerec_tasks.video.sampling import Sampling

from .conftest import frames_of


def refusal(path: Path, limits: VideoLimits | None = None) -> RejectionCode:
    with (
        pytest.raises(Rejected) as found,
        VideoReader(path, limits=limits or VideoLimits()) as video,
    ):
        list(video)
    assert found.value.message.endswith(".")
    return found.value.code


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


PLAYLISTS = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "text": b"hello, world\n" * 100,
    "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\nhello\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_what_would_make_ffmpeg_read_other_files_is_no_video(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"{kind}.mp4", PLAYLISTS[kind])
    assert refusal(path) is RejectionCode.NOT_A_VIDEO


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_hostile_playlist_opens_no_other_file(kind: str, tmp_path: Path) -> None:
    for magic in (b"FLV\x01", b"OggS", b"\x1a\x45\xdf\xa3", b"\0\0\0\x08free"):
        path = written(tmp_path / "dressed.mp4", magic + PLAYLISTS[kind])
        assert refusal(path) in (RejectionCode.BROKEN_VIDEO, RejectionCode.TRUNCATED_VIDEO)


def test_hostile_empty_file_is_refused(tmp_path: Path) -> None:
    assert refusal(written(tmp_path / "empty.mp4", b"")) is RejectionCode.EMPTY


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    assert refusal(path) is RejectionCode.NO_VIDEO_STREAM


def test_a_sound_file_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    assert refusal(path) is RejectionCode.NOT_A_VIDEO


@pytest.mark.parametrize("name", ["none.mp4", "none.avi", "none.mkv"])
def test_a_video_without_one_frame(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        container.start_encoding()
    nothing = {
        RejectionCode.NO_FRAMES,
        RejectionCode.NO_VIDEO_STREAM,
        RejectionCode.TRUNCATED_VIDEO,
    }
    assert refusal(path) in nothing


def test_hostile_truncated_mp4_is_reported(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    assert data.find(b"moov") > len(data) // 2, "the index comes last, as most cameras write it"
    assert (
        refusal(written(tmp_path / "cut.mp4", data[: len(data) // 2]))
        is RejectionCode.TRUNCATED_VIDEO
    )


@pytest.mark.parametrize("name", ["cut.mkv", "cut.ts"])
def test_what_is_there_of_a_video_cut_short_is_seen(name: str, clip: Path, tmp_path: Path) -> None:
    data = remuxed(clip, tmp_path / f"whole-{name}").read_bytes()
    with VideoReader(written(tmp_path / name, data[: len(data) // 2])) as video:
        frames = list(video)
    assert 1 <= len(frames) < len(frames_of(clip))


def remuxed(clip: Path, path: Path) -> Path:
    """The same coded pictures in another container."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


def test_a_header_that_claims_ten_hours_is_not_believed(clip: Path, tmp_path: Path) -> None:
    data = bytearray(remuxed(clip, tmp_path / "clip.mkv").read_bytes())
    at = data.find(b"\x44\x89\x88") + 3  # the Duration element, in milliseconds
    struct.pack_into(">d", data, at, 36_000_000.0)
    with VideoReader(written(tmp_path / "lie.mkv", bytes(data))) as video:
        assert video.metadata.seconds is None
        assert len(list(video)) == len(frames_of(clip))


def test_a_header_that_claims_ten_hours_and_may_be_right_is_too_long(
    clip: Path, tmp_path: Path
) -> None:
    path = remuxed(clip, tmp_path / "clip.mkv")
    assert refusal(path, VideoLimits(max_seconds=2.9)) is RejectionCode.TOO_LONG


def test_a_video_longer_than_allowed(clip: Path) -> None:
    assert refusal(clip, VideoLimits(max_seconds=2.0)) is RejectionCode.TOO_LONG


def test_more_frames_than_any_camera_takes(clip: Path) -> None:
    assert refusal(clip, VideoLimits(max_frames=74)) is RejectionCode.TOO_COSTLY


def test_more_bytes_than_allowed(clip: Path) -> None:
    assert refusal(clip, VideoLimits(max_bytes=100)) is RejectionCode.TOO_LARGE


def test_huge_pictures_are_refused_by_their_header(clip: Path) -> None:
    assert refusal(clip, VideoLimits(max_pixels=320 * 179)) is RejectionCode.TOO_MANY_PIXELS


def test_a_decoder_that_wants_too_much_memory(clip: Path) -> None:
    assert refusal(clip, VideoLimits(memory=1)) is RejectionCode.TOO_COSTLY


def test_hostile_silent_decoder_is_killed(clip: Path) -> None:
    assert refusal(clip, VideoLimits(silence=0.001)) is RejectionCode.TOO_COSTLY


def test_thousands_of_streams(tmp_path: Path) -> None:
    path = tmp_path / "many.mp4"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=25) for _ in range(100)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for stream in streams:
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
            container.mux(stream.encode())
    assert refusal(path) is RejectionCode.TOO_COSTLY


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    where=st.sampled_from(["head", "body", "index"]),
    many=st.integers(1, 200),
)
def test_damaged_bytes_are_a_rejection_or_frames(
    clip: Path, tmp_path_factory: pytest.TempPathFactory, seed: int, where: str, many: int
) -> None:
    data = bytearray(clip.read_bytes())
    index = data.find(b"moov")
    first, last = {"head": (0, 64), "body": (64, index), "index": (index, len(data))}[where]
    dice = random.Random(seed)
    for _ in range(many):
        data[dice.randrange(first, last)] = dice.randrange(256)
    path = written(tmp_path_factory.mktemp("damaged") / "clip.mp4", bytes(data))
    try:
        frames = frames_of(path, Sampling(every=0.0))
    except Rejected:
        return
    assert all(0 <= frame.time <= 4 * 3600 for frame in frames)
