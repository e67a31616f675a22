"""One log line and the metrics of each request, including those refused early."""

import logging
import time

from facerec_tasks import logs
from webapp.http.errors import Problem
from webapp.http.frontend import Exchange
from webapp.services.metrics import WebMetrics

log = logging.getLogger("webapp.access")

QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/internal/in-flight", "/internal/ledger"})
"""Routes that are asked every few seconds: logged at DEBUG."""


class AccessLog:
    """Safe to use from many threads."""

    def __init__(self, metrics: WebMetrics) -> None:
        self._metrics = metrics

    def observe(self, exchange: Exchange) -> None:
        """A request that has its response."""
        took = time.monotonic() - exchange.began
        self._metrics.request(exchange.rule, exchange.status, exchange.outcome, took)
        quiet = exchange.rule in QUIET and exchange.status < 400
        level = logging.DEBUG if quiet else logging.INFO
        if not log.isEnabledFor(level):
            return
        head = exchange.head
        context = logs.request_id.set(exchange.request_id)
        # The route, not the path: that may hold a person's name, or a line break.
        log.log(
            level,
            "%s %s %d %.3f s",
            head.method,
            exchange.rule,
            exchange.status,
            took,
            extra={
                "fields": {
                    "client": head.client,
                    "key": exchange.key_id or "-",
                    "outcome": exchange.outcome,
                    "received": exchange.received,
                    "sent": exchange.sent,
                    "agent": head.headers.get("user-agent", "-")[:100],
                }
            },
        )
        logs.request_id.reset(context)

    def refused(self, problem: Problem, address: str) -> None:
        """A request that could not be understood, or did not come in time."""
        self._metrics.request("none", problem.status, problem.code, 0.0)
        fields = {"client": address, "outcome": problem.code}
        log.info("refused: %s", problem.line.strip(), extra={"fields": fields})
