"""From this machine's journal to CloudWatch: ``python -m facerec_tasks.log_shipper``.

The lines of our units go into the log group ``FACEREC_LOG_GROUP``, into a stream with the name of
this machine, at least once: where to go on from is kept only when CloudWatch has the lines before
it. While it does not take them, nothing more is read and they wait in the journal: one batch and
what a pipe holds is all that is in memory.
"""

import json
import logging
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from facerec_tasks.atomic_file import write_atomically
from facerec_tasks.aws import client, translated
from facerec_tasks.errors import FacerecError, NotFound, Unavailable
from facerec_tasks.logs import configure
from facerec_tasks.settings import Settings, get_settings

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import InputLogEventTypeDef

UNITS = ("machine", "settings", "worker", "warm", "web", "controller", "flower", "journal",
         "probe")  # fmt: skip
"""By name and not ``facerec-*``: journalctl compares a pattern with what it finds when it starts,
and a unit that has said nothing until then would never be heard."""

MAX_EVENTS = 10_000
MAX_BYTES = 1_048_576
OVERHEAD = 26
"""Bytes that every event counts beside its text.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html"""
MAX_SPAN = 24 * 3600 * 1000
"""Milliseconds between the first and the last event of a batch."""
LONGEST = 256 * 1024
"""Bytes of one event. AWS takes more today; it took this for years."""
LONGEST_LINE = 4 * MAX_BYTES
"""Bytes of one line of journalctl; a longer one is left out, and that is said."""

LINGER = 1.0
"""Seconds the first line of a batch waits for others. Silence costs no call."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds without another try while CloudWatch takes nothing; each is twice the one before."""
GRACE = 15.0
"""Seconds to end in; ``TimeoutStopSec`` of the unit is above it."""
CHUNK = 64 * 1024

_CURSOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9=;_-]{0,511}")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogLine:
    """One line of the journal."""

    at: int
    """Milliseconds since 1970."""
    text: str
    cursor: str

    @property
    def size(self) -> int:
        """Bytes, as CloudWatch counts."""
        return len(self.text.encode()) + OVERHEAD


@dataclass
class LogBatch:
    """What one call may take."""

    entries: list[LogLine] = field(default_factory=list)
    size: int = 0
    _oldest: int = 0
    _newest: int = 0

    def add(self, entry: LogLine) -> bool:
        """False, and nothing is added, where the limits are reached."""
        oldest = min(self._oldest, entry.at) if self.entries else entry.at
        newest = max(self._newest, entry.at) if self.entries else entry.at
        fits = (
            len(self.entries) < MAX_EVENTS
            and self.size + entry.size <= MAX_BYTES
            and newest - oldest <= MAX_SPAN
        )
        if fits or not self.entries:
            self.entries.append(entry)
            self.size += entry.size
            self._oldest, self._newest = oldest, newest
            return True
        return False

    @property
    def events(self) -> "list[InputLogEventTypeDef]":
        """By time, which is not the journal's order when the clock was set."""
        ordered = sorted(self.entries, key=lambda entry: entry.at)
        return [{"timestamp": entry.at, "message": entry.text} for entry in ordered]


