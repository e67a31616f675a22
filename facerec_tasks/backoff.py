"""Growing, jittered pauses after failures."""

import random


class Backoff:
    """``base``, twice that, … at most ``longest`` seconds, each between half of it and all of it.

    Jitter, because several callers that were throttled together would come back together:
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """

    def __init__(self, base: float, longest: float) -> None:
        self._base, self._longest = base, longest
        self._failures = 0
        self._until = float("-inf")

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    def ready(self, now: float) -> bool:
        """Whether the pause is over."""
        return now >= self._until

    def failed(self, now: float) -> float:
        """Begins the next pause and gives its length."""
        pause = min(self._longest, self._base * 2.0 ** min(self._failures, 30))
        pause *= random.uniform(0.5, 1.0)  # noqa: S311  no secret
        self._failures += 1
        self._until = now + pause
        return pause

    def succeeded(self) -> None:
        self._failures, self._until = 0, float("-inf")
