"""Memory of processes, as the kernel counts it."""

from pathlib import Path


def peak_mb() -> float:
    """The most this process ever had in memory. ``ru_maxrss`` would count its parent's too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise OSError("the kernel tells no peak memory")


def private_mb(process: int) -> float:
    """What a process shares with no other."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    kilobytes = sum(int(line.split()[1]) for line in lines if line.startswith("Private"))
    return round(kilobytes / 1024, 1)
