"""moto's conditional writes made atomic: of two requests at once, moto lets both win.

It looks whether the condition holds and writes afterwards, without a lock: S3's ``If-None-Match``
and DynamoDB's ``ConditionExpression``.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any


def install() -> None:
    """Before moto's server starts."""
    from moto.dynamodb.models import DynamoDBBackend
    from moto.s3.responses import S3Response

    lock = threading.RLock()
    for owner, names in (
        (DynamoDBBackend, ("create_table", "put_item", "update_item")),
        (S3Response, ("put_object",)),
    ):
        for name in names:
            setattr(owner, name, _one_at_a_time(getattr(owner, name), lock))


def _one_at_a_time(method: Callable[..., Any], lock: Any) -> Callable[..., Any]:
    @wraps(method)
    def locked(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return method(*args, **kwargs)

    return locked
