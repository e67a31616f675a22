"""The controller's metrics over HTTP."""

from collections.abc import Callable

import pytest
import urllib3

from local.processes.child import Child
from local.processes.ports import free_port

from .conftest import WebTier


def test_metrics_are_served_on_loopback(
    controller: Callable[..., Child], web_tier: WebTier, eventually: Callable[..., None]
) -> None:
    port = free_port()
    controller(FACEREC_METRICS_PORT=str(port))

    def read(path: str) -> str:
        try:
            answer = urllib3.request("GET", f"http://127.0.0.1:{port}{path}", retries=False)
        except urllib3.exceptions.HTTPError:
            return ""
        return f"{answer.status} {answer.headers['Content-Type']}\n{answer.data.decode()}"

    eventually(lambda: "facerec_machines_cap 15" in read("/metrics"), within=20)
    assert read("/metrics").startswith("200 text/plain; version=0.0.4")
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", f"http://127.0.0.2:{port}/metrics", retries=False, timeout=1)
