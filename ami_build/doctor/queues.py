"""Checks of the queues: existence, attributes, dead-lettered messages."""

import json
from collections.abc import Iterator, Mapping

from ami_build.doctor.buckets import is_tls_only
from ami_build.doctor.context import DeploymentContext
from ami_build.doctor.finding import Finding, judge
from celery_sqs import queues
from facerec_tasks.aws import client
from facerec_tasks.settings import MAX_REQUEST_BYTES

REQUESTS = {
    "MaximumMessageSize": str(MAX_REQUEST_BYTES),
    "MessageRetentionPeriod": str(queues.MAX_RETENTION),
    "ReceiveMessageWaitTimeSeconds": str(queues.MAX_WAIT),
}


def check_queues(context: DeploymentContext) -> Iterator[Finding]:
    s = context.settings
    timeout = context.state.parameters.get("VisibilityTimeout", str(s.visibility_timeout))
    requests = {**REQUESTS, "VisibilityTimeout": timeout}
    dead = {"MessageRetentionPeriod": str(queues.MAX_RETENTION)}
    wanted: dict[str, Mapping[str, str]] = {
        s.request_queue: requests,
        s.dead_letter_queue: dead,
        s.response_queue: queues.RESPONSE_QUEUE_ATTRIBUTES,
    }  # fmt: skip
    for queue, attributes in wanted.items():
        yield from _queue(context, queue, attributes)


def _queue(context: DeploymentContext, queue: str, wanted: Mapping[str, str]) -> Iterator[Finding]:
    sqs = client(context.settings, "sqs")
    url = queues.find_url(sqs, queue)
    yield judge(
        f"queue {queue}", url, "is gone",
        f"aws sqs create-queue --queue-name {queue}, and doctor again: it says what to set",
    )  # fmt: skip
    if url is None:
        return
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    actual: Mapping[str, str] = found["Attributes"]  # type: ignore[assignment]
    for name, value in wanted.items():
        yield judge(
            f"queue {queue}: {name}", actual.get(name) == value,
            f"is {actual.get(name)}, not {value}",
            f"aws sqs set-queue-attributes --queue-url {url} --attributes {name}={value}",
        )  # fmt: skip
    yield judge(
        f"queue {queue}: encrypted", actual.get("SqsManagedSseEnabled") == "true",
        "is not encrypted",
        f"aws sqs set-queue-attributes --queue-url {url} --attributes SqsManagedSseEnabled=true",
    )  # fmt: skip
    yield judge(
        f"queue {queue}: TLS only", is_tls_only(actual.get("Policy", "{}")),
        "answers without TLS", "put back the policy that ami_build/stack/stack.yaml has for it",
    )  # fmt: skip
    if queue == context.settings.request_queue:
        yield _redrive(context, url, actual)
    if queue == context.settings.dead_letter_queue:
        count = int(actual["ApproximateNumberOfMessages"])
        yield judge(
            "dead letters", not count, f"{count} photos were given up",
            'docs/how-to/operations.md, "dead letters"; then facerec queue redrive', level="advice",
        )  # fmt: skip


def _redrive(context: DeploymentContext, url: str, actual: Mapping[str, str]) -> Finding:
    target = context.arn("sqs", context.settings.dead_letter_queue)
    policy = json.loads(actual.get("RedrivePolicy") or "{}")
    options = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 100})
    command = json.dumps({"RedrivePolicy": options})
    return judge(
        f"queue {context.settings.request_queue}: redrive",
        policy.get("deadLetterTargetArn") == target,
        "has no dead-letter queue: what cannot be done is lost after 14 days",
        f"aws sqs set-queue-attributes --queue-url {url} --attributes '{command}'",
    )
