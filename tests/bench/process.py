"""Figures: what this process has used, and the middle of several."""

import os
import statistics
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

Figures = dict[str, float]


def write_bytes() -> int:
    """What this process had written to storage (proc(5), io); 0 on a folder in memory."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def resident_mb() -> float:
    """Memory that it holds now (proc(5), statm)."""
    return resident_mb_of(os.getpid())


def cpu_s_of(pid: int) -> float:
    """User and system time of a process (proc(5), stat), in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fine_cpu_s_of(pid: int) -> float:
    """The same to the nanosecond, of the threads that it has now: for one that uses little, and whose threads
    stay (schedstat; Documentation/scheduler/sched-stats.rst of the kernel)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def resident_mb_of(pid: int) -> float:
    """Memory that a process holds now; 0 where it has ended."""
    with suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 1e6
    return 0.0


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
