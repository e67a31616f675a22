"""Prometheus metrics of the controller, in the text format it scrapes.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import http.server
import threading
from collections import Counter

from autoscale.decisions import Decision

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("pending", "running", "ready", "busy", "stopping", "stopped")
_HELP = {
    "facerec_waiting_tasks": "Tasks known to exist.",
    "facerec_queue_messages": "Messages of the request queue as SQS counts them.",
    "facerec_ledger_outstanding": "Photos the web tier has accepted and not answered.",
    "facerec_machines": "App-tier machines by state.",
    "facerec_machines_needed": "Machines the law asks for now.",
    "facerec_machines_target": "Machines that are to run.",
    "facerec_machines_cap": "Machines that may run.",
    "facerec_arrival_rate": "Photos per second, median of the last seconds.",
    "facerec_service_seconds": "Seconds of one process per task, as learned.",
    "facerec_boot_seconds": "Mean seconds until a machine serves, as learned.",
    "facerec_last_step_timestamp_seconds": "When the controller last decided.",
    "facerec_steps_total": "Decisions.",
    "facerec_actions_total": "Machines acted upon.",
    "facerec_failures_total": "Calls to EC2 that failed.",
}
_COUNTERS = ("facerec_steps_total", "facerec_actions_total", "facerec_failures_total")


class ControllerMetrics:
    """The last decision, and totals since this controller began."""

    def __init__(self) -> None:
        self._totals: Counter[tuple[str, str]] = Counter()
        self._last: Decision | None = None
        self._lock = threading.Lock()

    def observe(self, decision: Decision) -> None:
        """Takes one step in."""
        with self._lock:
            self._last = decision
            self._totals["facerec_steps_total", ""] += 1
            for action in ("launch", "start", "stop", "replace", "retire"):
                done = decision.done.get(action)
                if isinstance(done, list):
                    self._totals["facerec_actions_total", f'action="{action}"'] += len(done)
                elif done is not None:
                    self._totals["facerec_failures_total", f'action="{action}"'] += 1

    def render(self) -> str:
        """All of it as text; empty before the first step."""
        with self._lock:
            last, totals = self._last, dict(self._totals)
        if last is None:
            return ""
        samples: dict[str, list[tuple[str, float]]] = gauges(last)
        for (name, labels), value in totals.items():
            samples.setdefault(name, []).append((labels, float(value)))
        return _text(samples)


def gauges(decision: Decision) -> dict[str, list[tuple[str, float]]]:
    """(labels, value) pairs by metric."""
    single: dict[str, float | None] = {
        "facerec_waiting_tasks": decision.waiting,
        "facerec_ledger_outstanding": decision.outstanding,
        "facerec_machines_needed": decision.need,
        "facerec_machines_target": decision.target,
        "facerec_machines_cap": decision.limits.get("cap"),
        "facerec_arrival_rate": decision.terms.get("rate", 0.0),
        "facerec_service_seconds": decision.limits.get("service"),
        "facerec_boot_seconds": decision.limits.get("boot"),
        "facerec_last_step_timestamp_seconds": decision.at,
    }
    found = {name: [("", float(v))] for name, v in single.items() if v is not None}
    found["facerec_machines"] = [
        (f'state="{state}"', float(decision.machines.get(state, 0))) for state in STATES
    ]
    if decision.visible is not None and decision.in_flight is not None:
        found["facerec_queue_messages"] = [
            ('state="visible"', float(decision.visible)),
            ('state="in_flight"', float(decision.in_flight)),
        ]
    return found


def _text(samples: dict[str, list[tuple[str, float]]]) -> str:
    lines = []
    for name, values in samples.items():
        kind = "counter" if name in _COUNTERS else "gauge"
        lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} {kind}"]
        for labels, value in values:
            lines.append(f"{name}{{{labels}}} {value:g}" if labels else f"{name} {value:.15g}")
    return "\n".join(lines) + "\n"


def serve(metrics: ControllerMetrics, port: int) -> http.server.ThreadingHTTPServer:
    """Answers ``GET /metrics`` on this machine only, in a thread of its own."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == "/metrics"
            body = metrics.render().encode() if found else b"see /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A scrape is no event."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
