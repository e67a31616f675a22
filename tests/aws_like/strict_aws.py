"""AWS as it documents itself, where the emulators are kinder: a proxy before one of them.

Every call of a role is held against the role's policy (:class:`Recorder`). EC2 has its documented
request rates; of every service one call in :data:`THROTTLED_ONE_IN` is throttled in that service's
own words. A bucket is in one region and answers 301 to requests signed for another. The name of a
deleted queue is refused for 60 s, and a queue with too many messages in flight gives no more. The
name of a stack begins with a letter.

EC2's eventual consistency is the emulator's own: ``embedded_aws(lag=…)``.
"""

import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

import urllib3
from celery_sqs.testing import FaultProxy
from celery_sqs.testing.fault_proxy import answer

from tests.integration.ami_build.recorder import ACCOUNT, SIGNED, Call, Recorder

ADMIN = "emulated"
"""Access key of the person who deploys, who may do anything."""
THROTTLED_ONE_IN = 40
RECENTLY = 60.0
"""Seconds: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html"""
IN_FLIGHT = 120_000
"""Of a standard queue: ``ReceiveMessage`` is refused when it does not wait, else gives nothing.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html"""
RATES = {
    "RunInstances": (5, 2), "StartInstances": (5, 2), "TerminateInstances": (100, 5),
    "CreateTags": (100, 10),
}  # fmt: skip
READS, CHANGES = (100, 20), (50, 5)
"""EC2's requests at once and a second:
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html"""
STACK_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*|arn:[-a-zA-Z0-9:/._+]*")
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html"""
NOT_THROTTLED = ("monitoring", "budgets")
"""Of the person who deploys only, in protocols that this proxy does not speak."""


class StrictAws(Recorder):
    """``url`` is the endpoint; ``throttled`` counts the calls that were."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.throttled: Counter[str] = Counter()
        self.redirected = 0
        self.signals: list[str] = []
        """Instances that told CloudFormation that they serve."""
        self.clock = time.monotonic
        self._guard = threading.Lock()
        self._buckets: dict[tuple[str, str, str], tuple[float, float]] = {}
        self._counted: Counter[str] = Counter()
        self._regions: dict[str, str] = {}
        self._deleted: dict[tuple[str, str], float] = {}
        self._plain = urllib3.PoolManager(retries=False, timeout=60)

    def forward(self, request: BaseHTTPRequestHandler, body: bytes, cut: bool = False) -> None:
        signed = SIGNED.search(request.headers.get("Authorization", ""))
        if signed is None:  # a presigned URL
            return FaultProxy.forward(self, request, body, cut)
        who, region, service = signed.groups()
        action = _action(service, request, body)
        refusal = (
            self._throttle(service, action, region)
            or (service == "s3" and self._elsewhere(request, region))
            or (service == "sqs" and self._too_soon(action, region, body))
            or (action == "ReceiveMessage" and self._too_many(request, body))
            or (service == "cloudformation" and _no_stack_name(body))
        )
        if refusal:
            return answer(request, *refusal)
        if action == "SignalResource":
            return self._signal(who, region, request, body)
        if who == ADMIN:
            return FaultProxy.forward(self, request, body, cut)
        return super().forward(request, body, cut)

    def _throttle(
        self, service: str, action: str, region: str
    ) -> tuple[int, bytes, dict[str, str]] | None:
        if service in NOT_THROTTLED:
            return None
        with self._guard:
            self._counted[service] += 1
            over = self._counted[service] % THROTTLED_ONE_IN == 0
            if service == "ec2":
                over = not self._take(service, action, region) or over
        if not over:
            return None
        self.throttled[f"{service}:{action}"] += 1
        return _throttled(service)

    def _take(self, service: str, action: str, region: str) -> bool:
        """One token of EC2's for this action; each Describe action has a bucket of its own."""
        size, rate = RATES.get(action, READS if action.startswith("Describe") else CHANGES)
        key, now = (service, action, region), self.clock()
        tokens, at = self._buckets.get(key, (float(size), now))
        tokens = min(size, tokens + (now - at) * rate)
        self._buckets[key] = (tokens - (tokens >= 1), now)
        return tokens >= 1

    def _elsewhere(
        self, request: BaseHTTPRequestHandler, region: str
    ) -> tuple[int, bytes, dict[str, str]] | None:
        """https://docs.aws.amazon.com/AmazonS3/latest/userguide/Redirects.html"""
        bucket = unquote(urlsplit(request.path).path).lstrip("/").partition("/")[0]
        there = self._region_of(bucket) if bucket else None
        if there in (None, region):
            return None
        self.redirected += 1
        text = (
            "<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access "
            f"must be addressed using the specified endpoint.</Message><Bucket>{bucket}</Bucket>"
            f"<Endpoint>{bucket}.s3.{there}.amazonaws.com</Endpoint></Error>"
        )
        head = {"Content-Type": "application/xml", "x-amz-bucket-region": str(there)}
        return 301, text.encode(), head

    def _region_of(self, bucket: str) -> str | None:
        if bucket not in self._regions:
            found = self._plain.request("HEAD", f"{self._target}/{bucket}")
            there = found.headers.get("x-amz-bucket-region")
            if found.status != 200 or not there:
                return None
            self._regions[bucket] = there
        return self._regions[bucket]

    def _too_soon(
        self, action: str, region: str, body: bytes
    ) -> tuple[int, bytes, dict[str, str]] | None:
        fields = json.loads(body or b"{}")
        if action == "DeleteQueue":
            self._deleted[region, fields["QueueUrl"].rsplit("/", 1)[1]] = self.clock()
        if action != "CreateQueue":
            return None
        at = self._deleted.get((region, fields["QueueName"]))
        if at is None or self.clock() - at > RECENTLY:
            return None
        words = "You must wait 60 seconds after deleting a queue before you can create another"
        error = {"__type": "com.amazonaws.sqs#QueueDeletedRecently", "message": words}
        return 400, json.dumps(error).encode(), {}

    def _too_many(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, bytes, dict[str, str]] | None:
        fields = json.loads(body)
        names = ["ApproximateNumberOfMessagesNotVisible", "ReceiveMessageWaitTimeSeconds"]
        asked = {"QueueUrl": fields["QueueUrl"], "AttributeNames": names}
        headers = {
            **{name: request.headers[name] for name in ("Authorization", "Content-Type")},
            "X-Amz-Target": "AmazonSQS.GetQueueAttributes",
        }
        answered = self._plain.request(
            "POST", self._target, headers=headers, body=json.dumps(asked)
        )
        found = answered.json().get("Attributes", {})
        if int(found.get(names[0], 0)) < IN_FLIGHT:
            return None
        if wait := int(fields.get("WaitTimeSeconds", found[names[1]])):
            time.sleep(min(wait, 1))
            return 200, b"{}", {}
        error = {"__type": "com.amazonaws.sqs#OverLimit", "message": "Too many in flight"}
        return 400, json.dumps(error).encode(), {}

    def _signal(self, who: str, region: str, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """The emulator has no SignalResource; whether the role may send it is what is tried."""
        fields = {key: value[0] for key, value in parse_qs(body.decode()).items()}
        stack = f"stack/{fields['StackName']}/0"
        resource = f"arn:aws:cloudformation:{region}:{ACCOUNT}:{stack}"
        if self.judge([Call(who, "cloudformation:SignalResource", resource)], request):
            self.signals.append(fields["UniqueId"])
            xml = b"<SignalResourceResponse><ResponseMetadata/></SignalResourceResponse>"
            answer(request, 200, xml, {"Content-Type": "text/xml"})


def _no_stack_name(body: bytes) -> tuple[int, bytes, dict[str, str]] | None:
    """As CloudFormation words it: aws/aws-sam-cli#4979."""
    (name,) = parse_qs(body.decode()).get("StackName", [""])
    if not name or STACK_NAME.fullmatch(name):
        return None
    words = (
        f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: "
        f"Member must satisfy regular expression pattern: {STACK_NAME.pattern}"
    )
    error = f"<Code>ValidationError</Code><Message>{words}</Message>"
    text = f"<ErrorResponse><Error>{error}</Error><RequestId>1</RequestId></ErrorResponse>"
    return 400, text.encode(), {"Content-Type": "text/xml"}


def _action(service: str, request: BaseHTTPRequestHandler, body: bytes) -> str:
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.rsplit(".", 1)[1]
    if service == "s3":
        return request.command
    return parse_qs(body.decode(errors="replace")).get("Action", ["?"])[0]


def _throttled(service: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers, as the service documents them."""
    xml = {"Content-Type": "text/xml"}
    if service == "s3":
        text = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message>"
        return 503, f"{text}</Error>".encode(), {"Content-Type": "application/xml"}
    if service == "ec2":
        error = "<Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message>"
        text = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>1</RequestID>"
        return 503, f"{text}</Response>".encode(), xml
    if service in ("sqs", "ssm", "logs", "servicequotas", "kms"):
        code = {"sqs": "com.amazonaws.sqs#RequestThrottled", "servicequotas":
                "TooManyRequestsException"}.get(service, "ThrottlingException")  # fmt: skip
        return 400, json.dumps({"__type": code, "message": "Rate exceeded"}).encode(), {}
    status, code = (429, "Throttled") if service == "sns" else (400, "Throttling")
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>Rate exceeded</Message></Error>"
    text = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"
    return status, text.encode(), xml
