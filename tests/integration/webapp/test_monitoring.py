"""The dashboard and the alert rules in ``docs/monitoring/`` against what is really exported."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from autoscale import metrics as controller_metrics

from .conftest import Web

FOLDER = Path(__file__).parents[3] / "docs" / "monitoring"
PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (apt install prometheus)")
def test_alert_rules_pass_promtool(start_web: Callable[..., Web]) -> None:
    assert PROMTOOL is not None
    rules = [PROMTOOL, "check", "rules", str(FOLDER / "alerts.yml")]
    assert subprocess.run(rules, capture_output=True, timeout=60).returncode == 0
    text = start_web().request("GET", "/metrics").data
    checked = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, timeout=60
    )
    assert checked.returncode == 0, checked.stderr


def expressions(found: Any) -> Iterator[str]:
    """Every ``expr`` of a document, however deep."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key == "expr":
                yield value
            else:
                yield from expressions(value)
    elif isinstance(found, list):
        for one in found:
            yield from expressions(one)


def test_dashboard_and_alerts_name_metrics_that_exist(
    start_web: Callable[..., Web], eventually: Callable[..., None]
) -> None:
    web = start_web()
    web.post(b"no picture")
    of_controller = set(
        re.findall(r'"(facerec_\w+)"', Path(controller_metrics.__file__).read_text())
    )

    def known() -> set[str]:
        web.request("GET", "/readyz")  # calls AWS
        text = web.request("GET", "/metrics").data.decode()
        return {family.name for family in text_string_to_metric_families(text)} | of_controller

    documents = (
        json.loads((FOLDER / "dashboard.json").read_text()),
        yaml.safe_load((FOLDER / "alerts.yml").read_text()),
    )
    used = {
        re.sub(r"_(total|bucket|count|sum)$", "", name)
        for document in documents
        for expression in expressions(document)
        for name in re.findall(r"\bfacerec_\w+", expression)
    }
    assert used
    eventually(lambda: used <= known(), within=30)
