"""Whether the web tier is ready, as CloudWatch and CloudFormation are told."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from facerec_tasks import web_probe
from facerec_tasks.errors import Unavailable
from facerec_tasks.settings import Settings
from tests.answering import Silent, serving


class Aws:
    """Keeps what it is told; the first signal is throttled."""

    def __init__(self) -> None:
        self.metrics: list[Any] = []
        self.signals: list[Any] = []
        self.throttled = 0

    def put_metric_data(self, **told: Any) -> None:
        self.metrics.append(told)

    def signal_resource(self, **told: Any) -> None:
        if not self.throttled:
            self.throttled += 1
            raise Unavailable("throttled")
        self.signals.append(told)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    made = Aws()
    monkeypatch.setattr(web_probe, "client", lambda settings, service: made)
    monkeypatch.setattr(web_probe, "LOOK_EVERY", 0.01)
    return made


def answering(status: int) -> type[Silent]:
    def get(handler: Silent) -> None:
        handler.answer(status if handler.path == "/readyz" else 404)

    return type("Handler", (Silent,), {"do_GET": get})


@pytest.mark.parametrize(("status", "value"), [(200, 1.0), (503, 0.0)])
def test_the_metric_says_whether_it_is_ready(aws: Aws, status: int, value: float) -> None:
    with serving(answering(status)) as url:
        web_probe.report(Settings(id="lab", port=urlsplit(url).port))
    (told,) = aws.metrics
    assert told["Namespace"] == web_probe.NAMESPACE
    (datum,) = told["MetricData"]
    assert datum == {
        "MetricName": "WebTierReady",
        "Dimensions": [{"Name": "Id", "Value": "lab"}],
        "Value": value,
    }


def test_a_web_tier_that_hangs_is_not_ready(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_probe, "PATIENCE", 0.05)

    class Hanging(Silent):
        def do_GET(self) -> None:
            self.rfile.read(1)  # until the other side hangs up

    with serving(Hanging) as url:
        web_probe.report(Settings(id="lab", port=urlsplit(url).port))
    assert aws.metrics[0]["MetricData"][0]["Value"] == 0.0


def test_throttling_of_the_signal_is_retried(aws: Aws, tmp_path: Path) -> None:
    file = tmp_path / "machine"
    file.write_text("FACEREC_MACHINE=i-1\n")
    with serving(answering(200)) as url:
        web_probe.signal(Settings(port=urlsplit(url).port), "stack", "WebInstance", file)
    (told,) = aws.signals
    assert told == {
        "StackName": "stack",
        "LogicalResourceId": "WebInstance",
        "UniqueId": "i-1",
        "Status": "SUCCESS",
    }


def test_a_web_tier_that_never_is_ready_signals_nothing(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(web_probe, "DEADLINE", 0.05)
    with serving(answering(503)) as url, pytest.raises(SystemExit):
        web_probe.signal(Settings(port=urlsplit(url).port), "s", "WebInstance", tmp_path)
    assert aws.signals == []
