"""The decoder's process: a hostile file in, records out. Nobody else imports this module.

Before the first byte of the file is read the process gives up everything it could do harm with:
it has no environment, cannot open another file or a socket, cannot write a file, and has bounded
memory and time. FFmpeg gets one reader by name, never a path or an address.
"""

import math
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import av
import av.subtitles.codeccontext
import av.subtitles.stream  # PyAV would import it later, when no file may be opened any more
import av.subtitles.subtitle
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from facerec_tasks.recognition.rejection import Rejected, RejectionCode
from facerec_tasks.video.decoder_protocol import (
    CUT,
    FOLLOWS,
    FRAME,
    HEAD,
    DecodeJob,
    RecordKind,
    pack,
)
from facerec_tasks.video.limits import VideoLimits
from facerec_tasks.video.sampling import FrameSampler
from facerec_tasks.video.upright import (
    display_matrix,
    display_size,
    is_sideways,
    thumbnail,
    upright,
)

CODECS = frozenset(
    {
        *("h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "libvpx", "libvpx-vp9", "theora"),
        *("mpeg1video", "mpeg2video", "mpeg4", "h263", "msmpeg4", "msmpeg4v2", "msmpeg4v1"),
        *("wmv1", "wmv2", "wmv3", "vc1", "flv", "vp6", "vp6f", "svq1", "svq3", "cinepak"),
        *("mjpeg", "mjpegb", "prores", "dnxhd", "dvvideo", "qtrle", "huffyuv", "ffv1"),
        *("rawvideo", "gif", "png"),
    }
)
"""FFmpeg's decoders we let untrusted bytes near: what cameras, phones and editors write."""
TICK = 1.0
"""Seconds between two signs of life."""
WARM_UP = 1.0
"""Seconds of video decoded before the place to go on from, so that cuts are seen alike."""
PLAUSIBLE = 4000
"""Bits a second below which a claimed duration is a lie of the header, not a long video."""
BUFFER = 1 << 20
DAMAGED_IN_A_ROW = 1000
"""Packets in a row that cannot be decoded before the rest is given up."""


def main(text: str) -> None:
    """Decodes, writing records to standard output; ends when standard input is closed."""
    job = DecodeJob.from_json(text)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    confine(job.limits)
    out = _RecordWriter()
    try:
        _DecodeRun(job, out).run()
    except Rejected as rejected:
        out.reject(rejected)
    except (MemoryError, av.error.MemoryError):
        message = "The video takes too much memory to decode, or has too many streams."
        out.reject(Rejected(RejectionCode.TOO_COSTLY, message))
    except BlockingIOError:  # the system refuses a thread or a process: no fault of the video
        os._exit(os.EX_TEMPFAIL)
    except Exception:  # noqa: BLE001 - damaged files make decoders raise anything
        out.reject(_broken())
    os._exit(0)  # FFmpeg's own end of a damaged file is one more chance to crash


def _end_with_parent() -> None:
    """The pipe of standard input closes when the one who reads is gone, however it ended."""
    while os.read(0, 1):
        pass
    os._exit(0)


def confine(limits: VideoLimits) -> None:
    av.logging.set_level(None)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # what is open stays open


class _RecordWriter:
    """Standard output, and when it last was told something."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def send(self, kind: RecordKind, value: dict[str, Any]) -> None:
        self._write(pack(kind, value))

    def reject(self, rejected: Rejected) -> None:
        self.send(RecordKind.REJECTED, {"code": str(rejected.code), "message": rejected.message})

    def frame(self, seconds: float, number: int, flags: int, rgb: NDArray[np.uint8]) -> None:
        rows, columns = rgb.shape[:2]
        length = FRAME.size + rgb.nbytes
        head = HEAD.pack(RecordKind.FRAME.value, length)
        self._write(head + FRAME.pack(seconds, number, columns, rows, flags))
        self._write(rgb.reshape(-1).data)

    def tick(self, seconds: float) -> None:
        if time.monotonic() - self._told >= TICK:
            self.send(RecordKind.TICK, {"time": seconds})

    def _write(self, data: bytes | memoryview) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(1, left) :]
        except BrokenPipeError:
            os._exit(0)
        self._told = time.monotonic()


class _DecodeRun:
    """One run over one file."""

    def __init__(self, job: DecodeJob, out: _RecordWriter) -> None:
        self._job, self._out = job, out
        self._longest_side = job.limits.longest_side if job.sampling.shrunk else None
        self._damaged = 0
        self._complete = True

    def run(self) -> None:
        with _opened(self._job) as container:
            stream = _video_stream(container, self._job)
            self._hand_out(container, stream)

    def _hand_out(self, container: InputContainer, stream: VideoStream) -> None:
        sampler = FrameSampler(self._job.sampling, self._job.after)
        number, seconds, before = 0, 0.0, None
        handed_out = self._job.after.time if self._job.after else None
        for number, (seconds, frame) in enumerate(self._timed(container, stream), start=1):
            if number == 1:
                self._out.send(RecordKind.METADATA, _facts(container, stream, frame, self._job))
            if number > self._job.limits.max_frames:
                raise Rejected(RejectionCode.TOO_COSTLY, "The video has too many pictures.")
            if seconds > self._job.limits.max_seconds:
                raise _too_long(self._job.limits)
            small = thumbnail(frame) if sampler.wants_thumbnails else None
            wanted, cut = sampler.select(seconds, small)
            if wanted:
                follows = before is not None and before == handed_out
                flags = CUT * cut | FOLLOWS * follows
                rgb = upright(frame, stream, self._longest_side)
                self._out.frame(seconds, number - 1, flags, rgb)
                handed_out = seconds
            else:
                self._out.tick(seconds)
            before = seconds
        if number == 0:
            raise Rejected(RejectionCode.NO_FRAMES, "No picture of the video can be decoded.")
        complete = self._complete and not self._damaged
        self._out.send(RecordKind.END, {"frames": number, "time": seconds, "complete": complete})

    def _timed(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[tuple[float, VideoFrame]]:
        """Frames with their seconds since the first, which never go back."""
        base: int | None = stream.start_time
        step = 1 / float(stream.average_rate or 25)
        if self._job.after is not None:
            _seek(container, stream, self._job.after.time)
        latest = -step
        for frame in self._frames(container, stream):
            stamp = frame.pts if frame.pts is not None else frame.dts
            if stamp is None or not stream.time_base:
                seconds = latest + step
            else:
                base = stamp if base is None else base
                seconds = max(0.0, float((stamp - base) * stream.time_base))
            if seconds >= latest:
                latest = seconds
                yield round(latest, 6), frame

    def _frames(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        in_a_row = 0
        for packet in self._packets(container, stream):
            try:
                decoded = packet.decode()
            except (av.error.MemoryError, av.error.EOFError):
                raise
            except av.error.FFmpegError:
                self._damaged += 1
                in_a_row += 1
                if in_a_row > DAMAGED_IN_A_ROW:
                    return
                continue
            in_a_row = 0
            yield from (frame for frame in decoded if self._is_sensible(frame))

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Any]:
        try:
            yield from container.demux(stream)
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError:
            self._complete = False  # cut short: what came before counts
            yield _Last(stream)

    def _is_sensible(self, frame: Any) -> bool:
        """A stream may change its size on the way."""
        return (
            isinstance(frame, VideoFrame)
            and frame.width * frame.height <= self._job.limits.max_pixels
        )


class _Last:
    """A packet with the frames a decoder still holds when its file ends too early."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream

    def decode(self) -> list[Any]:
        return list(self._stream.codec_context.decode(None))


def _opened(job: DecodeJob) -> InputContainer:
    file = os.fdopen(job.fd, "rb", buffering=0)
    options = {
        "protocol_whitelist": "none",
        "format_whitelist": job.demuxer,
        "max_streams": str(job.limits.max_streams),
        "enable_drefs": "0",
    }
    try:
        return av.open(
            file,
            "r",
            format=job.demuxer,
            options=options,
            buffer_size=BUFFER,
            metadata_errors="ignore",
        )
    except av.error.MemoryError:
        raise
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        raise _unreadable(job, error) from error


def _unreadable(job: DecodeJob, error: Exception) -> Rejected:
    if isinstance(error, EOFError) or (job.demuxer == "mov" and _cut_short(job)):
        return Rejected(RejectionCode.TRUNCATED_VIDEO, "The video is cut short: send all of it.")
    return _broken()


def _broken() -> Rejected:
    return Rejected(RejectionCode.BROKEN_VIDEO, "The video is damaged or of an unusual kind.")


def _cut_short(job: DecodeJob) -> bool:
    """Whether the last box of an MP4 reaches beyond the file."""
    at = 0
    for _ in range(64):
        head = os.pread(job.fd, 16, at)
        if len(head) < 8:
            return len(head) > 0
        length = int.from_bytes(head[:4])
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:16])
        if length < 8:
            return False
        at += length
        if at >= job.size:
            return at > job.size
    return False


