"""An AWS that evaluates IAM policies: a proxy before the emulator, which evaluates none.

A process is known by its access key, which every request is signed with. Calls are kept as IAM sees
them: action, resource, and the condition keys that AWS would fill in. A call that
:attr:`Recorder.allowed` refuses gets AWS's AccessDenied and does not reach the emulator.
"""

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from celery_sqs.testing import FaultProxy
from celery_sqs.testing.fault_proxy import answer

ACCOUNT = "123456789012"
SIGNED = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/(\w+)/aws4_request")
_S3_OBJECT = {
    ("GET", False): "s3:GetObject", ("GET", True): "s3:GetObjectVersion",
    ("HEAD", False): "s3:GetObject", ("PUT", False): "s3:PutObject",
    ("DELETE", False): "s3:DeleteObject", ("DELETE", True): "s3:DeleteObjectVersion",
}  # fmt: skip
"""IAM's action by method and by whether a version is named."""
_S3_BUCKET = {"versioning": "s3:GetBucketVersioning", "versions": "s3:ListBucketVersions",
              "list-type": "s3:ListBucket"}  # fmt: skip
_BATCHES = {"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage",
            "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
            "PublishBatch": "Publish"}  # fmt: skip
"""IAM knows no batches."""
_ANY = ("sqs:ListQueues", "sns:ListSubscriptions", "sns:Unsubscribe")


@dataclass(frozen=True)
class Call:
    """One call, as a policy sees it."""

    who: str
    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


