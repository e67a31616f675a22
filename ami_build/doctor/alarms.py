"""Checks of the alarms: whether they notify someone, and whether one is raised now."""

from collections.abc import Iterator

from ami_build.doctor.context import DeploymentContext
from ami_build.doctor.finding import DEPLOY, Finding, judge
from facerec_tasks.aws import client


def check_topics(context: DeploymentContext) -> Iterator[Finding]:
    pages = client(context.settings, "sns").get_paginator("list_topics").paginate()
    found = set(pages.search("Topics[].TopicArn"))
    for name in ("celeryev", "celery-pidbox", "alarms"):
        topic = f"{context.id}-{name}"
        yield judge(
            f"topic {topic}", context.arn("sns", topic) in found, "is gone",
            f"aws sns create-topic --name {topic}, as ami_build/stack/stack.yaml has it",
        )  # fmt: skip
    if context.arn("sns", f"{context.id}-alarms") in found:
        yield _listeners(context)


def _listeners(context: DeploymentContext) -> Finding:
    topic = context.arn("sns", f"{context.id}-alarms")
    sns = client(context.settings, "sns")
    found = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    subject = "somebody is told of alarms"
    if not found:
        return Finding(subject, "advice", "nobody is", f"{DEPLOY} --email YOU@EXAMPLE.COM")
    waiting = [one["Endpoint"] for one in found if not one["SubscriptionArn"].startswith("arn:")]
    return judge(
        subject, not waiting, f"{', '.join(waiting)} has not confirmed",
        "follow the link in the mail of AWS Notifications; it is good for two days", level="advice",
    )  # fmt: skip


def check_alarms(context: DeploymentContext) -> Iterator[Finding]:
    names = [f"{context.id}-dead-letters", f"{context.id}-waiting"]
    if context.image:
        balanced = context.balanced
        names += [f"{context.id}-web-tier"] + ([] if balanced else [f"{context.id}-web-instance"])
    cloudwatch = client(context.settings, "cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    found = {alarm["AlarmName"]: alarm for alarm in alarms}
    for name in names:
        alarm = found.get(name)
        yield judge(
            f"alarm {name}", alarm is not None, "is gone",
            f"make it again as ami_build/stack/stack.yaml has it, or destroy and {DEPLOY}",
        )  # fmt: skip
        if alarm is not None:
            armed = alarm["ActionsEnabled"] and alarm["AlarmActions"]
            yield judge(
                f"alarm {name}: tells", armed, "tells nobody",
                f"aws cloudwatch enable-alarm-actions --alarm-names {name}",
            )  # fmt: skip
            yield judge(
                f"alarm {name}: quiet", alarm["StateValue"] != "ALARM",
                alarm.get("StateReason", "rings"), "see docs/how-to/operations.md",
            )  # fmt: skip
