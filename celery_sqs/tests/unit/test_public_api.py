"""What users of the library may rely on."""

import subprocess
import sys
from pathlib import Path

from celery.exceptions import ImproperlyConfigured
from celery.exceptions import TimeoutError as CeleryTimeoutError
from kombu.exceptions import OperationalError

import celery_sqs
from celery_sqs import errors

PACKAGE = Path(celery_sqs.__file__).parent


def test_the_names() -> None:
    assert celery_sqs.__all__ == [
        "ConsumerHealth", "ProcessSlot", "ResponseQueueBackend", "Task", "Transport", "bulk",
        "cleanup", "decode_message", "errors", "get_async", "on_client_created", "queues",
        "redrive",
    ]  # fmt: skip
    assert all(getattr(celery_sqs, name) is not None for name in celery_sqs.__all__)


def test_importing_it_loads_neither_celery_nor_boto3() -> None:
    code = "import sys, celery_sqs; print({'celery', 'kombu', 'boto3'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_error_has_the_common_root_and_stands_in_the_tree() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.CelerySQSError)
        assert name in (errors.__doc__ or "")


def test_callers_of_celery_catch_them_naturally() -> None:
    for passing in (
        "BrokerUnavailable",
        "BulkSendFailed",
        "SendFailed",
        "SendTimeout",
        "PurgeInProgress",
    ):
        assert issubclass(getattr(errors, passing), OperationalError)
    assert issubclass(errors.BrokerUnavailable, ConnectionError)
    assert issubclass(errors.SendTimeout, TimeoutError)
    assert issubclass(errors.ResponseQueueLost, CeleryTimeoutError)
    assert issubclass(errors.InvalidOptions, ImproperlyConfigured)


def test_modules_and_classes_stay_small() -> None:
    for path in PACKAGE.rglob("*.py"):
        lines = path.read_text().splitlines()
        assert len(lines) <= 300, path
        methods = 0
        for line in lines:
            methods = 0 if line.startswith("class ") else methods + line.startswith("    def ")
            assert methods <= 25, path


def test_one_module_owns_the_hooks_of_the_process() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("_runtime.py", "flower.py"):
            assert "register_at_fork" not in path.read_text(), path
            assert "atexit" not in path.read_text().replace("close_at_exit", ""), path
