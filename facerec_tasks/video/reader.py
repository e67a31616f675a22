"""A video file, read through a process of its own: what it is, and its frames upright in time.

::

    with VideoReader(path) as video:
        print(video.metadata)
        for frame in video:
            frame.time, frame.rgb

FFmpeg meets a hostile file in a process without rights (:mod:`facerec_tasks.video.decoder`). When
that process dies, stalls or grows, the video is rejected; whoever reads it lives on.
"""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.rejection import Rejected, RejectionCode
from facerec_tasks.video.container import NEEDED, Container, sniff
from facerec_tasks.video.decoder_protocol import (
    CUT,
    FOLLOWS,
    FRAME,
    HEAD,
    MAX_JSON,
    DecodeJob,
    RecordKind,
    unpack,
)
from facerec_tasks.video.limits import DEFAULT_VIDEO_LIMITS, VideoLimits
from facerec_tasks.video.sampling import FramePosition, Sampling

CRASH_SIGNALS = frozenset(
    (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP)
)
"""Signals that say: the file made the decoder do something impossible."""
PIPE = 1 << 20
"""Bytes between the two processes: half a frame, so that one decodes while the other looks."""


class DecoderCrashed(Exception):
    """Raised when the decoder's process was killed from outside or cannot be started: try again.

    A fault of the video itself is :class:`Rejected`.
    """


@dataclass(frozen=True)
class VideoMetadata:
    """What a video is, by its header and its first frame."""

    container: str
    """Media type, such as ``video/mp4``."""
    codec: str
    """FFmpeg's name, such as ``h264``."""
    seconds: float | None
    """Duration as claimed; none when the header says nothing, or nothing that can be true."""
    width: int
    height: int
    """Of the upright video, in square pixels."""
    rotation: int
    """Degrees clockwise by which the coded pictures are turned to be upright."""
    frame_rate: float | None
    """Frames a second on average, as claimed."""
    size: int
    """Bytes."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture."""

    number: int
    """Of the decoded ones since reading began."""
    time: float
    """Seconds since the video's first frame."""
    cut: bool
    """Whether a scene begins; the first frame does, too."""
    rgb: NDArray[np.uint8]
    """height x width x 3, upright, perhaps shrunk."""
    follows: bool = False
    """Whether the frame handed out before it was shown until this one: none was passed over."""

    @property
    def position(self) -> FramePosition:
        """From which another reading can go on."""
        return FramePosition(self.time, self.cut)


@dataclass(frozen=True)
class VideoEnd:
    """How it ended; known when all frames were read."""

    frames: int
    """Decoded, also those not handed out."""
    time: float
    """Of the last one, in seconds."""
    complete: bool
    """False: the file is cut short or damaged, and what could be read was."""


