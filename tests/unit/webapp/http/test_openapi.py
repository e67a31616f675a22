import re
from pathlib import Path

from openapi_spec_validator import validate

from facerec_tasks.settings import Settings
from webapp.http.application import create_app
from webapp.http.errors import STATUS
from webapp.http.openapi import document
from webapp.services.in_flight import Ledger
from webapp.services.metrics import Metrics
from webapp.services.task_client import Doorbell

NOT_OF_THE_API = {
    "/metrics",
    "/internal/ledger",
    "/who",
    "/status",
    "/status/events",
    "/privacy",
    "/static/{name}",
}
"""Figures for machines, and pages for people; so is ``GET /``."""


def test_the_description_is_an_openapi_document() -> None:
    validate(document())


def test_every_operation_is_described_and_there_is_no_other(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    app = create_app(settings, Doorbell(settings, Ledger("here-0"), Metrics(None)))
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, item in document()["paths"].items() for method in item}
    pages = {one for one in served if one[0] in NOT_OF_THE_API} | {("/", "get")}
    assert described == served - pages


def test_every_code_is_told() -> None:
    told = document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert told == sorted(STATUS)
