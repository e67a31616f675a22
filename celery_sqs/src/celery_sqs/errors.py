"""Every exception of this library.

::

    CelerySQSError
    ├── BrokerUnavailable     AWS throttles, fails or refuses credentials   (OperationalError, ConnectionError)
    ├── SendFailed            SQS did not take this message                 (OperationalError)
    ├── FanoutForbidden       no permission for SNS: no remote control      (OperationalError)
    ├── BulkSendFailed        some tasks of a bulk were not sent            (OperationalError)
    ├── SendTimeout           no acknowledgement in time                    (OperationalError, TimeoutError)
    ├── PurgeInProgress       the queue was purged within the last 60 s     (OperationalError)
    ├── ResponseQueueLost     the queue of a pending result was deleted     (celery TimeoutError)
    ├── ResultForgotten       too many results were pending in this process
    ├── EtaTooLate            a task is due after its queue drops it         (ValueError)
    ├── MessageTooLarge       the message does not fit its queue            (ValueError)
    ├── UnsupportedBySQS      a priority, or a message that expires         (NotImplementedError)
    ├── ResultTooLarge        the result does not fit into one message
    ├── ResultUnknown         this process cannot know the result            (NotImplementedError)
    ├── UnreadableMessage     not a message that Celery can run             (ValueError)
    │   └── UnknownVersion    a message of a newer release
    ├── NoSuchQueue           a named queue does not exist
    ├── NoFreeSlot            too many client processes on this machine     (RuntimeError)
    └── InvalidOptions        an option is unknown or ill-typed             (ImproperlyConfigured)

What may pass when it is tried again is a :class:`kombu.exceptions.OperationalError`, which is what
``apply_async`` raises for any other broker too.
"""  # fmt: skip  # noqa: E501

from collections.abc import Mapping
from itertools import islice

from celery.exceptions import ImproperlyConfigured
from celery.exceptions import TimeoutError as CeleryTimeoutError
from kombu.exceptions import OperationalError

__all__ = [
    "BrokerUnavailable",
    "BulkSendFailed",
    "CelerySQSError",
    "EtaTooLate",
    "FanoutForbidden",
    "InvalidOptions",
    "MessageTooLarge",
    "NoFreeSlot",
    "NoSuchQueue",
    "PurgeInProgress",
    "ResponseQueueLost",
    "ResultForgotten",
    "ResultTooLarge",
    "ResultUnknown",
    "SendFailed",
    "SendTimeout",
    "UnknownVersion",
    "UnreadableMessage",
    "UnsupportedBySQS",
]


class CelerySQSError(Exception):
    """Base of every exception that this library raises."""


class BrokerUnavailable(CelerySQSError, OperationalError, ConnectionError):
    """Raised when AWS throttles, fails or refuses credentials; Celery then connects again later."""


class SendFailed(CelerySQSError, OperationalError):
    """Raised when SQS did not acknowledge this message; others of the same batch are unaffected.

    ``code`` is AWS's (``InvalidParameterValue``, ``InternalError``, …); ``sender_fault`` is true
    when sending the same message again is pointless.
    """

    def __init__(self, code: str, message: str, *, sender_fault: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.sender_fault = sender_fault


class BulkSendFailed(CelerySQSError, OperationalError):
    """Raised at the end of :func:`celery_sqs.bulk` when some of its tasks were not sent.

    ``failed`` has the reason by task id, in no order; ``sent`` is the number of the others, which
    SQS has acknowledged.
    """

    def __init__(self, failed: Mapping[str, Exception], sent: int) -> None:
        shown = [f"{task_id}: {error!r}" for task_id, error in islice(failed.items(), 3)]
        more = ", …" if len(failed) > len(shown) else ""
        total = sent + len(failed)
        super().__init__(f"{len(failed)} of {total} tasks not sent: {', '.join(shown)}{more}")
        self.failed = dict(failed)
        self.sent = sent


class FanoutForbidden(CelerySQSError, OperationalError):
    """Raised to the sender of a remote control command that has no permission for SNS."""


class SendTimeout(CelerySQSError, OperationalError, TimeoutError):
    """Raised when SQS did not acknowledge a message in time; it may have been sent all the same."""


class PurgeInProgress(CelerySQSError, OperationalError):
    """Raised when a queue was purged within the last 60 s, which is all that AWS allows."""


class ResponseQueueLost(CelerySQSError, CeleryTimeoutError):
    """Raised at once to every waiter whose result was to come through a queue that is gone.

    The task itself is not lost, but no message will announce its result: look at your own record
    of the task until your deadline. To a caller without one this is an early time-out.
    """


class ResultForgotten(CelerySQSError):
    """Raised to the waiter of a result that was dropped because too many others were pending."""


class EtaTooLate(CelerySQSError, ValueError):
    """Raised before sending when a task is due after the retention period of its queue."""


class MessageTooLarge(CelerySQSError, ValueError):
    """Raised before sending when a message does not fit its queue. Sizes are in bytes."""

    def __init__(self, size: int, limit: int, queue: str) -> None:
        super().__init__(f"{size} bytes do not fit in queue {queue}: its limit is {limit}")
        self.size = size
        self.limit = limit


class UnsupportedBySQS(CelerySQSError, NotImplementedError):
    """Raised before sending for what SQS cannot do: priorities, and messages that expire.

    Celery's ``expires`` is none of it: the worker drops such a task.
    """


class ResultTooLarge(CelerySQSError):
    """Raised to the waiter of a result that does not fit into one message."""


class ResultUnknown(CelerySQSError, NotImplementedError):
    """Raised for the state or result of a task that this process did not send, or has forgotten.

    Results are pushed to the process that sent the task; others need the option ``result_store``.
    """


class UnreadableMessage(CelerySQSError, ValueError):
    """Raised for a message that Celery cannot run: foreign, damaged, or malformed."""


class UnknownVersion(UnreadableMessage):
    """Raised for a message of a newer release: leave it to a worker of that release."""


class NoSuchQueue(CelerySQSError):
    """Raised when a named queue does not exist."""


class NoFreeSlot(CelerySQSError, RuntimeError):
    """Raised when too many processes of this machine wait for results already."""


class InvalidOptions(CelerySQSError, ImproperlyConfigured):
    """Raised when options are unknown or ill-typed; the message names every fault."""