class VideoReader:
    """One reading of one file; a context manager and an iterator of :class:`Frame`, ascending.

    Opening and iterating raise :class:`Rejected` for what is wrong with the video and
    :class:`DecoderCrashed` for what is not its fault; :class:`OSError` when it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        sampling: Sampling | None = None,
        limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
        *,
        after: FramePosition | None = None,
    ) -> None:
        """``after``: go on behind the last frame an earlier reading handed out."""
        self._limits = limits
        self.end: VideoEnd | None = None
        """Once all frames were read."""
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            container = _judged(file, size, limits)
            sampling = sampling or Sampling()
            self._process = _started(
                DecodeJob(file.fileno(), container.demuxer, size, after, limits, sampling)
            )
        try:
            self.metadata = self._read_facts(container, size)
        except BaseException:
            self.close()
            raise

    @property
    def decoder_pid(self) -> int:
        """Of the decoder's process."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the decoder, whatever it is doing."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def __iter__(self) -> Iterator[Frame]:
        while self.end is None:
            kind, payload = self._record()
            if kind is RecordKind.FRAME:
                yield self._frame(payload)
            elif kind is RecordKind.END:
                self.end = _built(VideoEnd, unpack(payload))

    def _read_facts(self, container: Container, size: int) -> VideoMetadata:
        kind, payload = self._record()
        if kind is not RecordKind.METADATA:
            raise _crashed()
        return _built(
            VideoMetadata, unpack(payload) | {"container": container.media_type, "size": size}
        )

    def _frame(self, payload: bytearray) -> Frame:
        seconds, number, columns, rows, flags = FRAME.unpack_from(payload)
        if len(payload) != FRAME.size + rows * columns * 3 or not seconds >= 0:
            raise _crashed()
        rgb = np.frombuffer(payload, np.uint8, offset=FRAME.size).reshape(rows, columns, 3)
        return Frame(number, seconds, bool(flags & CUT), rgb, bool(flags & FOLLOWS))

    def _record(self) -> tuple[RecordKind, bytearray]:
        """The next record but for signs of life."""
        while True:
            code, length = HEAD.unpack(self._exactly(HEAD.size))
            try:
                kind = RecordKind(code)
            except ValueError:
                raise _crashed() from None
            if length > (self._most() if kind is RecordKind.FRAME else MAX_JSON):
                raise _crashed()
            payload = self._exactly(length)
            if kind is RecordKind.REJECTED:
                raise _rejection(payload)
            if kind is not RecordKind.TICK:
                return kind, payload

    def _most(self) -> int:
        return FRAME.size + 3 * max(self._limits.max_pixels * 4, self._limits.longest_side**2)

    def _exactly(self, length: int) -> bytearray:
        assert self._process.stdout is not None
        data = bytearray(length)
        view, pipe = memoryview(data), self._process.stdout.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        deadline = time.monotonic() + self._limits.silence
        while view:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise Rejected(RejectionCode.TOO_COSTLY, "The video takes too long to decode.")
            read = os.readv(pipe, [view])
            if read == 0:
                raise self._died()
            view = view[read:]
        return data

    def _died(self) -> Exception:
        """Why the decoder closed its pipe without a word."""
        try:
            status = self._process.wait(self._limits.silence)
        except subprocess.TimeoutExpired:
            return _crashed()
        if status == -signal.SIGXCPU:
            return Rejected(RejectionCode.TOO_COSTLY, "The video takes too long to decode.")
        if -status in CRASH_SIGNALS:
            return _crashed()
        return DecoderCrashed(f"the decoder ended with status {status}")


def _judged(file: FileIO, size: int, limits: VideoLimits) -> Container:
    if size == 0:
        raise Rejected(RejectionCode.EMPTY, "The file is empty.")
    if size > limits.max_bytes:
        raise Rejected(RejectionCode.TOO_LARGE, f"The file has more than {limits.max_bytes} bytes.")
    container = sniff(os.pread(file.fileno(), NEEDED, 0))
    if container is None:
        raise Rejected(RejectionCode.NOT_A_VIDEO, "The file is not a video.")
    return container


def _started(job: DecodeJob) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", "facerec_tasks.video.decoder", job.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            pass_fds=(job.fd,),
            bufsize=0,
            start_new_session=True,  # the terminal's Ctrl-C is its reader's to answer
        )
    except OSError as error:
        raise DecoderCrashed(f"no decoder can be started: {error}") from error
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, PIPE)
    return process


def _environment() -> dict[str, str]:
    """Where Python's modules are, and nothing else: no credentials."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


T = TypeVar("T")


def _built(kind: type[T], fields: dict[str, Any]) -> T:
    try:
        return kind(**fields)
    except TypeError as error:
        raise _crashed() from error


def _rejection(payload: bytearray) -> Rejected:
    try:
        said = unpack(payload)
        return Rejected(RejectionCode(said["code"]), str(said["message"]))
    except (ValueError, KeyError):
        return _crashed()


def _crashed() -> Rejected:
    return Rejected(RejectionCode.CRASHED_DECODER, "The decoder died of the video.")
