"""Routes for operators: health, readiness, requests in flight."""

from flask import Response, current_app, jsonify

from facerec_tasks.settings import Settings
from webapp.http.openapi import document
from webapp.http.operation import Operation
from webapp.http.request_head import RequestHead
from webapp.http.responses import Document, Rendered, UnavailableBody
from webapp.http.schemas import StatusReport
from webapp.http.spool import Spool
from webapp.services.readiness import Readiness
from webapp.services.task_client import TaskClient


def alive(head: RequestHead) -> tuple[str, bytes]:
    """Media type and body of ``GET /healthz``; the event loop answers it although all threads
    are taken."""
    if "json" in head.headers.get("accept", ""):
        return "application/json", b'{"status":"ok"}\n'
    return "text/plain; charset=utf-8", b"ok"


class OperatorRoutes:
    """Views of the process itself."""

    def __init__(self, settings: Settings, task_client: TaskClient, spool: Spool) -> None:
        self._task_client = task_client
        self._description = ""
        self._readiness = Readiness(settings, task_client, spool.fault)

    @Operation("alive", (429,))
    def healthz(self) -> Rendered[StatusReport]:
        """``GET /healthz``: this process answers."""
        return Rendered({"status": "ok"}, "ok")

    @Operation("ready", (429,))
    def readyz(self) -> Rendered[StatusReport] | UnavailableBody[StatusReport]:
        """``GET /readyz``: it can serve a photo now, or what is missing."""
        missing = self._readiness.missing()
        if not missing:
            return Rendered({"status": "ready"}, "ready")
        body: StatusReport = {"status": "not ready", "missing": list(missing)}
        return UnavailableBody(body, "not ready: " + "; ".join(missing))

    def in_flight(self) -> Response:
        """``GET /internal/in-flight``: accepted and not yet answered, per process."""
        return jsonify(self._task_client.in_flight.report())

    @Operation("describe", ())
    def description(self) -> Document:
        """``GET /openapi.json``: this description."""
        self._description = self._description or current_app.json.dumps(document(current_app))
        return Document(self._description)

    def metrics(self) -> Response:
        """``GET /metrics``: figures of all web processes of this machine."""
        text, kind = self._task_client.metrics.text()
        return Response(text, content_type=kind)
