"""The one options class of broker and result backend, read from Celery's two settings.

``broker_transport_options`` and ``result_backend_transport_options`` are checked together: every
fault of both is named in one :class:`.errors.InvalidOptions`. What both need (region, endpoint,
keys, role, namespace, poll time) is taken from the broker's unless the backend has its own.
"""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from celery_sqs._aws.client import Account
from celery_sqs._aws.queues import MAX_WAIT
from celery_sqs.errors import InvalidOptions

BROKER, RESULTS = "broker_transport_options", "result_backend_transport_options"
MAX_VISIBILITY = 12 * 3600
"""Seconds, counted from the receive.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""
KOMBU_OPTIONS = frozenset(
    ["body_encoding", "client-config", "confirm_publish", "connect_retries_timeout",
     "deadletter_queue", "errback", "fetch_message_attributes", "interval_max", "interval_start",
     "interval_step", "is_secure", "login_method", "max_retries", "polling_interval", "port",
     "predefined_exchanges", "predefined_queues", "queue_name_prefix", "queue_tags", "regioninfo",
     "retry_errors", "sqs-creation-attributes", "sqs_base64_encoding", "sts_token_buffer_time",
     "supports_fanout"]
)  # fmt: skip
"""Names of ``broker_transport_options`` that kombu or its SQS transport reads."""


def _state_dir() -> Path:
    return Path(tempfile.gettempdir()) / f"celery-sqs-{os.getuid()}"


@dataclass(frozen=True)
class Options:
    """Every option of this library; times are in seconds, sizes in bytes."""

    # Of both
    region: str | None = None
    endpoint_url: str | None = None
    """Only for an emulator; by default the SDK's own ``AWS_ENDPOINT_URL`` decides."""
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    """By default those of ``broker_url``, if it has any, else the SDK's own credentials."""
    sts_role_arn: str | None = None
    """Role to assume for every queue."""
    sts_token_timeout: int = 900
    """How long the credentials of the role last."""
    namespace: str = "celery"
    """Prefix of topics and of control, event and reply queues, so that applications do not mix."""
    wait_time_seconds: int = MAX_WAIT
    """Of a long poll. Shorter polls cost calls; a stopping worker waits for its open one."""

    # Of the broker
    max_message_size: int | None = None
    """A larger task message raises :class:`.errors.MessageTooLarge` unsent. By default the queue's
    own ``MaximumMessageSize``."""
    visibility_timeout: int = 30
    """How long a received message is invisible to others before it is extended."""
    max_extension: int = MAX_VISIBILITY
    """From its receive until a message is extended no further: above any time limit."""
    backoff: tuple[int, int] = (2, 60)
    """First and longest delay of a message that was requeued; it doubles."""
    heartbeat_interval: float = 30.0
    """Between the heartbeats of a worker, unless its command line says otherwise."""
    watchdog: float = 60.0
    """Without a poll and with slots free, after which a worker ends itself; 0: never."""
    queue_order_strategy: str = "round_robin"
    """Which of several queues gets a free slot: each in turn, or ``priority``: the first of ``-Q``
    that has messages."""
    unreadable_receives: int = 3
    """Receives after which a message that is no task goes to the dead-letter queue."""
    decode_foreign: str | None = None
    """``module:function`` that turns the body of a foreign message into a task, see the guide."""
    large_message_bucket: str | None = None
    """S3 bucket for bodies that do not fit their queue; by default they are refused."""

    # Of the result backend
    response_queue: str = ""
    """Name of the first client process's queue and prefix of all others."""
    machine: str = field(default_factory=socket.gethostname)
    """Name of this machine in queue names."""
    state_dir: Path = field(default_factory=_state_dir)
    """Where this machine keeps the locks; the same for all its client processes."""
    cleanup_prefix: str | None = None
    """Queues whose names begin so are removed when their process is gone: response queues, and if
    it covers them, control queues and subscriptions. By default ``response_queue``; empty: none."""

    result_store: str | None = None
    """One of Celery's key/value backends beside the push, as ``result_backend`` would name it:
    ``dynamodb://@us-east-1/table``, ``s3``, ``redis://…``."""

    queue_accounts: tuple[tuple[str, str, Account], ...] = ()
    """Name, URL and account of each of ``predefined_queues``."""

    @classmethod
    def read(
        cls,
        broker: Mapping[str, Any],
        results: Mapping[str, Any] | None = None,
        *,
        defaults: Mapping[str, Any] | None = None,
    ) -> Self:
        """The options of a broker, and with ``results`` those of a result backend beside it.

        ``defaults`` are what other settings say, such as the keys of ``broker_url``. Raises
        :class:`.errors.InvalidOptions` naming every fault.
        """
        faults = [f"{BROKER}: {fault}" for fault in _faults(broker, _BROKER_RULES, KOMBU_OPTIONS)]
        if results is not None:
            faults += [f"{RESULTS}: {fault}" for fault in _faults(results, _RESULT_RULES)]
        if faults:
            raise InvalidOptions("; ".join(faults))
        given = {**(defaults or {}), **_known(broker, _BROKER_RULES), **_known(results or {})}
        options = cls(**given)
        faults = list(options._contradictions(with_results=results is not None))
        if faults:
            raise InvalidOptions("; ".join(faults))
        accounts = tuple(_accounts(broker.get("predefined_queues") or {}, options))
        return replace(options, queue_accounts=accounts)

    @property
    def account(self) -> Account:
        """Whose queues are used unless ``predefined_queues`` says otherwise."""
        return Account(
            self.region,
            self.endpoint_url,
            self.access_key_id,
            self.secret_access_key,
            self.sts_role_arn,
            self.sts_token_timeout,
        )

    def requeue_delay(self, receives: int) -> int:
        """Seconds until a message that was received so often and requeued is visible again."""
        first, longest = self.backoff
        return min(longest, first << min(max(receives, 1) - 1, 16))

    def _contradictions(self, *, with_results: bool) -> Iterator[str]:
        if self.max_extension < self.visibility_timeout:
            yield f"{BROKER}: max_extension must be at least visibility_timeout"
        if 0 < self.watchdog <= 2 * self.wait_time_seconds:
            yield f"{BROKER}: watchdog must be 0 or longer than two long polls"
        if (self.access_key_id is None) != (self.secret_access_key is None):
            yield f"{BROKER}: access_key_id and secret_access_key must be given together"
        if with_results and not self.response_queue:
            yield f"{RESULTS}: response_queue is missing"


