import re
from pathlib import Path

from openapi_spec_validator import validate

from facerec_tasks.settings import Settings
from webapp.http.application import create_app
from webapp.http.errors import STATUS
from webapp.http.openapi import document
from webapp.services.in_flight import InFlight
from webapp.services.metrics import WebMetrics
from webapp.services.task_client import TaskClient

NOT_OF_THE_API = {
    "/metrics",
    "/internal/in-flight",
    "/who",
    "/status",
    "/status/events",
    "/internal/ledger",  # deprecated
    "/privacy",
    "/static/{name}",
}
"""Figures for machines, and pages for people; so is ``GET /``."""


def test_openapi_document_is_valid() -> None:
    validate(document())


def test_openapi_covers_every_route(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, access="open")
    app = create_app(settings, TaskClient(settings, InFlight("here-0"), WebMetrics(None)))
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, item in document()["paths"].items() for method in item}
    pages = {one for one in served if one[0] in NOT_OF_THE_API} | {("/", "get")}
    assert described == served - pages


def test_openapi_lists_every_error_code() -> None:
    told = document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert told == sorted(STATUS)
