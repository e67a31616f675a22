"""Traces: one from a POST to the worker, received by a collector that speaks OTLP."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from local.processes.child import Child

from .conftest import Web, photo


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, Span]]]]:
    """Address, and each span with the name of its service."""
    spans: list[tuple[str, Span]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
                names = {a.key: a.value.string_value for a in resource.resource.attributes}
                for scope in resource.scope_spans:
                    spans.extend((names["service.name"], span) for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_one_trace_from_the_upload_to_the_worker(
    start_web: Callable[..., Web],
    start_worker: Callable[..., Child],
    eventually: Callable[..., None],
) -> None:
    with collector() as (endpoint, spans):
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        web = start_web(**environment)
        start_worker(environment=environment)
        trace = "0af7651916cd43dd8448eb211c80319c"
        parent = f"00-{trace}-b7ad6b7169203331-01"
        assert web.post(photo(name="Paul"), traceparent=parent).data == b"test_00:Paul"

        def names() -> set[tuple[str, str]]:
            return {(role, s.name) for role, s in spans if s.trace_id.hex() == trace}

        task = "facerec_tasks.tasks.recognize"
        eventually(
            lambda: (
                names()
                >= {
                    ("facerec-web", "POST /"),
                    ("facerec-web", "S3.PutObject"),
                    ("facerec-web", f"apply_async/{task}"),
                    ("facerec-worker", f"run/{task}"),
                    ("facerec-worker", "S3.GetObject"),
                }
            )
        )
        assert {s.trace_id.hex() for _, s in spans} == {trace}, "polls have no trace"