def _known(given: Mapping[str, Any], rules: Mapping[str, Any] | None = None) -> dict[str, Any]:
    names = {f.name for f in fields(Options)} & set(_RESULT_RULES if rules is None else rules)
    converted = {"state_dir": Path, "backoff": tuple}
    return {
        name: converted.get(name, lambda same: same)(value)
        for name, value in given.items()
        if name in names and value is not None
    }


def _accounts(queues: Mapping[str, Any], options: Options) -> Iterator[tuple[str, str, Account]]:
    default = options.account
    for name, given in queues.items():
        own = replace(
            default,
            region=given.get("region") or default.region,
            access_key_id=given.get("access_key_id") or default.access_key_id,
            secret_access_key=given.get("secret_access_key") or default.secret_access_key,
        )
        yield name, given["url"], own


# Rules: each gives what is wrong with a value, or None

Rule = Callable[[Any], str | None]


def _rule(is_legal: Callable[[Any], bool], fault: str) -> Rule:
    return lambda value: None if is_legal(value) else fault


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(least: int, most: int) -> Rule:
    return _rule(
        lambda value: _is_whole(value) and least <= value <= most,
        f"must be a whole number from {least} to {most}",
    )


def _is_backoff(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(map(_is_whole, value))
        and 0 < value[0] <= value[1] <= MAX_VISIBILITY
    )


def _are_queues(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(queue, Mapping) and isinstance(queue.get("url"), str) for queue in value.values()
    )


def _are_tags(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(text, str) for pair in value.items() for text in pair
    )


_seconds = _rule(
    lambda value: (_is_whole(value) or isinstance(value, float)) and 0 <= value < 1e9,
    "must be a number of seconds",
)
_text = _rule(lambda value: isinstance(value, str), "must be text")
_name = _rule(
    lambda value: isinstance(value, str) and value.replace("-", "").replace("_", "").isalnum(),
    "must consist of letters, digits, - and _",
)
_mapping = _rule(lambda value: isinstance(value, Mapping), "must be a mapping")
_SHARED_RULES: dict[str, Rule] = {
    "region": _text,
    "endpoint_url": _text,
    "access_key_id": _text,
    "secret_access_key": _text,
    "sts_role_arn": _text,
    "sts_token_timeout": _whole(900, 43_200),
    "namespace": _name,
    "wait_time_seconds": _whole(1, MAX_WAIT),
}
_BROKER_RULES: dict[str, Rule] = {
    **_SHARED_RULES,
    "max_message_size": _whole(1024, 1_048_576),
    "visibility_timeout": _whole(3, MAX_VISIBILITY),
    "max_extension": _whole(3, MAX_VISIBILITY),
    "backoff": _rule(
        _is_backoff, f"must be two whole numbers, 0 < first <= longest <= {MAX_VISIBILITY}"
    ),
    "heartbeat_interval": _seconds,
    "watchdog": _seconds,
    "queue_order_strategy": _rule(
        lambda value: value in ("round_robin", "priority"), "must be round_robin or priority"
    ),
    "unreadable_receives": _whole(1, 1000),
    "decode_foreign": _text,
    "large_message_bucket": _text,
    "predefined_queues": _rule(_are_queues, "must map each queue to its url and options"),
    "queue_name_prefix": _text,
    "queue_tags": _rule(_are_tags, "must map text to text"),
    "sqs-creation-attributes": _mapping,
    "client-config": _mapping,
}
_RESULT_RULES: dict[str, Rule] = {
    **_SHARED_RULES,
    "response_queue": _name,
    "machine": _text,
    "state_dir": _rule(lambda value: isinstance(value, str | Path), "must be a path"),
    "cleanup_prefix": _text,
    "result_store": _text,
}


def _faults(
    given: Mapping[str, Any], rules: Mapping[str, Rule], others: frozenset[str] = frozenset()
) -> Iterator[str]:
    for name, value in given.items():
        if name not in rules:
            if name not in others:
                yield f"{name} is unknown"
        elif value is not None and (fault := rules[name](value)) is not None:
            yield f"{name} {fault}, not {value!r}"
