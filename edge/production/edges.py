"""Moments that durations are taken between, and which clock tells them."""

from msgspec import Struct

from edge.observation import Observation, Stamp

CLOCK_SET_MS = 2_000
"""A device's clock and ours differ by no more over one cycle, unless one of them was set."""


class Edge(Struct, frozen=True, omit_defaults=True):
    """When the last part was finished, on the clock that cycle times are taken from."""

    at_ms: int
    mono_ms: int
    boot: str
    by_source: bool
    owed: int = 0
    """Parts that came at the same instant, by another counter: they share the next span."""


def span_s(before: Edge, now: Edge) -> float | None:
    """Seconds between two edges; None where no clock can tell."""
    lasted_ms = cycle_ms(before, now)
    return None if lasted_ms is None else lasted_ms / 1000


def edge_of(now: Observation) -> Edge:
    """The moment of an observation."""
    return Edge(now.at_ms, now.mono_ms, now.boot, now.stamp is Stamp.SOURCE)


def cycle_ms(before: Edge | None, now: Edge) -> int | None:
    """Between two parts; a device whose clock was set in between does not tell it."""
    lasted_ms = span_ms(before, now)
    if before is None or lasted_ms is None or before.boot != now.boot:
        return lasted_ms
    by_us_ms = now.mono_ms - before.mono_ms
    return lasted_ms if abs(lasted_ms - by_us_ms) <= CLOCK_SET_MS else by_us_ms


def span_ms(before: Edge | None, now: Edge) -> int | None:
    """Between two edges: on the device's clock where both have it, else on the monotonic one."""
    if before is None:
        return None
    if before.by_source and now.by_source:
        return max(0, now.at_ms - before.at_ms)
    return now.mono_ms - before.mono_ms if before.boot == now.boot else None
