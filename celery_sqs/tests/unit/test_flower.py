"""Flower can stop workers: it is not for strangers."""

import pytest
from celery import Celery
from celery_sqs._ops import flower


@pytest.mark.parametrize(
    ("address", "protected", "open_"),
    [
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("localhost", False, False),
        ("", False, True),
        ("0.0.0.0", False, True),
        ("10.0.0.4", False, True),
        ("flower.example.org", False, True),
        ("0.0.0.0", True, False),
    ],
)
def test_who_may_come(address: str, protected: bool, open_: bool) -> None:
    assert flower.is_open(address, protected=protected) is open_


def test_an_open_address_is_refused_before_anything_listens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert flower.run(Celery("nowhere", set_as_current=False), ["--address=0.0.0.0"]) == 1
    assert "basic_auth" in capsys.readouterr().err
