"""What EC2 is asked for, in order of preference: instance types, zones, spot before on-demand.

The order is the operator's: by price for the work done. An offer that EC2 refuses is set aside for
some minutes; the next launch asks for the one after it. A launch that is asked for again keeps its
offer, because EC2 knows its token with these parameters.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from facerec_tasks.settings import Settings

REFUSED_FOR = 300.0
"""Seconds for which what EC2 has refused is not asked for."""


@dataclass(frozen=True)
class LaunchOffer:
    """One combination of what a launch may ask for; empty is the template's, or EC2's choice."""

    instance_type: str
    subnet: str
    template: str
    spot: bool

    def __str__(self) -> str:
        parts = (self.instance_type, self.subnet, self.template)
        return " ".join(part for part in parts if part) + (" spot" if self.spot else "")


class LaunchOffers:
    """The offers, and which of them EC2 has refused lately."""

    def __init__(self, settings: Settings) -> None:
        self._all = tuple(_offers(settings))
        self._refused: dict[LaunchOffer, float] = {}
        self._by_token: dict[str, LaunchOffer] = {}

    def choose(self, token: str) -> LaunchOffer:
        """The first that was not refused lately; the one refused longest ago when all were."""
        if token not in self._by_token:
            free = [o for o in self._all if not self._is_refused(o)]
            longest = min(self._all, key=lambda o: self._refused.get(o, 0.0))
            self._by_token = {token: free[0] if free else longest}  # one launch is open at a time
        return self._by_token[token]

    def forget(self, token: str) -> None:
        """The launch is over."""
        self._by_token.pop(token, None)

    def refuse(self, offer: LaunchOffer) -> bool:
        """EC2 has refused; whether another offer is left."""
        self._refused[offer] = time.monotonic()
        self._by_token = {}
        return any(not self._is_refused(o) for o in self._all)

    def _is_refused(self, offer: LaunchOffer) -> bool:
        at = self._refused.get(offer)
        return at is not None and time.monotonic() - at < REFUSED_FOR


def _offers(s: Settings) -> Iterator[LaunchOffer]:
    """Spot of every type and zone before on-demand of any; then without a launch template that EC2
    may not know, if the settings say all that it does."""
    types = s.instance_types or (("",) if s.launch_template else (s.instance_type,))
    for spot in (True, False) if s.spot else (False,):
        for instance_type in types:
            for subnet in s.subnets or ("",):
                yield LaunchOffer(instance_type, subnet, s.launch_template, spot)
    if s.launch_template and s.instance_profile:
        for instance_type in s.instance_types or (s.instance_type,):
            for subnet in s.subnets or ("",):
                yield LaunchOffer(instance_type, subnet, "", spot=False)
