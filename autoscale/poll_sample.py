"""Chooses the workers of a large fleet to ping next; those without a reply come first."""

from collections.abc import Container, Mapping

SAMPLE = 50
"""Workers that are asked in one round."""


class PollSample:
    """Samples of a fleet, one a round."""

    def __init__(self) -> None:
        self._chosen: Mapping[str, str] = {}
        self._missing: tuple[str, ...] = ()
        self._next = 0

    def choose(self, nodes: Mapping[str, str]) -> Mapping[str, str]:
        """The nodes to ask, by machine; empty for all, while one sample holds them."""
        names = sorted(nodes)
        chosen = [m for m in self._missing if m in nodes][: SAMPLE // 2]
        while len(names) > SAMPLE and len(chosen) < SAMPLE:
            self._next = (self._next + 1) % len(names)
            if names[self._next] not in chosen:
                chosen.append(names[self._next])
        self._chosen = {m: nodes[m] for m in chosen} if len(names) > SAMPLE else {}
        return self._chosen

    def answered(self, nodes: Container[str]) -> None:
        """What came of the last sample."""
        self._missing = tuple(m for m, node in self._chosen.items() if node not in nodes)
