import json
import re
from dataclasses import fields

import jsonschema
import pytest
from flask import Flask
from openapi_spec_validator import validate

from facerec_tasks.schemas import Answer, Candidate, Face, VideoInfo
from facerec_tasks.settings import Settings
from facerec_tasks.video.timeline import PersonInVideo
from webapp.http import rendering
from webapp.http.application import WebApplication
from webapp.http.errors import STATUS
from webapp.http.openapi import document
from webapp.http.operation import Schema
from webapp.services.in_flight import InFlight
from webapp.services.metrics import WebMetrics
from webapp.services.task_client import TaskClient

NOT_OF_THE_API = {
    "/metrics",
    "/internal/in-flight",
    "/who",
    "/history",
    "/status",
    "/status/events",
    "/internal/ledger",  # deprecated
    "/privacy",
    "/static/{name}",
}
"""Figures for machines, and pages for people; so is ``GET /``."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    settings = Settings(state_dir=tmp_path_factory.mktemp("state"), access="open")
    return WebApplication(
        settings, TaskClient(settings, InFlight("here-0"), WebMetrics(None))
    ).flask


@pytest.fixture(scope="module")
def described(app: Flask) -> Schema:
    return document(app)


def test_openapi_document_is_valid(described: Schema) -> None:
    validate(described)


def test_openapi_covers_every_route(app: Flask, described: Schema) -> None:
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    found = {(path, method) for path, item in described["paths"].items() for method in item}
    pages = {one for one in served if one[0] in NOT_OF_THE_API} | {("/", "get")}
    assert found == served - pages


def test_openapi_operation_ids_are_unique(described: Schema) -> None:
    ids = [one["operationId"] for item in described["paths"].values() for one in item.values()]
    assert len(ids) == len(set(ids))


def test_openapi_lists_every_error_code(described: Schema) -> None:
    problem = described["components"]["schemas"]["ProblemDetails"]
    assert problem["properties"]["code"]["enum"] == sorted(STATUS)


ANSWERS = {
    "photo": Answer(
        "00000000-0000-4000-8000-000000000000", "a.jpg", "v1", "named", "Ada", width=9, height=9,
        faces=(
            Face(
                "Ada", (0.0, 0.0, 9.0, 9.0), ((1.0, 1.0),) * 5, 0.9, 0.1, 0.9,
                candidates=(Candidate("Ada", 0.1, 99.0, 0.9, "id"),), hint="second-photo",
            ),
        ),
        worker="w", finished_at=1.0, seconds=0.1,
    ),
    "video": Answer(
        "00000000-0000-4000-8000-000000000000", "a.mp4", None, "unknown",
        people=(PersonInVideo("unknown 1", False, 0.9, ((0.0, 1.5),), 3, "video/t/1.jpg"),),
        video=VideoInfo("video/mp4", "h264", 2.0, None, 4, True, "video/t/sheet.jpg"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_openapi_describes_rendered_answers(described: Schema, answer: Answer) -> None:
    with Flask("test").test_request_context("/"):
        body = json.loads(json.dumps(rendering.document(answer)))
    schema = {"$ref": "#/components/schemas/AnswerDocument", "components": described["components"]}
    jsonschema.Draft202012Validator(schema).validate(body)
    described_members = described["components"]["schemas"]["AnswerDocument"]["properties"]
    assert body.keys() <= described_members.keys()


def test_openapi_answer_has_the_members_of_a_record(described: Schema) -> None:
    """A member added to the record is described, or named here as one that is not shown."""
    kept_back = {"version", "worker", "history", "code", "detail"}
    recorded = {field.name for field in fields(Answer)}
    shown = set(described["components"]["schemas"]["AnswerDocument"]["properties"])
    assert shown == recorded - kept_back | {"stem", "text"}
