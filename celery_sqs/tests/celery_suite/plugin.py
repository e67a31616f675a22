"""pytest plugin of the suites' own processes; configured by environment.

``CELERY_SUITE_OUTCOMES``: file that gets a line of JSON for each test when it has ended.
``CELERY_SUITE_SHARD``: ``2/4`` runs the second quarter of the tests.
``CELERY_SUITE_TRANSPORT``: what ``sqs://`` means to applications that tests make with a broker URL
and nothing more.
``CELERY_SUITE_SIDE_CHANNEL``: many tests of Celery begin with "skip unless the result backend is
Redis", because their tasks leave marks in Redis which the test reads. Redis runs here whatever the
backend is, so these tests are run on every backend: the setting passes their check.
"""

import json
import os
from typing import Any

import pytest
from kombu.transport import TRANSPORT_ALIASES

REASON = 300
"""Characters kept of why a test failed or was skipped."""
_outcomes: dict[str, dict[str, str]] = {}

if "CELERY_SUITE_TRANSPORT" in os.environ:
    TRANSPORT_ALIASES["sqs"] = os.environ["CELERY_SUITE_TRANSPORT"]


class _WithSideChannel(str):
    """A ``result_backend`` that passes the tests' own check for Redis."""

    __slots__ = ()

    def startswith(self, prefix: Any, *args: Any) -> bool:
        wanted = prefix if isinstance(prefix, tuple) else (prefix,)
        return "redis" in wanted or super().startswith(prefix, *args)


@pytest.fixture(autouse=True)
def _side_channel(request: pytest.FixtureRequest) -> None:
    """Before the fixture ``manager``, which some tests override to look at the setting."""
    if "CELERY_SUITE_SIDE_CHANNEL" in os.environ and "manager" in request.fixturenames:
        conf = request.getfixturevalue("app").conf
        conf.result_backend = _WithSideChannel(conf.result_backend)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps one shard. Round robin, since neighbors take about as long as each other."""
    number, _, count = os.environ.get("CELERY_SUITE_SHARD", "1/1").partition("/")
    items[:] = [item for n, item in enumerate(items) if n % int(count) == int(number) - 1]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test fails with any of its phases or subtests; what was expected to fail does not count."""
    test = _outcomes.setdefault(report.nodeid, {"outcome": "passed", "reason": ""})
    if hasattr(report, "wasxfail"):
        test.update(outcome="xfailed", reason=str(report.wasxfail))
    elif report.failed:
        test.update(outcome="failed", reason=_reason(report))
    elif report.skipped and test["outcome"] == "passed":
        test.update(outcome="skipped", reason=_reason(report))
    if report.when == "teardown":
        with open(os.environ["CELERY_SUITE_OUTCOMES"], "a") as outcomes:
            print(json.dumps({"test": report.nodeid, **test}), file=outcomes)


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):  # of a skip: file, line, reason
        return str(report.longrepr[2])[:REASON]
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr)[:REASON]
