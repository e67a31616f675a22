"""Acknowledgements go in batches, failures are tried again, dead letters go before deletes."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from celery_sqs._aws import batching
from celery_sqs._broker.acknowledgements import KEPT_SECONDS, Acknowledger
from celery_sqs._broker.held_messages import HeldMessage

Eventually = Callable[..., None]


class Sqs:
    """Records calls as (kind, receipts or body); raises what is queued in ``trouble`` first."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.trouble: list[Exception] = []
        self.failed: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    def _note(self, kind: str, what: Any) -> dict[str, Any]:
        with self.lock:
            if self.trouble:
                raise self.trouble.pop(0)
            self.calls.append((kind, what))
            failed, self.failed = self.failed, []
            return {"Failed": failed}

    def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:
        return self._note("delete", [e["ReceiptHandle"] for e in Entries])

    def change_message_visibility_batch(self, QueueUrl: str, Entries: Any) -> Any:
        return self._note("hide", [(e["ReceiptHandle"], e["VisibilityTimeout"]) for e in Entries])

    def send_message(self, QueueUrl: str, **message: Any) -> Any:
        return self._note("send", (QueueUrl, message))


@pytest.fixture
def sqs() -> Sqs:
    return Sqs()


@pytest.fixture
def acknowledger(sqs: Sqs, monkeypatch: pytest.MonkeyPatch) -> Acknowledger:
    monkeypatch.setattr(batching, "RETRY_SECONDS", 0.01)
    return Acknowledger(lambda url: sqs, lambda url: "dead")  # type: ignore[arg-type, return-value]


def outage() -> Exception:
    return EndpointConnectionError(endpoint_url="http://nowhere")


def no_queue() -> Exception:
    return ClientError({"Error": {"Code": "QueueDoesNotExist"}}, "DeleteMessageBatch")


def test_deletes_share_a_call(sqs: Sqs, acknowledger: Acknowledger, eventually: Eventually) -> None:
    for n in range(12):
        acknowledger.delete("u", str(n))
    eventually(lambda: sum(len(what) for _, what in sqs.calls) == 12)
    assert len(sqs.calls) <= 3
    acknowledger.close()


def test_a_visibility_change_does_not_wait_for_others(sqs: Sqs, acknowledger: Acknowledger) -> None:
    acknowledger.change_visibility("u", "a", 0)
    acknowledger.close()
    assert sqs.calls == [("hide", [("a", 0)])]


def test_an_outage_loses_nothing(
    sqs: Sqs, acknowledger: Acknowledger, eventually: Eventually
) -> None:
    sqs.trouble = [outage(), outage()]
    acknowledger.delete("u", "a")
    eventually(lambda: sqs.calls)
    assert sqs.calls == [("delete", ["a"])]
    acknowledger.close()


def test_a_failed_entry_alone_is_tried_again(
    sqs: Sqs, acknowledger: Acknowledger, eventually: Eventually
) -> None:
    sqs.failed = [{"Id": "1", "Code": "InternalError", "SenderFault": False}]
    for receipt in "abcd":
        acknowledger.delete("u", receipt)
    eventually(lambda: len(sqs.calls) == 2)
    assert sqs.calls == [("delete", ["a", "b", "c", "d"]), ("delete", ["b"])]
    acknowledger.close()


def test_an_outdated_receipt_is_final(sqs: Sqs, acknowledger: Acknowledger) -> None:
    sqs.failed = [{"Id": "0", "Code": "ReceiptHandleIsInvalid", "SenderFault": True}]
    acknowledger.delete("u", "a")
    acknowledger.close()
    assert sqs.calls == [("delete", ["a"])]


def test_a_deleted_queue_has_nothing_to_acknowledge(
    sqs: Sqs, acknowledger: Acknowledger, caplog: pytest.LogCaptureFixture
) -> None:
    sqs.trouble = [no_queue()]
    acknowledger.delete("u", "a")
    acknowledger.close()
    assert sqs.calls == []
    assert not caplog.records


def test_dead_letter_is_sent_before_delete(sqs: Sqs, acknowledger: Acknowledger) -> None:
    acknowledger.dead_letter(HeldMessage("q", "u", "a", "body", 1))
    acknowledger.close()
    assert sqs.calls == [("send", ("dead", {"MessageBody": "body"})), ("delete", ["a"])]


def test_no_delete_while_the_dead_letter_queue_fails(
    sqs: Sqs, acknowledger: Acknowledger, eventually: Eventually
) -> None:
    sqs.trouble = [outage()]
    acknowledger.dead_letter(HeldMessage("q", "u", "a", "body", 1))
    eventually(lambda: len(sqs.calls) == 2)
    assert sqs.calls == [("send", ("dead", {"MessageBody": "body"})), ("delete", ["a"])]
    acknowledger.close()


def test_without_a_dead_letter_queue_the_rejected_stay(sqs: Sqs) -> None:
    acknowledger = Acknowledger(lambda url: sqs, lambda url: None)  # type: ignore[arg-type, return-value]
    acknowledger.dead_letter(HeldMessage("q", "u", "a", "body", 1))
    acknowledger.close()
    assert sqs.calls == [("hide", [("a", KEPT_SECONDS)])]


def test_a_fifo_dead_letter_keeps_its_group(sqs: Sqs, acknowledger: Acknowledger) -> None:
    message = HeldMessage(
        "q.fifo", "u.fifo", "a", "body", 1, attributes={"k": {}}, group="g", message_id="m"
    )
    acknowledger.dead_letter(message)
    acknowledger.close()
    assert sqs.calls[0] == (
        "send",
        ("dead", {"MessageBody": "body", "MessageAttributes": {"k": {}}, "MessageGroupId": "g",
                  "MessageDeduplicationId": "m"}),
    )  # fmt: skip


def test_too_late_is_given_up(
    sqs: Sqs, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    acknowledger = Acknowledger(lambda url: sqs, retry_timeout=0.0)  # type: ignore[arg-type, return-value]
    sqs.trouble = [outage()]
    acknowledger.change_visibility("u", "a")
    eventually(lambda: any("given up" in r.getMessage() for r in caplog.records))
    acknowledger.close()
    assert sqs.calls == []


def test_acknowledgements_after_close_are_sent(sqs: Sqs, acknowledger: Acknowledger) -> None:
    acknowledger.close()
    acknowledger.delete("u", "a")
    assert sqs.calls == [("delete", ["a"])]
