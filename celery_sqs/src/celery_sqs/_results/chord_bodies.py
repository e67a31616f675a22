"""Which copy of a chord's body runs, when it may have been sent more than once.

Whoever sends the body may die, or be frozen, between sending it and saying so; the next holder of a
claim sends a copy then. Each copy carries the number of its claim, and the store decides once and
for all whether it counts: it does when it begins to run, or when its sender says that SQS has it,
unless the holder of a later claim has revoked it before. So one copy runs, and when its worker dies
it is that one that SQS delivers again.

A body that is a group is several messages, of which a dead sender may have sent a part: its copies
carry no number, and all run.
"""

from collections.abc import Mapping
from typing import Any

from celery.canvas import _chain, chord, group, maybe_signature
from celery.utils.log import get_logger

from celery_sqs._stores.driver import Driver

logger = get_logger(__name__)

HEADER = "celery-sqs-body-of"
COUNTS, REVOKED = "counts", "revoked"


def number_copy(body: Any, group_id: str, claim: int) -> None:
    """Writes into a body's first task which copy it is."""
    while isinstance(body, _chain):
        body.tasks[0] = body = maybe_signature(body.tasks[0], app=body.app)
    if not isinstance(body, group | chord):
        headers = body.options.get("headers") or {}
        body.options["headers"] = {**headers, HEADER: [group_id, claim]}


def copy_counts(driver: Driver, group_id: str, claim: int) -> bool:
    """Decides that it does, unless it was revoked."""
    return driver.decide(group_id, _question(claim), COUNTS) == COUNTS


def revoke_copies(driver: Driver, group_id: str, claim: int) -> bool:
    """Revokes the copies of earlier claims; false when one of them counts."""
    return all(
        driver.decide(group_id, _question(earlier), REVOKED) == REVOKED
        for earlier in range(1, claim)
    )


def is_revoked(backend: Any, headers: Mapping[str, Any]) -> bool:
    """Whether a task that is about to run is a copy that does not count."""
    found = headers.get(HEADER)
    store = getattr(backend, "store", None)
    if found is None or store is None:
        return False
    try:
        group_id, claim = found
        return not copy_counts(store.driver, str(group_id), int(claim))
    except Exception:  # at worst it runs twice
        logger.exception("chord %s: cannot look whether its body is a copy", found)
        return False


def _question(claim: int) -> str:
    return f"body-{claim}"
