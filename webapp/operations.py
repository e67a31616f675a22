"""What operators and their machines ask: alive, ready, how much is outstanding."""

from flask import Response, jsonify

from facerec_tasks.settings import Settings
from webapp.metrics import Metrics
from webapp.readiness import Readiness
from webapp.recogniser import Recogniser
from webapp.rendering import render


class Operations:
    """Views of the process itself."""

    def __init__(self, settings: Settings, recogniser: Recogniser, metrics: Metrics) -> None:
        self._recogniser = recogniser
        self._metrics = metrics
        self._readiness = Readiness(settings, recogniser)

    def healthz(self) -> Response:
        """``GET /healthz``: this process answers."""
        return render({"status": "ok"}, "ok")

    def readyz(self) -> Response:
        """``GET /readyz``: it can serve a photo now, or what is missing."""
        missing = self._readiness.missing()
        if not missing:
            return render({"status": "ready"}, "ready")
        body = {"status": "not ready", "missing": list(missing)}
        return render(body, "not ready: " + "; ".join(missing), status=503)

    def ledger(self) -> Response:
        """``GET /internal/ledger``: accepted and not yet answered, per process."""
        return jsonify(self._recogniser.ledger.report())

    def metrics(self) -> Response:
        """``GET /metrics``: figures of all web processes of this machine."""
        text, kind = self._metrics.text()
        return Response(text, content_type=kind)
