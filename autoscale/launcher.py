"""Launches that are never doubled, starts never forgotten: written down before EC2 is asked.

When the answer to a launch is lost, or the controller dies, the launch stays open: the same
controller or its successor looks for machines with its token, and asks again under the same token
only while they are still wanted. EC2 answers a token it knows with what it launched for it:
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
What was asked for so lately that a listing may not show it yet is kept for a successor as well.
"""

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Self

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from autoscale.ec2_errors import AWS_CALL_ERRORS, InsufficientCapacity
from autoscale.fleet import Fleet
from autoscale.model import Machine
from autoscale.reconciler import SETTLED
from autoscale.state import StateStore
from facerec_tasks.errors import Unavailable

logger = logging.getLogger(__name__)

NAME = "intent.json"
PART = 100
"""Machines that are asked for in one call; the next step asks for more."""


@dataclass(frozen=True)
class LaunchIntent:
    """One launch: what is asked for, and what came of it."""

    token: str
    count: int
    asked_at: float
    """When EC2 was last asked, or was about to be."""
    ids: tuple[str, ...] | None = None
    """The machines; none while it is not known whether there are any."""


@dataclass(frozen=True)
class IntentLog:
    """What was asked of EC2 lately, oldest first."""

    launches: tuple[LaunchIntent, ...] = ()
    starts: tuple[tuple[str, float], ...] = ()
    """(machine, when) of the stopped machines that were to start."""

    def recent(self, now: float) -> Self:
        """Without what every listing shows by now."""
        return replace(
            self,
            launches=tuple(i for i in self.launches if now - i.asked_at <= SETTLED),
            starts=tuple(s for s in self.starts if now - s[1] <= SETTLED),
        )

    def with_launch(self, intent: LaunchIntent) -> Self:
        """With this launch in the place of what was known of it."""
        others = tuple(i for i in self.launches if i.token != intent.token)
        return replace(self, launches=(*others, intent))

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Nothing, for what no controller of ours has written."""
        try:
            return _intents.validate_json(data)  # type: ignore[return-value]
        except ValueError:
            logger.warning("what was asked of EC2 last cannot be read")
            return cls()


_intents = TypeAdapter(IntentLog)


class Launcher:
    """The one way more machines come to run."""

    def __init__(self, fleet: Fleet, state: StateStore) -> None:
        self._fleet, self._state = fleet, state
        self._asked = IntentLog()
        self._open: LaunchIntent | None = None
        self._room: int | None = None
        """The most that is asked for at once since EC2 had no room for more."""

    @property
    def open(self) -> LaunchIntent | None:
        """The launch whose outcome is not known."""
        return self._open

    def recover(self, now: float) -> IntentLog:
        """What was asked for lately, whoever asked; a launch without an outcome is open again.

        Raises :class:`facerec_tasks.errors.AwsError`.
        """
        found = self._state.find(NAME)
        self._asked = IntentLog.from_json(found.data).recent(now) if found else IntentLog()
        unknown = [i for i in self._asked.launches if i.ids is None]
        self._open = unknown[-1] if unknown else None
        if self._open:
            logger.info("launch %s of %d is open", self._open.token, self._open.count)
        return self._asked

    def confirm(self, machines: Sequence[Machine], *, wanted: bool, now: float) -> None:
        """Closes the open launch when its machines are listed, or when it is not wanted any more
        and every listing would show them."""
        if self._open is None:
            return
        seen = any(m.token == self._open.token for m in machines)
        if seen or (not wanted and now - self._open.asked_at > SETTLED):
            self._open = None

    def launch(self, count: int, now: float) -> tuple[str, list[str]]:
        """(token, ids) of a new launch, or of the open one asked for again.

        Raises :class:`Unavailable` when its outcome is not known and it stays open, and what
        :meth:`Fleet.launch` raises when EC2 has refused. After a refusal for lack of room half as
        many are asked for, until there is room again.
        """
        count = min(count, self._room or count, PART)
        intent = self._open or LaunchIntent(uuid.uuid4().hex, count, now)
        intent = replace(intent, asked_at=now)
        self._write(self._asked.recent(now).with_launch(intent))
        self._open = intent
        try:
            ids = self._fleet.launch(intent.count, intent.token)
        except Unavailable:
            raise
        except Exception as error:
            self._open = None  # refused: there is nothing to look for
            if isinstance(error, InsufficientCapacity):
                self._room = intent.count if error.other_offers else max(1, intent.count // 2)
            self._close(replace(intent, ids=()))
            raise
        self._open = None
        self._room = 2 * self._room if self._room else None
        self._close(replace(intent, ids=tuple(ids)))
        return intent.token, ids

    def start(self, ids: Sequence[str], now: float) -> list[str]:
        """Starts stopped machines; the ids EC2 accepted. Raises what :meth:`Fleet.start` raises."""
        recent = self._asked.recent(now)
        others = tuple(s for s in recent.starts if s[0] not in ids)
        self._write(replace(recent, starts=(*others, *((i, now) for i in ids))))
        return self._fleet.start(ids)

    def _write(self, asked: IntentLog) -> None:
        self._state.put(NAME, asked.to_json())
        self._asked = asked

    def _close(self, intent: LaunchIntent) -> None:
        try:
            self._write(self._asked.with_launch(intent))
        except AWS_CALL_ERRORS as error:
            logger.info("the launch stands as open, its machines tell better: %s", error)
