"""What operators and their machines ask: alive, ready, how much is outstanding."""

from flask import Response, jsonify, request

from facerec_tasks.settings import Settings
from webapp.http.openapi import document
from webapp.http.rendering import render
from webapp.http.request_head import RequestHead, of_environ
from webapp.http.spool import Spool
from webapp.services.readiness import Readiness
from webapp.services.task_client import TaskClient


def alive(head: RequestHead) -> tuple[str, bytes]:
    """Media type and body of ``GET /healthz``; the event loop answers it although all threads
    are taken."""
    if "json" in head.headers.get("accept", ""):
        return "application/json", b'{"status":"ok"}\n'
    return "text/plain; charset=utf-8", b"ok"


class Operations:
    """Views of the process itself."""

    def __init__(self, settings: Settings, task_client: TaskClient, spool: Spool) -> None:
        self._task_client = task_client
        self._readiness = Readiness(settings, task_client, spool.fault)

    def healthz(self) -> Response:
        """``GET /healthz``: this process answers. See :func:`alive`."""
        kind, body = alive(of_environ(request.environ))
        return Response(body, content_type=kind)

    def readyz(self) -> Response:
        """``GET /readyz``: it can serve a photo now, or what is missing."""
        missing = self._readiness.missing()
        if not missing:
            return render({"status": "ready"}, "ready")
        body = {"status": "not ready", "missing": list(missing)}
        return render(body, "not ready: " + "; ".join(missing), status=503)

    def in_flight(self) -> Response:
        """``GET /internal/in-flight``: accepted and not yet answered, per process."""
        return jsonify(self._task_client.in_flight.report())

    def description(self) -> Response:
        """``GET /openapi.json``: the API."""
        return jsonify(document())

    def metrics(self) -> Response:
        """``GET /metrics``: figures of all web processes of this machine."""
        text, kind = self._task_client.metrics.text()
        return Response(text, content_type=kind)
