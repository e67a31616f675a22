"""kombu's tests of what every transport can do, on this library; copied into ``t/integration``.

The classes are named as kombu names those of its Redis tests, so that outcomes can be compared.
"""

import os
import uuid
from collections.abc import Iterator

import kombu
import pytest

from .common import (
    BaseEventLoop,
    BaseExchangeTypes,
    BaseMessage,
    BasePriority,
    BaseTimeToLive,
    BasicFunctionality,
)

TRANSPORT = os.environ["CELERY_SUITE_TRANSPORT"]
OPTIONS = {"region": "us-east-1", "wait_time_seconds": 1}
NOWHERE = "sqs://suite:suite@127.0.0.1:9"
"""Nothing listens on the discard port. In the URL, because the tests replace the options."""


def _connection() -> kombu.Connection:
    prefix = f"{uuid.uuid4().hex[:8]}-"
    return kombu.Connection(
        "sqs://",
        transport=TRANSPORT,
        transport_options={**OPTIONS, "queue_name_prefix": prefix},
    )


@pytest.fixture
def connection() -> Iterator[kombu.Connection]:
    with _connection() as made:
        yield made


@pytest.fixture
def invalid_connection() -> kombu.Connection:
    return kombu.Connection(NOWHERE, transport=TRANSPORT)


class test_BasicFunctionality(BasicFunctionality):
    pass


class test_BaseExchangeTypes(BaseExchangeTypes):
    pass


class test_Message(BaseMessage):
    pass


class test_Priority(BasePriority):
    pass


class test_TimeToLive(BaseTimeToLive):
    pass


class test_EventLoop(BaseEventLoop):
    pass
