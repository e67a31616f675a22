"""Prometheus metrics of the controller, served by prometheus_client."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from http.server import HTTPServer

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from autoscale.decisions import Decision

STATES = ("pending", "running", "ready", "busy", "stopping", "stopped")
ACTIONS = ("launch", "start", "stop", "replace", "retire")


class ControllerMetrics(Collector):
    """The last decision as gauges, and totals since this controller began."""

    def __init__(self) -> None:
        self._steps = 0
        self._actions: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._last: Decision | None = None
        self._lock = threading.Lock()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def observe(self, decision: Decision) -> None:
        """Adds one step."""
        with self._lock:
            self._last = decision
            self._steps += 1
            for action in ACTIONS:
                result = decision.done.get(action)
                if isinstance(result, list):
                    self._actions[action] += len(result)
                elif result is not None:
                    self._failures[action] += 1

    def collect(self) -> Iterator[Metric]:
        """Nothing before the first step."""
        with self._lock:
            last, steps = self._last, self._steps
            actions, failures = Counter(self._actions), Counter(self._failures)
        if last is None:
            return
        yield from gauges(last)
        yield CounterMetricFamily("facerec_steps", "Decisions.", value=steps)
        yield _by_action("facerec_actions", "Machines acted upon.", actions)
        yield _by_action("facerec_failures", "Calls to EC2 that failed.", failures)

    def render(self) -> str:
        """Prometheus's text format; empty before the first step."""
        return generate_latest(self.registry).decode()


def gauges(decision: Decision) -> Iterator[Metric]:
    """The decision's values; one that is not known is left out."""
    values = (
        ("facerec_waiting_tasks", "Tasks known to exist.", decision.waiting),
        (
            "facerec_requests_in_flight",
            "Photos the web tier has accepted and not answered.",
            decision.outstanding,
        ),
        (
            "facerec_ledger_outstanding",
            "Deprecated: facerec_requests_in_flight.",
            decision.outstanding,
        ),
        ("facerec_machines_needed", "Machines the scaling formula asks for.", decision.need),
        ("facerec_machines_target", "Machines that are to run.", decision.target),
        ("facerec_machines_cap", "Machines that may run.", decision.limits.get("cap")),
        (
            "facerec_arrival_rate",
            "Photos per second, median of the last seconds.",
            decision.terms.get("rate", 0.0),
        ),
        (
            "facerec_service_seconds",
            "Seconds of one process per task, as learned.",
            decision.limits.get("service"),
        ),
        (
            "facerec_boot_seconds",
            "Mean seconds until a machine serves, as learned.",
            decision.limits.get("boot"),
        ),
        ("facerec_last_step_timestamp_seconds", "When the controller last decided.", decision.at),
    )
    for name, documentation, value in values:
        if value is not None:
            yield GaugeMetricFamily(name, documentation, value=float(value))
    states = ((state, decision.machines.get(state, 0)) for state in STATES)
    yield _by_state("facerec_machines", "App-tier machines by state.", states)
    if decision.visible is not None and decision.in_flight is not None:
        counts = (("visible", decision.visible), ("in_flight", decision.in_flight))
        yield _by_state("facerec_queue_messages", "Messages of the queue as SQS counts.", counts)


def _by_state(name: str, documentation: str, values: Iterable[tuple[str, int]]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=["state"])
    for state, value in values:
        family.add_metric([state], value)
    return family


def _by_action(name: str, documentation: str, totals: Counter[str]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=["action"])
    for action in ACTIONS:
        family.add_metric([action], totals[action])
    return family


def serve(metrics: ControllerMetrics, port: int) -> HTTPServer:
    """Answers ``GET /metrics`` on this machine only, in a thread of its own."""
    server, _ = start_http_server(port, "127.0.0.1", metrics.registry)
    return server
