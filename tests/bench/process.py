"""Figures: what this process has used, and the middle of several."""

import os
import statistics
from collections.abc import Sequence
from pathlib import Path

Figures = dict[str, float]


def write_bytes() -> int:
    """What this process had written to storage (proc(5), io); 0 on a folder in memory."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def resident_mb() -> float:
    """Memory that it holds now (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def highest_mb() -> float:
    """The most memory that it ever held (proc(5), status)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024 / 1e6


def medians(found: Sequence[Figures]) -> Figures:
    """Of each figure."""
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def noise_percent(found: Sequence[Figures], name: str) -> float:
    """How far its values lie apart, of the median."""
    values = [one[name] for one in found]
    return (max(values) - min(values)) / statistics.median(values) * 100
