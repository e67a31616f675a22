"""Figures for Prometheus, over several processes and over the death of one."""

import signal
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from local.processes.child import Child

from .conftest import Web, photo


def figures(web: Web) -> dict[tuple[str, ...], float]:
    """Value by name and values of labels."""
    text = web.request("GET", "/metrics").data.decode()
    return {
        (sample.name, *(v for _, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_sum_over_processes(
    start_web: Callable[..., Web],
    start_worker: Callable[..., Child],
    eventually: Callable[..., None],
) -> None:
    webs = [start_web(), start_web()]
    start_worker()
    for web in webs:
        assert web.post(photo(name="Paul")).status == 200
        assert web.post(b"hello").status == 415
    for web in webs:
        found = figures(web)
        assert found["facerec_requests_total", "named", "/", "200"] == 2
        assert found["facerec_requests_total", "not-a-picture", "/", "415"] == 2
        assert found["facerec_accepted_total",] == 2
        assert found["facerec_stage_seconds_count", "answer"] == 2
        assert found["facerec_request_seconds_count", "/"] == 4
        assert found["facerec_aws_calls_total", "PutObject", "s3", "200"] == 2
        assert found["process_resident_memory_bytes",] > 20e6
        assert found["process_open_fds",] > 10
        assert found["facerec_requests_in_flight",] == found["facerec_waiting",] == 0
    eventually(lambda: figures(webs[0])["facerec_receivers_healthy",] == 2)

    webs[0].child.signal(signal.SIGKILL)
    webs[0].child.wait(5)
    anew = start_web()
    eventually(lambda: figures(anew)["facerec_receivers_healthy",] == 2)
    assert figures(anew)["facerec_accepted_total",] == 2  # what was counted stays counted
