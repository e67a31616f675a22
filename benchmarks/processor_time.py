"""Processor time of a process and all its descendants, from Linux's ``/proc``."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree_seconds(roots: Iterable[int]) -> float:
    """Seconds of user and system time, descendants that have ended and been waited for included."""
    spent: dict[int, float] = {}
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The second field is the program's name in parentheses, which may hold anything.
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        pid, parent = int(stat.parent.name), int(fields[1])
        children[parent].append(pid)
        spent[pid] = sum(map(int, fields[11:15])) / TICKS
    return sum(spent.get(pid, 0.0) for root in roots for pid in _descendants(root, children))


def _descendants(root: int, children: dict[int, list[int]]) -> list[int]:
    found = [root]
    for pid in found:
        found.extend(children[pid])
    return found
