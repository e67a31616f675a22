"""The format loses nothing and is small; what is damaged is refused before Celery sees it."""

import base64
import contextlib
import copy
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, chain
from celery_sqs._broker import codec
from celery_sqs.errors import UnknownVersion, UnreadableMessage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu import Connection
from kombu.utils.json import dumps as kombu_dumps

QUEUE = "facerec-req-queue"
TASK = "facerec_tasks.tasks.recognize"
VERSION = "zXcv3R0Nnb2e4vWb.M0Q1PZ8d9p0lUuK"
REPLY_TO = "facerec-resp-queue-machine-1"

app = Celery("wire", set_as_current=False)


@app.task(name=TASK, shared=False)  # not in every other app of this process
def recognize(key: str, version: str | None = None) -> None:
    """Only its messages are used."""


def envelope(args: Any = (), kwargs: Any = None, **options: Any) -> codec.Envelope:
    """What kombu's virtual transport gives to ``_put`` for an ``apply_async`` with these."""
    properties = {
        name: options.pop(name) for name in ("priority", "delivery_mode") if name in options
    }
    reply_to = options.pop("reply_to", "")
    message = app.amqp.as_task_v2(
        options.pop("task_id", str(uuid.uuid4())), TASK, args, kwargs or {},
        reply_to=reply_to, **options,
    )  # fmt: skip
    with Connection("memory://") as connection:
        made = connection.default_channel.prepare_message(
            kombu_dumps(message.body),
            content_type="application/json",
            content_encoding="utf-8",
            headers=message.headers,
            properties={**message.properties, "delivery_mode": 2, **properties},
        )
    made["properties"].update(
        body_encoding="utf-8",
        delivery_tag=str(uuid.uuid4()),
        delivery_info={"exchange": "", "routing_key": QUEUE},
    )
    return made


def as_received(sent: codec.Envelope) -> dict[str, Any]:
    """The envelope as JSON would carry it, the body parsed, without the tag of the delivery."""
    plain: dict[str, Any] = json.loads(kombu_dumps(sent))
    plain["properties"].pop("delivery_tag", None)
    if isinstance(plain.get("body"), str):
        plain["body"] = json.loads(plain["body"])
    return plain