def _video_stream(container: InputContainer, job: DecodeJob) -> VideoStream:
    """The largest stream of moving pictures, made ready."""
    moving = [s for s in container.streams.video if not _is_cover(s)]
    if not moving:
        raise Rejected(RejectionCode.NO_VIDEO_STREAM, "There is no moving picture in the file.")
    stream = max(moving, key=lambda s: (_pixels(s), -s.index))
    context = stream.codec_context
    if context is None or context.codec.name not in CODECS:
        name = context.codec.name if context is not None else "of an unknown kind"
        raise Rejected(RejectionCode.UNSUPPORTED_CODEC, f"Videos coded as {name} are not read.")
    if _pixels(stream) > job.limits.max_pixels:
        raise Rejected(
            RejectionCode.TOO_MANY_PIXELS,
            f"{context.width} x {context.height} pixels are too many.",
        )
    context.thread_count = 1
    context.options = {"max_pixels": str(job.limits.max_pixels)}
    return stream


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _pixels(stream: VideoStream) -> int:
    context = stream.codec_context
    return int(context.width or 0) * int(context.height or 0) if context is not None else 0


def _facts(
    container: InputContainer, stream: VideoStream, first: VideoFrame, job: DecodeJob
) -> dict[str, Any]:
    seconds = _claimed_seconds(container, stream)
    if seconds is not None and seconds > job.limits.max_seconds:
        if job.size * 8 / seconds >= PLAUSIBLE:
            raise _too_long(job.limits)
        seconds = None
    width, height = display_size(first, stream)
    a, b, _, _ = matrix = display_matrix(first)
    if is_sideways(matrix):
        width, height = height, width
    rate = stream.average_rate
    return {
        "codec": stream.codec_context.codec.canonical_name,
        "seconds": seconds,
        "width": round(width),
        "height": round(height),
        "rotation": round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360,
        "frame_rate": round(float(rate), 3) if rate else None,
    }


def _claimed_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _too_long(limits: VideoLimits) -> Rejected:
    minutes = round(limits.max_seconds / 60)
    return Rejected(RejectionCode.TOO_LONG, f"The video is longer than {minutes} minutes.")


def _seek(container: InputContainer, stream: VideoStream, start: float) -> None:
    """Before that place; where a container cannot be sought in, decoding begins at its start."""
    if not stream.time_base:
        return
    stamp = int(max(0.0, start - WARM_UP) / stream.time_base) + (stream.start_time or 0)
    with suppress(av.error.FFmpegError):
        container.seek(stamp, stream=stream, backward=True)


if __name__ == "__main__":
    main(sys.argv[1])
