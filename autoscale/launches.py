"""Launches that are never doubled: the intent with its token is written before EC2 is asked.

When the answer is lost, or the controller dies, the launch stays open: the same controller or its
successor looks for machines with its token, and asks again under the same token only while they are
still wanted. EC2 answers a token it knows with what it launched for it:
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
"""

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self

from autoscale.fleet import CALL_FAILED, Fleet, NoCapacity
from autoscale.model import Machine
from autoscale.sightings import SETTLED
from autoscale.state import State
from facerec_tasks.errors import Unavailable

logger = logging.getLogger(__name__)

NAME = "intent.json"


@dataclass(frozen=True)
class Intent:
    """One launch: what is asked for, and what came of it."""

    token: str
    count: int
    asked_at: float
    """When EC2 was last asked, or was about to be."""
    ids: tuple[str, ...] | None = None
    """The machines; none while it is not known whether there are any."""

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self | None:
        """None for what no controller of ours has written."""
        try:
            fields = json.loads(data)
            ids = fields.get("ids")
            return cls(**{**fields, "ids": None if ids is None else tuple(ids)})
        except (ValueError, TypeError, AttributeError):
            return None


class Launches:
    """The one way new machines come to be."""

    def __init__(self, fleet: Fleet, state: State) -> None:
        self._fleet, self._state = fleet, state
        self._open: Intent | None = None
        self._room: int | None = None
        """The most that is asked for at once since EC2 had no room for more."""

    @property
    def open(self) -> Intent | None:
        """The launch whose outcome is not known."""
        return self._open

    def recover(self, now: float) -> Intent | None:
        """The last launch, whoever asked for it; it is open again when its outcome is not known.

        One that succeeded so long ago that every listing shows it is none of our business.
        Raises :class:`facerec_tasks.errors.AwsError`.
        """
        found = self._state.find(NAME)
        intent = Intent.from_json(found.data) if found else None
        if intent is None or now - intent.asked_at > SETTLED:
            return None
        if intent.ids is None:
            logger.info("launch %s of %d is open", intent.token, intent.count)
            self._open = intent
        return intent

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
        count = min(count, self._room or count)
        intent = self._open or Intent(uuid.uuid4().hex, count, now)
        intent = replace(intent, asked_at=now)
        self._state.put(NAME, intent.to_json())
        self._open = intent
        try:
            ids = self._fleet.launch(intent.count, intent.token)
        except Unavailable:
            raise
        except NoCapacity:
            self._open, self._room = None, max(1, intent.count // 2)
            raise
        except Exception:
            self._open = None  # refused: there is nothing to look for
            raise
        self._open = None
        self._room = 2 * self._room if self._room else None
        self._close(replace(intent, ids=tuple(ids)))
        return intent.token, ids

    def _close(self, intent: Intent) -> None:
        try:
            self._state.put(NAME, intent.to_json())
        except CALL_FAILED as error:
            logger.info("the launch stands as open, its machines tell better: %s", error)
