"""Settlements go in batches, failures are tried again, the grave comes before the delete."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from celery_sqs._aws import batching
from celery_sqs._broker.acknowledgements import Settlement

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

    def send_message(self, QueueUrl: str, MessageBody: str) -> Any:
        return self._note("send", (QueueUrl, MessageBody))


@pytest.fixture
def sqs() -> Sqs:
    return Sqs()


@pytest.fixture
def settlement(sqs: Sqs, monkeypatch: pytest.MonkeyPatch) -> Settlement:
    monkeypatch.setattr(batching, "RETRY_PAUSE", 0.01)
    return Settlement(lambda: sqs, lambda url: "grave")  # type: ignore[arg-type, return-value]


def outage() -> Exception:
    return EndpointConnectionError(endpoint_url="http://nowhere")


def no_queue() -> Exception:
    return ClientError({"Error": {"Code": "QueueDoesNotExist"}}, "DeleteMessageBatch")


def test_deletes_share_a_call(sqs: Sqs, settlement: Settlement, eventually: Eventually) -> None:
    for n in range(12):
        settlement.delete("u", str(n))
    eventually(lambda: sum(len(what) for _, what in sqs.calls) == 12)
    assert len(sqs.calls) <= 3
    settlement.close()


def test_a_give_back_does_not_wait_for_others(sqs: Sqs, settlement: Settlement) -> None:
    settlement.postpone("u", "a", 0)
    settlement.close()
    assert sqs.calls == [("hide", [("a", 0)])]


def test_an_outage_loses_nothing(sqs: Sqs, settlement: Settlement, eventually: Eventually) -> None:
    sqs.trouble = [outage(), outage()]
    settlement.delete("u", "a")
    eventually(lambda: sqs.calls)
    assert sqs.calls == [("delete", ["a"])]
    settlement.close()


def test_a_failed_entry_alone_is_tried_again(
    sqs: Sqs, settlement: Settlement, eventually: Eventually
) -> None:
    sqs.failed = [{"Id": "1", "Code": "InternalError", "SenderFault": False}]
    for receipt in "abcd":
        settlement.delete("u", receipt)
    eventually(lambda: len(sqs.calls) == 2)
    assert sqs.calls == [("delete", ["a", "b", "c", "d"]), ("delete", ["b"])]
    settlement.close()


def test_an_outdated_receipt_is_final(sqs: Sqs, settlement: Settlement) -> None:
    sqs.failed = [{"Id": "0", "Code": "ReceiptHandleIsInvalid", "SenderFault": True}]
    settlement.delete("u", "a")
    settlement.close()
    assert sqs.calls == [("delete", ["a"])]


def test_a_deleted_queue_has_nothing_to_settle(
    sqs: Sqs, settlement: Settlement, caplog: pytest.LogCaptureFixture
) -> None:
    sqs.trouble = [no_queue()]
    settlement.delete("u", "a")
    settlement.close()
    assert sqs.calls == []
    assert not caplog.records


def test_the_grave_first(sqs: Sqs, settlement: Settlement) -> None:
    settlement.bury("u", "a", "body")
    settlement.close()
    assert sqs.calls == [("send", ("grave", "body")), ("delete", ["a"])]


def test_no_delete_while_the_grave_is_closed(
    sqs: Sqs, settlement: Settlement, eventually: Eventually
) -> None:
    sqs.trouble = [outage()]
    settlement.bury("u", "a", "body")
    eventually(lambda: len(sqs.calls) == 2)
    assert sqs.calls == [("send", ("grave", "body")), ("delete", ["a"])]
    settlement.close()


def test_without_a_grave_the_rejected_are_deleted(sqs: Sqs) -> None:
    settlement = Settlement(lambda: sqs, lambda url: None)  # type: ignore[arg-type, return-value]
    settlement.bury("u", "a", "body")
    settlement.close()
    assert sqs.calls == [("delete", ["a"])]


def test_too_late_is_given_up(
    sqs: Sqs, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    settlement = Settlement(lambda: sqs, patience=0.0)  # type: ignore[arg-type, return-value]
    sqs.trouble = [outage()]
    settlement.postpone("u", "a")
    eventually(lambda: any("given up" in r.getMessage() for r in caplog.records))
    settlement.close()
    assert sqs.calls == []


def test_after_the_end_it_still_settles(sqs: Sqs, settlement: Settlement) -> None:
    settlement.close()
    settlement.delete("u", "a")
    assert sqs.calls == [("delete", ["a"])]