def size(sent: codec.Envelope) -> int:
    return len(codec.encode(sent, QUEUE).encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
task_options = st.fixed_dictionaries(
    {},
    optional={
        "retries": st.integers(0, 20),
        "countdown": st.integers(0, 900),
        "eta": st.datetimes(min_value=datetime(2000, 1, 1)).map(lambda d: d.replace(tzinfo=UTC)),  # noqa: DTZ001
        "expires": st.integers(1, 10**6),
        "group_id": st.text(max_size=8),
        "group_index": st.integers(0, 9),
        "root_id": st.uuids().map(str),
        "parent_id": st.uuids().map(str),
        "shadow": st.text(max_size=8),
        "time_limit": st.integers(1, 99),
        "soft_time_limit": st.integers(1, 99),
        "ignore_result": st.booleans(),
        "reply_to": st.text(max_size=12),
        "priority": st.integers(0, 9),
        "headers": st.dictionaries(st.text(min_size=1, max_size=8), json_values, max_size=3),
        "replaced_task_nesting": st.integers(0, 3),
        "origin": st.text(max_size=8),
        "chain": st.just([recognize.si("next.jpg")]),
        "callbacks": st.just([recognize.s()]),
        "errbacks": st.just([recognize.si("oops")]),
        "chord": st.just(dict(recognize.s())),
    },
)


@given(
    args=st.lists(json_values, max_size=3),
    as_list=st.booleans(),
    kwargs=st.dictionaries(st.text(), json_values, max_size=3),
    options=task_options,
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_is_lost(
    args: list[Any], as_list: bool, kwargs: dict[str, Any], options: dict[str, Any]
) -> None:
    if "eta" in options:
        options.pop("countdown", None)
    sent = envelope(args if as_list else tuple(args), kwargs, **options)
    before = copy.deepcopy(sent)
    text = codec.encode(sent, QUEUE)
    assert sent == before
    assert as_received(codec.decode(text, QUEUE)) == as_received(sent)


def test_a_stamped_chain_survives() -> None:
    signature = chain(recognize.si("a.jpg"), recognize.si("b.jpg"))
    sent = envelope(
        ("a.jpg",),
        chain=[signature],
        stamped_headers=["who"],
        who="me",
        headers={"stamps": {"x": 1}},
    )
    assert as_received(codec.decode(codec.encode(sent, QUEUE), QUEUE)) == as_received(sent)


@pytest.mark.parametrize("missing", ["priority", "delivery_mode", "body_encoding"])
def test_a_missing_property_stays_missing(missing: str) -> None:
    sent = envelope(("a.jpg",))
    del sent["properties"][missing]
    assert as_received(codec.decode(codec.encode(sent, QUEUE), QUEUE)) == as_received(sent)


def test_a_false_zero_is_no_zero() -> None:
    sent = envelope(("a.jpg",))
    sent["headers"]["retries"] = False
    assert json.loads(codec.encode(sent, QUEUE))["h"]["retries"] is False


@pytest.mark.parametrize("make", [tuple, list])
def test_sizes(make: Any) -> None:
    key = "test_000.jpg"
    alone = envelope(make([key]), origin="gen123@ip-172-31-2-4.ec2.internal")
    alone["headers"].pop("origin")
    assert size(alone) <= 200
    full = envelope(make([key, VERSION]), reply_to=REPLY_TO, headers={"request_id": "a" * 16})
    full["headers"].pop("origin")
    assert size(full) <= 320


@pytest.mark.parametrize("character", ["a", "é", "漢", "😀"])
def test_every_file_name_fits(character: str) -> None:
    name = character * (255 // len(character.encode()))
    sent = envelope((name, VERSION), reply_to=REPLY_TO, headers={"request_id": "a" * 36})
    assert size(sent) <= 1024


def test_size_counts_bytes_and_attributes() -> None:
    attributes = {"é": {"DataType": "String", "StringValue": "漢"}}
    assert codec.size("漢", attributes) == 3 + 2 + len("String") + 3


def test_sqs_accepts_every_character() -> None:
    text = codec.encode(envelope(("a\x00\ufffe\uffff\ud800\x1fb",)), QUEUE)
    assert not any(c in text for c in "\x00\x1f\ufffe\uffff\ud800")
    assert codec.decode(text, QUEUE)["body"] == json.dumps(
        [
            ["a\x00\ufffe\uffff\ud800\x1fb"],
            {},
            {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
        ]
    )


def test_stock_messages_decode() -> None:
    sent = envelope(("a.jpg",))
    assert codec.decode(kombu_dumps(sent), QUEUE) == json.loads(kombu_dumps(sent))


@pytest.mark.parametrize(
    "change", [{"content-type": "application/x-yaml"}, {"headers": {}, "body": "[1, 2]"}]
)
def test_what_is_no_json_task_travels_verbatim(change: dict[str, Any]) -> None:
    sent = {**envelope(("a.jpg",)), **change}
    assert codec.decode(codec.encode(sent, QUEUE), QUEUE) == json.loads(kombu_dumps(sent))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[1]",
        "7",
        '{"foreign":1}',
        '{"v":1}',
        '{"v":1,"t":"x"}',
        '{"v":2}',
        '{"v":"2.0","event":"order.created"}',
        "[" * 100_000,
    ],
)
def test_foreign_messages_decode_to_nothing(text: str) -> None:
    assert codec.decode(text, QUEUE) == {}


def test_a_newer_release_is_left_to_newer_workers() -> None:
    small = json.loads(codec.encode(envelope(("a.jpg",)), QUEUE))
    small[codec.MARKER] = codec.VERSION + 1
    with pytest.raises(UnknownVersion):
        codec.decode(json.dumps(small), QUEUE)


def test_the_defaults_are_celerys_own() -> None:
    """Fails when a new Celery changes a default: messages would grow, nothing would break."""
    headers = envelope(("a.jpg",))["headers"]
    defaults = {
        k: json.loads(kombu_dumps(v)) for k, v in headers.items() if k in codec.DEFAULT_HEADERS
    }
    assert defaults == codec.DEFAULT_HEADERS | {"timelimit": [None, None]}
    assert headers.keys() - codec.DEFAULT_HEADERS.keys() == codec.DERIVED_HEADERS


def test_eta_is_kept_to_the_microsecond() -> None:
    eta = datetime.now(UTC) + timedelta(seconds=5)
    received = codec.decode(codec.encode(envelope(("a",), eta=eta), QUEUE), QUEUE)
    assert received["headers"]["eta"] == eta.isoformat()


def test_messages_of_release_0_1_decode() -> None:
    sent = envelope(("a.jpg",))
    small = json.loads(codec.encode(sent, QUEUE))
    del small[codec.MARKER]
    old = codec.decode(json.dumps({"v": 1, **small}), QUEUE)
    assert as_received(old) == as_received(sent)


def test_stock_messages_in_base64_decode() -> None:
    sent = kombu_dumps(envelope(("a.jpg",)))
    coded = base64.b64encode(sent.encode()).decode()
    assert codec.decode(coded, QUEUE) == json.loads(sent)


@pytest.mark.parametrize(
    "change",
    [
        {"properties": []}, {"properties": None}, {"properties": {"delivery_info": 1}},
        {"properties": {"body_encoding": "bogus"}}, {"body": 7}, {"body": "[1, 2]"},
        {"body": "no json"}, {"body": None}, {"headers": [1]}, {"content-type": 1},
    ],
)  # fmt: skip
def test_a_malformed_envelope_is_unreadable(change: dict[str, Any]) -> None:
    broken = {**json.loads(kombu_dumps(envelope(("a.jpg",)))), **change}
    with pytest.raises(UnreadableMessage):
        codec.decode(json.dumps(broken), QUEUE)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("timelimit", ["x", None]), ("timelimit", [1]), ("timelimit", "12"), ("eta", "soon"),
        ("eta", 5), ("expires", "never"), ("retries", "one"), ("retries", -1), ("id", None),
        ("task", 1), ("stamped_headers", "all"), ("stamps", [1]), ("root_id", 7),
    ],
)  # fmt: skip
def test_a_malformed_header_is_unreadable(header: str, value: Any) -> None:
    broken = json.loads(kombu_dumps(envelope(("a.jpg",))))
    broken["headers"][header] = value
    with pytest.raises(UnreadableMessage):
        codec.decode(json.dumps(broken), QUEUE)


@given(
    st.dictionaries(
        st.sampled_from(["celery-sqs", "v", "t", "i", "a", "k", "e", "h", "p", "h-", "p-", "d"]),
        json_values,
    )
)
def test_no_text_raises_anything_else(data: dict[str, Any]) -> None:
    with contextlib.suppress(UnreadableMessage):
        codec.decode(json.dumps({codec.MARKER: 1, **data}), QUEUE)