class Recorder(FaultProxy):
    """Keeps every call and refuses those that are not allowed."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.allowed: Callable[[Call], bool] = lambda call: True
        self._seen: set[Call] = set()
        self._refused: set[Call] = set()
        self._lock = threading.Lock()

    @property
    def seen(self) -> frozenset[Call]:
        with self._lock:
            return frozenset(self._seen)

    @property
    def refused(self) -> frozenset[Call]:
        with self._lock:
            return frozenset(self._refused)

    def forward(self, request: BaseHTTPRequestHandler, body: bytes, cut: bool = False) -> None:
        signed = SIGNED.search(request.headers.get("Authorization", ""))
        if signed is None or self.judge(_calls(*signed.groups(), request, body), request):
            super().forward(request, body, cut)

    def judge(self, calls: Sequence[Call], request: BaseHTTPRequestHandler) -> bool:
        """Whether all that a request does is allowed; what is not is answered here."""
        refused = [call for call in calls if not self.allowed(call)]
        with self._lock:
            self._seen |= set(calls)
            self._refused |= set(refused)
        if refused:
            answer(request, *_denial(refused[0].action.partition(":")[0], refused[0]))
        return not refused


def _denial(service: str, call: Call) -> tuple[int, bytes, dict[str, str]]:
    """AccessDenied as each service words it."""
    message = f"User: {call.who} is not authorized to perform: {call.action} on {call.resource}"
    xml = {"Content-Type": "text/xml"}
    if service == "s3":
        body = f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
        return 403, body.encode(), xml
    if service == "ec2":
        error = f"<Error><Code>UnauthorizedOperation</Code><Message>{message}</Message></Error>"
        body = f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>"
        return 403, body.encode(), xml
    if service == "sns":
        error = f"<Code>AuthorizationError</Code><Message>{message}</Message>"
        body = f"<ErrorResponse><Error>{error}</Error><RequestId>1</RequestId></ErrorResponse>"
        return 403, body.encode(), xml
    fields = {"__type": "AccessDeniedException", "message": message}
    return 400, json.dumps(fields).encode(), {}


def _calls(
    who: str, region: str, service: str, request: BaseHTTPRequestHandler, body: bytes
) -> list[Call]:
    if service == "s3":
        return [_s3(who, request)]
    if service == "sqs":
        target = request.headers["X-Amz-Target"].rsplit(".", 1)[1]
        return _sqs(who, region, target, json.loads(body or b"{}"))
    if service == "ssm":
        name = json.loads(body)["Name"]
        target = request.headers["X-Amz-Target"].rsplit(".", 1)[1]
        return [Call(who, f"ssm:{target}", f"arn:aws:ssm:{region}:{ACCOUNT}:parameter{name}")]
    if service == "logs":
        target = request.headers["X-Amz-Target"].rsplit(".", 1)[1]
        return [_logs(who, region, target, json.loads(body))]
    if service == "monitoring":
        return [_monitoring(who, request, body)]
    fields = {key: value[0] for key, value in parse_qs(body.decode()).items()}
    if service == "sns":
        return [_sns(who, region, fields)]
    return _ec2(who, region, fields)


def _s3(who: str, request: BaseHTTPRequestHandler) -> Call:
    url = urlsplit(request.path)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    if not key:
        action = next((a for mark, a in _S3_BUCKET.items() if mark in query), f"s3:?{url.query}")
        return Call(who, action, f"arn:aws:s3:::{bucket}")
    action = _S3_OBJECT[request.command, "versionId" in query]
    return Call(who, action, f"arn:aws:s3:::{bucket}/{key}")


def _sqs(who: str, region: str, target: str, fields: dict[str, Any]) -> list[Call]:
    action = f"sqs:{_BATCHES.get(target, target)}"
    name = fields.get("QueueName") or fields.get("QueueUrl", "").rsplit("/", 1)[-1]
    resource = "*" if action in _ANY else f"arn:aws:sqs:{region}:{ACCOUNT}:{name}"
    tagged = [Call(who, "sqs:TagQueue", resource)] if fields.get("tags") else []
    return [Call(who, action, resource), *tagged]


def _logs(who: str, region: str, target: str, fields: dict[str, str]) -> Call:
    stream = f"log-group:{fields['logGroupName']}:log-stream:{fields['logStreamName']}"
    return Call(who, f"logs:{target}", f"arn:aws:logs:{region}:{ACCOUNT}:{stream}")


def _monitoring(who: str, request: BaseHTTPRequestHandler, body: bytes) -> Call:
    """CloudWatch's protocol is one of three, by botocore's version; the namespace is legible."""
    (action,) = [name for name in (b"PutMetricData",) if name in request.path.encode() + body or
                 name in request.headers.get("X-Amz-Target", "").encode()]  # fmt: skip
    namespace = "facerec" if b"facerec" in body else "another"
    context = (("cloudwatch:namespace", namespace),)
    return Call(who, f"cloudwatch:{action.decode()}", "*", context)


def _sns(who: str, region: str, fields: dict[str, str]) -> Call:
    action = f"sns:{_BATCHES.get(fields['Action'], fields['Action'])}"
    if action in _ANY:
        return Call(who, action, "*")
    named = f"arn:aws:sns:{region}:{ACCOUNT}:{fields.get('Name')}"
    return Call(who, action, fields.get("TopicArn", named))


def _ec2(who: str, region: str, fields: dict[str, str]) -> list[Call]:
    action = f"ec2:{fields['Action']}"
    if fields["Action"] in ("RunInstances", "CreateFleet"):
        return _launch(who, region, fields)
    if fields["Action"] == "CreateTags":
        keys = tuple(("aws:TagKeys", key) for key in _tags(fields, "Tag"))
        return [Call(who, action, fields["ResourceId.1"], keys)]
    ids = [value for key, value in fields.items() if key.startswith("InstanceId.")]
    return [Call(who, action, one) for one in ids] or [Call(who, action, "*")]


def _launch(who: str, region: str, fields: dict[str, str]) -> list[Call]:
    """A fleet of type ``instant`` launches with the rights of its caller."""
    fleet = fields["Action"] == "CreateFleet"
    ours = f"arn:aws:ec2:{region}:{ACCOUNT}"
    made = [f"{ours}:{kind}" for kind in (("fleet/fleet-0",) if fleet else ()) + ("instance/i-0",)]
    tags = _tags(fields, "TagSpecification.1.Tag")
    asked = tuple((f"aws:RequestTag/{key}", value) for key, value in tags.items())
    template = tuple(("launch template", name) for name in _given(fields, "LaunchTemplateName"))
    images = _given(fields, "ImageId")
    calls = [Call(who, "ec2:RunInstances", made[-1], asked + template)]
    calls += [Call(who, "ec2:RunInstances", image) for image in images]
    if fleet:
        taken = [*images, *(f"{ours}:subnet/{one}" for one in _given(fields, "SubnetId"))]
        calls += [Call(who, "ec2:CreateFleet", one, asked) for one in made]
        calls += [Call(who, "ec2:CreateFleet", one) for one in taken]
        calls += [Call(who, "ec2:CreateFleet", "the launch template", template)]
    tagging = (("ec2:CreateAction", fields["Action"]),)
    return [*calls, *(Call(who, "ec2:CreateTags", one, tagging) for one in made)]


def _given(fields: dict[str, str], name: str) -> set[str]:
    return {value for key, value in fields.items() if key.rpartition(".")[2] == name}


def _tags(fields: dict[str, str], prefix: str) -> dict[str, str]:
    found = {}
    for number in range(1, 20):
        key = fields.get(f"{prefix}.{number}.Key")
        if key is not None:
            found[key] = fields.get(f"{prefix}.{number}.Value", "")
    return found
