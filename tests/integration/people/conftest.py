"""The state bucket of a test, in which people, answers and history are kept."""

import pytest

from facerec_tasks.settings import Settings
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators.resources import create_buckets


@pytest.fixture
def state(settings: Settings) -> StateBucket:
    create_buckets(settings)
    return StateBucket(settings)
