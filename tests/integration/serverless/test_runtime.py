"""The runtime interface itself: awslambdaric as a process, asking a Runtime API of ours."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from facerec_tasks.settings import Settings
from local.emulators.lambda_runtime import Function, FunctionEnvironment
from local.emulators.video_functions import SPLITTING, functions
from serverless.limits import RESERVE

from .conftest import Buckets

TEST_EVENT = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"}).encode()


def function(handler: str = "serverless.video_splitting.handler", timeout: float = 30) -> Function:
    return Function(SPLITTING, (sys.executable, "-m", "awslambdaric", handler), timeout)


@pytest.fixture
def start(
    settings: Settings, tmp_path: Path
) -> Iterator[Callable[[Function], FunctionEnvironment]]:
    with ExitStack() as stack:

        def begin(function: Function) -> FunctionEnvironment:
            environment = FunctionEnvironment(function, tmp_path / "environment")
            stack.callback(environment.close)
            return environment

        yield begin


def test_one_process_takes_one_event_after_another(
    start: Callable[[Function], FunctionEnvironment],
) -> None:
    environment = start(functions()[0])
    assert environment.ready()
    for _ in range(3):
        result = environment.invoke(TEST_EVENT)
        assert (result.payload, result.failed) == ({"videos": []}, False)
    assert environment.alive


def test_a_bad_event_is_an_error_of_that_event_alone(
    start: Callable[[Function], FunctionEnvironment],
) -> None:
    environment = start(function())
    for event in (b"{}", b"[]", b'"\xc3\xa9"', b"not json"):
        result = environment.invoke(event)
        assert result.failed
        assert result.payload["errorType"] in ("BadEvent", "Runtime.UnmarshalError")
    assert not environment.invoke(TEST_EVENT).failed
    assert "BadEvent" in environment.log.read_text()


def test_a_handler_that_cannot_be_loaded_is_an_error_of_the_start(
    start: Callable[[Function], FunctionEnvironment],
) -> None:
    environment = start(function("serverless.no_such_module.handler"))
    assert not environment.ready()
    assert environment.init_error["errorType"] == "Runtime.ImportModuleError"


def test_a_function_is_ended_at_its_deadline(
    start: Callable[[Function], FunctionEnvironment],
    buckets: Buckets,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buckets.upload("clip.mp4", b"anything")
    (event,) = buckets.events()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an S3 that never answers
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        environment = start(function(timeout=2))
        assert environment.ready()
        result = environment.invoke(event)
    assert result.failed
    assert "Task timed out after 2.00 seconds" in result.payload["errorMessage"]
    assert not environment.alive


def test_a_video_there_is_no_time_for_is_sent_elsewhere(
    start: Callable[[Function], FunctionEnvironment],
    settings: Settings,
    buckets: Buckets,
    clips: Path,
) -> None:
    buckets.upload("clip.mp4", (clips / "two.mp4").read_bytes())
    environment = start(function(timeout=RESERVE - 1))
    assert environment.invoke(buckets.events()[0]).failed  # nobody there to be told of it
    (stored,) = (key for key in buckets.frames() if key.endswith("frames.json"))
    found = buckets.s3.get_object(Bucket=settings.frame_bucket, Key=stored)["Body"].read()
    refusal = json.loads(found)["refusal"]
    assert refusal["code"] == "too-costly"
    assert "recognize_video" in refusal["detail"]


def test_a_function_whose_runtime_api_is_gone_ends(
    start: Callable[[Function], FunctionEnvironment], eventually: Callable[..., None]
) -> None:
    environment = start(function())
    assert environment.ready()
    environment.stop_answering()
    eventually(lambda: not environment.alive)
