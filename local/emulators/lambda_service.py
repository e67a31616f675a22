"""AWS Lambda on this machine, as far as functions that S3 and other functions start need it.

``lambda:Invoke`` over HTTP, the queue behind asynchronous invocations with its retries and its
destination for what failed, and S3's notifications. Like Lambda's, the queue delivers at least
once: an event may run again although it succeeded.
"""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import AwsError
from facerec_tasks.settings import Settings
from local.emulators.lambda_runtime import (
    HOST,
    Function,
    FunctionEnvironment,
    InvocationResult,
    JsonHandler,
    JsonServer,
)

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

RETRIES = (60.0, 120.0)
"""Seconds until an asynchronous event that failed runs again; after that it is given up."""
REMEMBERED = 1000
"""Results kept to be looked at."""
NOTIFICATION_POLL = 5
"""Seconds of one long poll for notifications."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Event:
    function: str
    payload: bytes
    attempt: int = 1
    due: float = 0.0
    """On the monotonic clock."""


class LambdaService:
    """Some functions, each with one environment at a time; a context manager."""

    def __init__(
        self,
        functions: Sequence[Function],
        folder: Path,
        settings: Settings,
        *,
        dead_letters: str | None = None,
        retries: Sequence[float] = RETRIES,
    ) -> None:
        """``dead_letters``: name of the queue that is told what was given up."""
        self._functions = {function.name: function for function in functions}
        self._folder = folder
        self._settings = settings
        self._dead_letters = dead_letters
        self._retries = tuple(retries)
        self._waiting: dict[str, Queue[_Event]] = {name: Queue() for name in self._functions}
        self._environments: dict[str, FunctionEnvironment] = {}
        self._locks = {name: threading.Lock() for name in self._functions}
        self._started = 0
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self.results: deque[tuple[str, InvocationResult]] = deque(maxlen=REMEMBERED)
        """Of the latest runs, in the order in which they ended."""
        handler = type("Handler", (_ServiceHandler,), {"service": self})
        self._server = JsonServer((HOST, 0), handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        """``AWS_ENDPOINT_URL_LAMBDA`` of whoever invokes."""

    def __enter__(self) -> "LambdaService":
        self._run(self._server.serve_forever, 0.05)
        for name in self._functions:
            self._run(self._work_off, name)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        for environment in list(self._environments.values()):
            environment.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def _run(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    # Invocations

    def has(self, function: str) -> bool:
        return function in self._functions

    def send(self, function: str, payload: bytes) -> None:
        """An asynchronous invocation: returns at once; runs, and runs again when it fails."""
        self._waiting[function].put(_Event(function, payload))

    def invoke(self, function: str, payload: bytes) -> InvocationResult:
        """A synchronous invocation: one run."""
        with self._locks[function]:
            result = self._environment(function).invoke(payload)
        self.results.append((function, result))
        return result

    def environment(self, function: str) -> FunctionEnvironment | None:
        """The environment that function last ran in."""
        return self._environments.get(function)

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not any(queue.unfinished_tasks for queue in self._waiting.values())

    def _environment(self, name: str) -> FunctionEnvironment:
        """A warm one, or a new one when there is none or it is dead."""
        found = self._environments.get(name)
        if found and found.alive:
            return found
        if found:
            found.close()
        self._started += 1
        function = self._functions[name]
        lambda_here = {"AWS_ENDPOINT_URL_LAMBDA": self.url, **function.environment}
        told = Function(name, function.command, function.timeout, function.memory, lambda_here)
        self._environments[name] = FunctionEnvironment(
            told, self._folder / f"{name}-{self._started}"
        )
        return self._environments[name]

    def _work_off(self, name: str) -> None:
        queue = self._waiting[name]
        while not self._ended.is_set():
            try:
                event = queue.get(timeout=0.1)
            except Empty:
                continue
            if time.monotonic() < event.due:
                queue.put(event)
                self._ended.wait(0.05)
            else:
                self._once(event)
            queue.task_done()

    def _once(self, event: _Event) -> None:
        result = self.invoke(event.function, event.payload)
        if not result.failed or self._ended.is_set():
            return
        log.warning("%s failed (attempt %d): %s", event.function, event.attempt, result.payload)
        if event.attempt <= len(self._retries):
            due = time.monotonic() + self._retries[event.attempt - 1]
            again = _Event(event.function, event.payload, event.attempt + 1, due)
            self._waiting[event.function].put(again)
        elif self._dead_letters:
            self._bury(event, result)

    def _bury(self, event: _Event, result: InvocationResult) -> None:
        """See "Capturing records of Lambda asynchronous invocations" for the form."""
        letter = {
            "version": "1.0",
            "requestContext": {
                "functionArn": self._functions[event.function].arn,
                "condition": "RetriesExhausted",
                "approximateInvokeCount": event.attempt,
            },
            "requestPayload": json.loads(event.payload),
            "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
            "responsePayload": result.payload,
        }
        assert self._dead_letters
        sqs = client(self._settings, "sqs")
        url = sqs.get_queue_url(QueueName=self._dead_letters)["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(letter))

    # S3

    def listen(self, queue: str, function: str) -> None:
        """Starts ``function`` for every notification of S3 in that SQS queue.

        On AWS S3 puts them into Lambda's own queue; the emulators cannot, and put them into ours.
        """
        self._run(self._listen, queue, function)

    def _listen(self, queue: str, function: str) -> None:
        sqs = client(self._settings, "sqs")
        while not self._ended.is_set():
            try:
                with translated():
                    self._pass_on(sqs, queue, function)
            except AwsError as error:
                log.warning("no notifications: %s", error)
                self._ended.wait(1.0)

    def _pass_on(self, sqs: "SQSClient", queue: str, function: str) -> None:
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        found = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=NOTIFICATION_POLL
        )
        for message in found.get("Messages", ()):
            if "Records" in json.loads(message["Body"]):  # not S3's test of the queue
                self.send(function, message["Body"].encode())
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


class _ServiceHandler(JsonHandler):
    """https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"""

    service: LambdaService

    def do_POST(self) -> None:
        payload = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match self.path.split("?")[0].strip("/").split("/"):
            case ["2015-03-31", "functions", name, "invocations"] if self.service.has(name):
                self._invoke(name, payload)
            case _:
                message = {"Type": "User", "Message": f"Function not found: {self.path}"}
                self.say(
                    404,
                    json.dumps(message).encode(),
                    {"x-amzn-ErrorType": "ResourceNotFoundException"},
                )

    def _invoke(self, name: str, payload: bytes) -> None:
        if self.headers.get("X-Amz-Invocation-Type") == "Event":
            self.service.send(name, payload)
            self.say(202, b"")
            return
        result = self.service.invoke(name, payload)
        unhandled = {"X-Amz-Function-Error": "Unhandled"} if result.failed else {}
        self.say(200, json.dumps(result.payload).encode(), unhandled)