def entry(line: bytes) -> LogLine | None:
    """From a line of ``journalctl --output=json``; none for what is no entry."""
    try:
        fields = json.loads(line)
        cursor, at = fields["__CURSOR"], int(fields["__REALTIME_TIMESTAMP"]) // 1000
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(cursor, str) or not _CURSOR.fullmatch(cursor):
        return None
    # What systemd says about a unit has the unit's name in another field.
    unit = _text(fields.get("UNIT") or fields.get("_SYSTEMD_UNIT")).removesuffix(".service")
    message = _text(fields.get("MESSAGE"))
    text = _event(unit, message)
    if len(text.encode()) > LONGEST:  # a character takes six bytes at most, as \u001b does
        text = _event(unit[:256], message[: LONGEST // 6 - 512] + "…")
    return LogLine(at, text, cursor)


def _event(unit: str, message: str) -> str:
    return json.dumps({"unit": unit, "message": message}, ensure_ascii=False)


def _text(value: Any) -> str:
    """Of a field: text, bytes as numbers where they are no UTF-8, or a list of such."""
    if isinstance(value, list):
        if all(isinstance(one, int) and 0 <= one < 256 for one in value):
            return bytes(value).decode(errors="replace")
        value = " ".join(map(str, value))
    return str("" if value is None else value).encode(errors="replace").decode()


class Lines:
    """Whole lines of a pipe, never more of it in memory than the longest."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._rest = bytearray()
        self._skipping = False

    def read(self) -> Iterator[bytes] | None:
        """What one read gives, none at the end. Blocks where nothing is there."""
        chunk = os.read(self._pipe, CHUNK)
        return self._split(chunk) if chunk else None

    def _split(self, chunk: bytes) -> Iterator[bytes]:
        self._rest += chunk
        *whole, rest = self._rest.split(b"\n")
        self._rest = rest
        if whole and self._skipping:
            self._skipping = False
            del whole[0]
        if len(self._rest) > LONGEST_LINE:
            logger.warning("a line of more than %d bytes is left out", LONGEST_LINE)
            self._skipping = True
        if self._skipping:
            self._rest.clear()
        yield from (bytes(line) for line in whole)


class Cursor:
    """Where to go on from, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> str:
        """Empty for the beginning: there is none yet, or it is spoilt."""
        try:
            found = self._path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""
        return found if _CURSOR.fullmatch(found) else ""

    def save(self, cursor: str) -> None:
        """Whole or not at all; a full disk costs lines sent twice and no more."""
        try:
            write_atomically(self._path, cursor.encode("ascii"))
        except OSError as error:
            logger.warning("the place in the journal is not kept: %s", error)


class CloudWatch:
    """One stream of a group. The group is the stack's, the stream is made when there is need."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._group, self._stream = settings.log_group, settings.machine

    def put(self, batch: LogBatch) -> None:
        """Raises :class:`FacerecError` and botocore's errors; then nothing of it may be there."""
        try:
            with translated():
                self._put(batch)
        except NotFound:
            self._make_stream()
            with translated():
                self._put(batch)

    def _put(self, batch: LogBatch) -> None:
        logs = client(self._settings, "logs")
        try:
            done = logs.put_log_events(
                logGroupName=self._group, logStreamName=self._stream, logEvents=batch.events
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidParameterException":
                raise
            # It will never be taken, and everything behind it would wait for ever.
            logger.warning("%d lines are left out: %s", len(batch.entries), error)
            return
        if not done["ResponseMetadata"].get("RequestId"):
            raise Unavailable("an answer that is not of CloudWatch")  # parsed as an empty one
        if left_out := done.get("rejectedLogEventsInfo"):
            logger.warning("lines too old or of the future are left out: %s", left_out)

    def _make_stream(self) -> None:
        try:
            with translated():
                client(self._settings, "logs").create_log_stream(
                    logGroupName=self._group, logStreamName=self._stream
                )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise


class Shipper:
    """Reads, sends and waits, in one thread; :meth:`stop` is for a signal's handler."""

    def __init__(self, cloudwatch: CloudWatch, place: Cursor, woken: int) -> None:
        """``woken`` can be read once :meth:`stop` was called."""
        self._cloudwatch, self._place, self._woken = cloudwatch, place, woken
        self._read_to = place.load()
        self._batch = LogBatch()
        self._since = 0.0
        self._stopping = False
        self._journalctl: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        self._stopping = True
        if self._journalctl is not None:
            with suppress(OSError):
                self._journalctl.terminate()  # what it has written is read to the end

    def run(self) -> None:
        """Until :meth:`stop`."""
        pause = FIRST_PAUSE
        while not self._stopping:
            begun = self._read_to
            with subprocess.Popen(
                self._command("--follow", "--no-tail"), stdout=subprocess.PIPE
            ) as journalctl:
                self._journalctl = journalctl
                if self._stopping:
                    journalctl.terminate()
                self._follow(journalctl)
                with suppress(subprocess.TimeoutExpired):  # its own exit code, if it has one
                    journalctl.wait(1.0)
                journalctl.kill()
            if self._stopping:
                break
            if begun != self._read_to:
                pause = FIRST_PAUSE
            elif begun and journalctl.returncode == 1:
                self._read_to = ""  # it does not know this place; twice is better than never
            logger.warning(
                "journalctl ended with %s, again in %.0f s", journalctl.returncode, pause
            )
            self._wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._catch_up()
        self._send()

    def _catch_up(self) -> None:
        """The last words of units that were stopped with us: they came after the last look."""
        with subprocess.Popen(self._command(), stdout=subprocess.PIPE) as journalctl:
            self._journalctl = journalctl
            self._follow(journalctl)

    def _command(self, *more: str) -> Sequence[str]:
        return (
            "journalctl", "--all", "--quiet", "--output=json",
            "--output-fields=MESSAGE,UNIT,_SYSTEMD_UNIT",
            *(f"--unit=facerec-{name}.service" for name in UNITS),
            *([f"--after-cursor={self._read_to}"] if self._read_to else []), *more,
        )  # fmt: skip

    def _follow(self, journalctl: "subprocess.Popen[bytes]") -> None:
        """Until it ends, or nothing more can be held."""
        assert journalctl.stdout is not None
        pipe = journalctl.stdout.fileno()
        lines = Lines(pipe)
        while True:
            left = self._since + LINGER - time.monotonic() if self._batch.entries else None
            if left is not None and left <= 0 and not self._stopping:
                self._send()
                continue
            ready, _, _ = select.select([pipe], [], [], None if self._stopping else left)
            if ready:
                found = lines.read()
                if found is None:
                    return
                if not all(self._take(line) for line in found):
                    return

    def _take(self, line: bytes) -> bool:
        """False where we are to end and CloudWatch takes nothing: the journal keeps the line."""
        found = entry(line)
        if found is None:
            logger.warning("journalctl said what is no entry, %d bytes", len(line))
            return True
        if not self._batch.add(found):
            self._send()
            if not self._batch.add(found):
                return False
        self._read_to = found.cursor
        if len(self._batch.entries) == 1:
            self._since = time.monotonic()
        return True

    def _send(self) -> None:
        """Again and again, until it is taken or we end."""
        pause = FIRST_PAUSE
        while self._batch.entries:
            try:
                self._cloudwatch.put(self._batch)
            except (FacerecError, ClientError, BotoCoreError, ResponseParserError) as error:
                if self._stopping:
                    logger.warning("%d lines stay in the journal", len(self._batch.entries))
                    return
                logger.warning("CloudWatch takes nothing, again in %.0f s: %s", pause, error)
                self._wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self._place.save(self._batch.entries[-1].cursor)
                self._batch = LogBatch()

    def _wait(self, seconds: float) -> None:
        """Less where we are to end."""
        select.select([self._woken], [], [], seconds)


def main() -> None:
    configure("journal")
    settings = get_settings()
    if not settings.log_group:
        sys.exit("FACEREC_LOG_GROUP names no log group: nothing is shipped")
    woken, wake = os.pipe()
    place = Cursor(settings.state_dir / "cursor")
    shipper = Shipper(CloudWatch(settings), place, woken)

    def end(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, GRACE)
        os.write(wake, b"x")
        shipper.stop()

    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))  # lines that were not taken come again
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    shipper.run()


if __name__ == "__main__":
    main()
