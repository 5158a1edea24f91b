"""When each value was read last: a pause much longer than its period is told, though nothing was lost."""

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from adapters._modbus.plan import Point

PERIODS = 10
LEAST_S = 2.0
"""A value that was not read for so many periods, and so long at the least, was out of sight."""
MOST = 4
MINUTE_S = 60.0
"""Pauses told in this time, at the most: of a line that never keeps its periods the missed slots tell."""


class Away(NamedTuple):
    """What was out of sight, since when."""

    since_s: float
    signals: tuple[str, ...]


class Sight:
    """Of one connection; times are monotonic, in seconds. Telemetry is none of it."""

    def __init__(self, points: Iterable[Point]) -> None:
        self._limits_s = {
            one.signal: max(LEAST_S, PERIODS * one.every_s) for one in points if not one.batch
        }  # fmt: skip
        self._read_s: dict[str, float] = {}
        self._told_s: list[float] = []

    def last_s(self, signal: str) -> float | None:
        """When it was read last on this connection."""
        return self._read_s.get(signal)

    def read(self, points: Sequence[Point], at_s: float, bad: Container[str]) -> Away | None:
        """These were read at that time. What was out of sight until now, theirs and others', is told once.

        Of what is in `bad` it is known already.
        """
        away = None
        for point in points:
            last_s = self._read_s.get(point.signal, at_s)
            if at_s - last_s >= LEAST_S and point.signal not in bad and self._is_late(point.signal, at_s):
                away = away or self._away(at_s, bad)
        for point in points:
            self._read_s[point.signal] = at_s
        return away

    def _is_late(self, signal: str, at_s: float) -> bool:
        limit_s, last_s = self._limits_s.get(signal), self._read_s.get(signal)
        return limit_s is not None and last_s is not None and at_s - last_s > limit_s

    def _away(self, at_s: float, bad: Container[str]) -> Away | None:
        late = tuple(one for one in self._limits_s if one not in bad and self._is_late(one, at_s))
        since_s = min(self._read_s[one] for one in late)
        self._read_s |= dict.fromkeys(late, at_s)
        self._told_s = [one for one in self._told_s if at_s - one < MINUTE_S]
        if len(self._told_s) >= MOST:
            return None
        self._told_s.append(at_s)
        return Away(since_s, late)
