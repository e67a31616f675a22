"""A request and response loop written by hand on boto3, and done well: the yardstick.

Long polls, one connection per thread, batches wherever something has gathered: requests sent ten at
a time, received ten at a time, answers and deletions ten at a time. No retries, no visibility
extension, no shutdown, no errors: what a careful programmer writes before any of that.

``python -m benchmarks.boto3_loop PREFIX`` is one worker process.
"""

import json
import sys
import threading
import uuid
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10
WAIT = 20
REGION = "us-east-1"


def make_client() -> "SQSClient":
    config = Config(read_timeout=30, max_pool_connections=10)
    return boto3.session.Session().client("sqs", region_name=REGION, config=config)


def receive(sqs: "SQSClient", url: str) -> list[Any]:
    """Up to ten messages as soon as there is one."""
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=WAIT).get(
        "Messages", []
    )


def send(sqs: "SQSClient", url: str, bodies: Sequence[str]) -> None:
    """Up to ten messages in one call; raises when one was not taken."""
    answer = sqs.send_message_batch(
        QueueUrl=url, Entries=[{"Id": str(i), "MessageBody": b} for i, b in enumerate(bodies)]
    )
    if answer.get("Failed"):
        raise RuntimeError(answer["Failed"])


class Deletions:
    """Deletes ten at a time in a thread, the rest after a second."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._receipts: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, messages: Sequence[Any]) -> None:
        for message in messages:
            self._receipts.put(message["ReceiptHandle"])

    def close(self) -> None:
        self._receipts.put(None)
        self._thread.join()

    def _run(self) -> None:
        sqs, last = make_client(), False
        while not last:
            batch: list[str] = []
            while len(batch) < BATCH:
                try:
                    receipt = self._receipts.get(timeout=1 if batch else None)
                except Empty:
                    break
                if receipt is None:
                    last = True
                    break
                batch.append(receipt)
            if batch:
                sqs.delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[{"Id": str(i), "ReceiptHandle": r} for i, r in enumerate(batch)],
                )


class Client:
    """Sends requests and waits for their answers; any number of threads may call."""

    def __init__(self, prefix: str) -> None:
        sqs = make_client()
        self._requests = sqs.get_queue_url(QueueName=f"{prefix}-requests")["QueueUrl"]
        self._answers = sqs.get_queue_url(QueueName=f"{prefix}-answers")["QueueUrl"]
        self._sqs = sqs
        self._slots: dict[str, tuple[threading.Event, list[Any]]] = {}
        self._deletions = Deletions(self._answers)
        self._lock = threading.Lock()
        self._gathered: deque[tuple[str, threading.Event]] = deque()
        threading.Thread(target=self._receive, daemon=True).start()

    def call(self, number: int) -> Any:
        """One request, its answer."""
        request = uuid.uuid4().hex
        event, answer = self._slots[request] = (threading.Event(), [])
        self._send(json.dumps({"id": request, "number": number}))
        if not event.wait(120):
            raise TimeoutError(request)
        del self._slots[request]
        return answer[0]

    def _send(self, body: str) -> None:
        """Whoever has the lock sends for all who gathered while the last call was in flight."""
        sent = threading.Event()
        self._gathered.append((body, sent))
        while not sent.is_set():
            with self._lock:
                if sent.is_set():
                    return
                batch = [self._gathered.popleft() for _ in range(min(BATCH, len(self._gathered)))]
                if batch:
                    send(self._sqs, self._requests, [body for body, _ in batch])
                for _, event in batch:
                    event.set()

    def _receive(self) -> None:
        sqs = make_client()
        while True:
            messages = receive(sqs, self._answers)
            for message in messages:
                body = json.loads(message["Body"])
                event, answer = self._slots[body["id"]]
                answer.append(body["number"])
                event.set()
            self._deletions.add(messages)

    def close(self) -> None:
        self._deletions.close()


def work(prefix: str) -> None:
    """One worker process: receives, does nothing, answers, deletes; for ever."""
    sqs = make_client()
    requests = sqs.get_queue_url(QueueName=f"{prefix}-requests")["QueueUrl"]
    answers = sqs.get_queue_url(QueueName=f"{prefix}-answers")["QueueUrl"]
    deletions = Deletions(requests)
    while True:
        messages = receive(sqs, requests)
        if messages:
            send(sqs, answers, [m["Body"] for m in messages])
            deletions.add(messages)


if __name__ == "__main__":
    work(sys.argv[1])
