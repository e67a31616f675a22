"""Starts services in order, keeps them alive, ends them in order."""

import logging
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from facerec_tasks.errors import FacerecError
from local.processes.readiness import wait_until
from local.processes.service import Service, ServiceSpec

log = logging.getLogger(__name__)

START_TIMEOUT = 60.0
"""Seconds a service may take until it is ready; a loaded machine is slow."""
POLL = 0.05


class ServiceFailed(FacerecError):
    """Raised when a service ends before it is ready, is not ready in time, or must not restart."""

    def __init__(self, service: Service, what: str) -> None:
        lines = service.last_lines()
        super().__init__(
            f"{service.name} {what}; its log {service.spec.log}"
            + (f" ends with:\n{lines}" if lines else " is empty")
        )
        self.name = service.name


@dataclass(frozen=True)
class ShutdownStep:
    """One step of the way down: these get SIGTERM, and seconds to end."""

    names: tuple[str, ...]
    grace: float


class Supervisor:
    """Runs services. Use it in one thread, which lives as long as they shall."""

    def __init__(self, steps: Sequence[ShutdownStep]) -> None:
        """``steps`` lists the services in the order they are ended; others are killed last."""
        self._endings = steps
        self._services: dict[str, Service] = {}

    def start(self, spec: ServiceSpec) -> Service:
        """Starts a service; :meth:`wait_ready` waits for it."""
        service = self._services[spec.name] = Service(spec)
        service.start()
        return service

    def wait_ready(self, *names: str, timeout: float = START_TIMEOUT) -> None:
        """Returns when all of these are ready; raises :class:`ServiceFailed`."""
        deadline = time.monotonic() + timeout
        waiting = [self._services[name] for name in names]
        while waiting := [s for s in waiting if not self._is_ready(s)]:
            if time.monotonic() > deadline:
                raise ServiceFailed(waiting[0], f"is not ready after {timeout:.0f} s")
            time.sleep(POLL)

    def _is_ready(self, service: Service) -> bool:
        if service.ended:
            raise ServiceFailed(service, f"ended with {service.exit_code} while starting")
        return service.spec.ready()

    def restart(self, *, irreplaceable: Sequence[str] = ()) -> None:
        """Starts again what has died, each with its own growing delay.

        Raises :class:`ServiceFailed` for the death of one of the ``irreplaceable``.
        """
        now = time.monotonic()
        for service in self._services.values():
            if service.ended and service.name in irreplaceable:
                raise ServiceFailed(service, f"ended with {service.exit_code}")
            service.restart(now)

    def end(self, report: Callable[[str], None] = log.info) -> None:
        """Ends all services in order, none of them surviving; takes as long as their graces."""
        try:
            for step in self._endings:
                self._run_step(step, report)
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends all services and their children at once."""
        for service in self._services.values():
            service.kill()

    def _run_step(self, step: ShutdownStep, report: Callable[[str], None]) -> None:
        services = [self._services[name] for name in step.names if name in self._services]
        for service in services:
            service.signal(signal.SIGTERM)
        wait_until(lambda: all(s.ended for s in services), step.grace)
        for service in services:
            if not service.ended:
                report(f"{service.name} did not end within {step.grace:.0f} s: killed")
            service.kill()
