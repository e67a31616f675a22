"""The strict stand-in in front of the embedded AWS that each module starts as ``emulator``."""

from collections.abc import Iterator

import pytest

from tests.aws_like.strict_aws import StrictAws


@pytest.fixture
def strict(emulator: str) -> Iterator[StrictAws]:
    proxy = StrictAws(emulator)
    proxy.start()
    yield proxy
    proxy.stop()
