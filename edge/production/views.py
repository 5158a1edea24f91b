"""Names for what the core asks the journal about events of the past: of one station, by time.

A view is asked for like a row, by its key, and holds what the events add up to for each context. It is
of everything that was decided before, and is never kept.
"""

from typing import NamedTuple

MOST_EVENTS = 1_000_000
"""Events that one correction may be about; adding them up takes some seconds, in which nothing is decided."""

SINCE = "since/"
WINDOW = "window/"
WHOLE = "whole/"


class Since(NamedTuple):
    """What was seen at a station from an instant on, by the monotonic clock of one boot."""

    station: str
    boot: str
    mono_ms: int

    @property
    def key(self) -> str:
        return f"{SINCE}{self.station}/{self.mono_ms}/{self.boot}"


class Window(NamedTuple):
    """What happened at a station from `from_ms` to before `to_ms`, by event time (UTC)."""

    station: str
    from_ms: int
    to_ms: int

    @property
    def key(self) -> str:
        return f"{WINDOW}{self.station}/{self.from_ms}/{self.to_ms}"


class Whole(NamedTuple):
    """As a window, with what was said of a run as such: adjustments of its count, material by its parts."""

    station: str
    from_ms: int
    to_ms: int

    @property
    def key(self) -> str:
        return f"{WHOLE}{self.station}/{self.from_ms}/{self.to_ms}"


def is_view(key: str) -> bool:
    return key.startswith((SINCE, WINDOW, WHOLE))


def read_view(key: str) -> Since | Window | Whole:
    """Raises ValueError on a key that names no view."""
    kind, station, first, second = key.split("/", 3)
    if kind == SINCE.rstrip("/"):
        return Since(station, second, int(first))
    if kind == WINDOW.rstrip("/"):
        return Window(station, int(first), int(second))
    if kind == WHOLE.rstrip("/"):
        return Whole(station, int(first), int(second))
    raise ValueError(f"{key} names no view")
