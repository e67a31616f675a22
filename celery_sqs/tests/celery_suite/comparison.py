"""Outcomes on Redis and on SQS side by side."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from celery_suite.jobs import BROKERS, REDIS, SQS, Outcome, Outcomes
from celery_suite.limits import Limit

WORST_FIRST = ("failed", "skipped", "xfailed", "passed")
NOT_RUN = Outcome("", "failed", "was not run: the process ended before it")
_KOMBU = re.compile(r"^t/integration/test_(?:redis|celery_sqs)\.py::test_(?:Redis)?(?:Base)?")


@dataclass
class Comparison:
    """Of one file of tests."""

    name: str
    on: dict[str, dict[str, Outcome]] = field(default_factory=lambda: {b: {} for b in BROKERS})
    """By broker and test."""
    again: set[str] = field(default_factory=set)
    """Tests that passed on SQS at the second try."""

    def counts(self, broker: str) -> Counter[str]:
        return Counter(outcome.outcome for outcome in self.on[broker].values())

    def behind(self) -> dict[str, Outcome]:
        """What passes on Redis and does not pass on SQS."""
        if not self.on[REDIS] or not self.on[SQS]:
            return {}
        return {
            test: self.on[SQS].get(test, NOT_RUN)
            for test, outcome in sorted(self.on[REDIS].items())
            if outcome.outcome == "passed" and self.on[SQS].get(test, NOT_RUN).outcome != "passed"
        }


def compare(found: Iterable[Outcomes]) -> dict[str, Comparison]:
    """By the name of the file."""
    compared: dict[str, Comparison] = {}
    for outcomes in found:
        suite = outcomes.job.suite
        comparison = compared.setdefault(suite.name, Comparison(suite.name))
        tests = comparison.on[outcomes.job.broker]
        for outcome in outcomes.tests:
            _add(tests, common_id(outcome.test), outcome, retry=bool(outcomes.job.only))
            if outcomes.job.only and outcome.outcome == "passed":
                comparison.again.add(common_id(outcome.test))
    if "kombu common" in compared:
        _keep_shared(compared["kombu common"])
    return compared


def common_id(test: str) -> str:
    """A name that is the same on both brokers: kombu's own classes for Redis have other names."""
    if not _KOMBU.match(test):
        return test.removeprefix("t/integration/")
    return "common.py::" + re.sub(r"\[connection\d\]$", "", _KOMBU.sub("", test))


def _add(tests: dict[str, Outcome], test: str, outcome: Outcome, *, retry: bool) -> None:
    """kombu runs each test of Redis with several connections: the worst counts."""
    known = tests.get(test)
    if known is None or retry or _rank(outcome) < _rank(known):
        tests[test] = outcome


def _rank(outcome: Outcome) -> int:
    return WORST_FIRST.index(outcome.outcome)


def _keep_shared(comparison: Comparison) -> None:
    """The file for Redis also has tests of Redis alone."""
    ours = comparison.on[SQS]
    if ours:
        redis = comparison.on[REDIS]
        comparison.on[REDIS] = {test: o for test, o in redis.items() if test in ours}


def unexplained(compared: Mapping[str, Comparison], limits: Sequence[Limit]) -> dict[str, Outcome]:
    """What passes on Redis, does not on SQS, and is not in the written list."""
    behind = {test: o for each in compared.values() for test, o in each.behind().items()}
    return {test: o for test, o in behind.items() if not any(x.covers(test) for x in limits)}


def outlived(compared: Mapping[str, Comparison], limits: Sequence[Limit]) -> list[str]:
    """Rows of the written list whose every test passes now."""
    passed = [
        test for each in compared.values()
        for test, outcome in each.on[SQS].items() if outcome.outcome == "passed"
    ]  # fmt: skip
    behind = [test for each in compared.values() for test in each.behind()]
    return [
        limit.test for limit in limits
        if any(map(limit.covers, passed)) and not any(map(limit.covers, behind))
    ]  # fmt: skip


def table(compared: Mapping[str, Comparison]) -> str:
    """For people, in Markdown."""
    lines = [
        "| suite | tests | Redis: passed / failed / skipped | SQS: passed / failed / skipped "
        "| passed at a second try | behind Redis |",
        "|---|---|---|---|---|---|",
    ]
    for each in compared.values():
        tests = len(set(each.on[REDIS]) | set(each.on[SQS]))
        cells = [each.name, tests, _cell(each, REDIS), _cell(each, SQS)]
        lines.append(
            f"| {' | '.join(map(str, cells))} | {len(each.again)} | {len(each.behind())} |"
        )
    return "\n".join(lines)


def _cell(comparison: Comparison, broker: str) -> str:
    counts = comparison.counts(broker)
    if not counts:
        return "not run"
    text = f"{counts['passed']} / {counts['failed']} / {counts['skipped']}"
    return text + (f" ({counts['xfailed']} expected to fail)" if counts["xfailed"] else "")
