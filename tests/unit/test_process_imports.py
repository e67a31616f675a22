"""What a process may load, seen from inside a fresh one."""

import subprocess
import sys

import pytest

ENGINE = ("onnxruntime", "numpy", "PIL", "torch", "facenet_pytorch")


def loaded(module: str) -> set[str]:
    code = f"import sys, {module}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["webapp.__main__", "autoscale.controller"])
def test_neither_web_nor_controller_loads_the_engine(module: str) -> None:
    assert not loaded(module) & set(ENGINE)


def test_the_web_tier_and_the_controller_do_not_know_each_other() -> None:
    assert "autoscale" not in loaded("webapp.__main__")
    assert "webapp" not in loaded("autoscale.controller")


def test_the_worker_loads_no_torch_and_no_web_framework() -> None:
    assert not loaded("facerec_tasks.worker") & {"torch", "facenet_pytorch", "flask", "uvicorn"}


def test_the_package_itself_imports_nothing() -> None:
    assert not loaded("facerec_tasks") & {"celery", "boto3", "pydantic"}


def test_the_engine_stands_alone() -> None:
    assert not loaded("facerec_tasks.recognition.recognizer") & {"celery", "kombu", "boto3"}


def test_what_turns_photos_into_answers_needs_no_celery() -> None:
    assert not loaded("facerec_tasks.engine") & {"celery", "kombu", "flask"}


def test_celery_sqs_imports_no_recognition() -> None:
    found = loaded("celery_sqs; celery_sqs.Transport; celery_sqs.ResponseQueueBackend")
    assert not found & {"pydantic", *ENGINE}


@pytest.mark.parametrize(
    "module", ["webapp.__main__", "autoscale.controller", "facerec_tasks.worker"]
)
def test_pycurl_is_never_imported(module: str) -> None:
    """Our transport polls with boto3; only kombu's own asynchronous client would need it."""
    assert "pycurl" not in loaded(module)
