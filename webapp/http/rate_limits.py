"""Rate limits: a token bucket for each client, in this process's memory."""

import threading
from collections import OrderedDict

MAX_CLIENTS = 10_000
"""Buckets kept; who has not come for longest is forgotten, which gives back a full bucket."""


class RateLimiter:
    """``rate`` requests a second for ever, ``burst`` at once. Safe to use from many threads."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str, now: float, cost: int = 1) -> float:
        """0 when the client may go on, else the seconds until it may. ``now`` in seconds."""
        if self._rate <= 0:
            return 0.0
        with self._lock:
            left, since = self._buckets.pop(client, (float(self._burst), now))
            left = min(self._burst, left + (now - since) * self._rate)
            allowed = left >= 1
            self._buckets[client] = (max(0.0, left - cost) if allowed else left, now)
            if len(self._buckets) > MAX_CLIENTS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate
