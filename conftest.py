"""What holds for every test: pytest knows ``celery_sqs`` as the installed package, not as the
folder of that name, and what tests start keeps its temporary files in a folder that ends with them.
"""

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

import celery_sqs  # noqa: F401

hypothesis.settings.register_profile("test", max_examples=50, deadline=None)
hypothesis.settings.register_profile("soak", max_examples=1000, deadline=None)
hypothesis.settings.load_profile("test")

TEMPORARY = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """A process that is killed leaves its temporary files (multiprocessing's ``pymp-*``) behind."""
    own = tempfile.gettempdir()  # remembered by tempfile: this process's files stay where they were
    config.stash[TEMPORARY] = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="tests-", dir=own)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[TEMPORARY], ignore_errors=True)
    if os.environ.get("TMPDIR") == config.stash[TEMPORARY]:
        os.environ["TMPDIR"] = str(Path(config.stash[TEMPORARY]).parent)
