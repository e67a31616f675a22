"""The description of the API is true: a program that believes it is not surprised.

Schemathesis makes requests of every operation, such as keep the description and such as break it,
against a real web tier with a real engine behind it.
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from itertools import cycle

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as tuned
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.openapi import from_url
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from facerec_tasks.settings import Settings
from local.processes.child import Child
from local.samples import portraits

from .conftest import Web

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
EXAMPLES = 6
"""Requests of each operation."""


@pytest.mark.timeout(900)
def test_openapi_matches_responses(
    start_web: Callable[..., Web], resources: Settings, spawn: Callable[..., Child]
) -> None:
    web = start_web()
    command = [sys.executable, "-m", "celery", "-A", "facerec_tasks.worker", "worker"]
    spawn([*command, "--concurrency", "1"], log="worker")
    sample_photo = portraits.sample_photo("Grace_Hopper").data
    assert web.post(sample_photo).status == 200  # the worker is there
    schema = from_url(f"http://127.0.0.1:{web.port}/openapi.json")
    for operation in schema.get_all_operations():
        for mode in GenerationMode:
            # Nothing can be wrong with a request that has no parameters.
            with suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext():
                _try(operation.ok(), mode)
    _try_photos(schema, sample_photo)


def _try(operation: schemathesis.APIOperation, mode: GenerationMode) -> None:
    kinds = cycle(("application/json", "text/plain"))

    @seed(1)
    @tuned(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: schemathesis.Case) -> None:
        case.headers["Accept"] = next(kinds)
        case.call_and_validate(checks=CHECKS, timeout=60)

    attempt()


def _try_photos(schema: schemathesis.BaseSchema, sample_photo: bytes) -> None:
    """What random bytes do not reach: photos with a face, and a person on them."""
    enrol, verify = schema["/people"]["POST"], schema["/people/{name}/verify"]["POST"]
    for operation, body, path in (
        (enrol, {"name": "Grace", "inputFile": [sample_photo]}, {}),
        (verify, {"inputFile": sample_photo}, {"name": "Grace"}),
        (schema["/"]["POST"], {"inputFile": [sample_photo]}, {}),
        (schema["/"]["POST"], {"inputFile": [sample_photo, b"hello"]}, {}),
        (schema["/people/{name}"]["DELETE"], None, {"name": "Grace"}),
    ):
        made = {"body": body, "media_type": "multipart/form-data"} if body else {}
        case = operation.Case(path_parameters=path, headers={"Accept": "application/json"}, **made)
        response = case.call_and_validate(checks=CHECKS, timeout=60)
        assert response.status_code in (200, 201, 204), pytest.fail(response.text)
