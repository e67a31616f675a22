"""What is tested here is the embedded AWS itself and the processes around it."""

import os

import pytest

GIVEN = "FACEREC_TEST_ENDPOINT" in os.environ


@pytest.fixture(autouse=True)
def _on_the_embedded_aws() -> None:
    if GIVEN:
        pytest.skip("about the embedded AWS, whichever other one is given")
