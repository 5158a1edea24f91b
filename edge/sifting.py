"""Which samples of telemetry are news: deadbands and silences. Decisions without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from edge.observation import Value

Number = bool | int | float | None
"""None: the device gives no number."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One signal of a table, and which of its values are news."""

    name: str
    deadband: float = 0.0
    """It is news when it has moved by more than this since it was last kept."""
    is_percent: bool = False
    """The deadband is in percent of what was last kept."""
    silence_ms: int = 600_000
    """After so long it is kept although it has not moved."""
    unit_of_measure: str = ""

    def width(self, value: float) -> float:
        return abs(value) * self.deadband / 100 if self.is_percent else self.deadband


class Lane:
    """Numbers of one table that are always read together, and what was last kept of each."""

    def __init__(self, table: str, bad: dict[str, str], signals: Sequence[Sampled]) -> None:
        """`bad` is the table's own: names whose last word was that there is no value, and why."""
        self.table = table
        self._bad = bad
        self.names = [one.name for one in signals]
        self._signals = signals
        self._places = {name: at for at, name in enumerate(self.names)}
        self._exact = not any(one.deadband for one in signals)
        self._lows: list[float] = [nan] * len(signals)
        self._highs: list[float] = [nan] * len(signals)
        """A value between both is no news; nothing is between two NaN."""
        self._heard_ms = [0] * len(signals)
        self._silent_ms = 0
        """Before it no silence is too long."""

    def sift(self, values: Sequence[Number], now_ms: int) -> dict[str, Value]:
        """Those that are news, by name. `now_ms` is monotonic."""
        if self._bad:
            self._recover(values)
        kept = self._moved(values)
        if now_ms >= self._silent_ms:
            kept = self._with_silent(values, kept, now_ms)
        if len(kept) == len(values) and self._exact:
            self._lows = self._highs = list(values)  # type: ignore[arg-type]
            self._heard_ms = [now_ms] * len(values)
            return dict(zip(self.names, values, strict=True))
        for at in kept:
            self._settle(at, values[at] or 0, now_ms)
        return {self.names[at]: values[at] for at in kept}

    def _moved(self, values: Sequence[Number]) -> list[int]:
        lows, highs = self._lows, self._highs
        if None not in values:
            numbers: Sequence[float] = values  # type: ignore[assignment]
            return [at for at, value in enumerate(numbers) if not lows[at] <= value <= highs[at]]
        return [
            at for at, value in enumerate(values) if value is not None and not lows[at] <= value <= highs[at]
        ]

    def _settle(self, at: int, value: float, now_ms: int) -> None:
        width = self._signals[at].width(value)
        self._lows[at], self._highs[at] = value - width, value + width
        self._heard_ms[at] = now_ms

    def _with_silent(self, values: Sequence[Number], kept: list[int], now_ms: int) -> list[int]:
        """And those of which nothing was kept for too long."""
        heard_ms = self._heard_ms
        silent = [
            at
            for at, one in enumerate(self._signals)
            if now_ms - heard_ms[at] >= one.silence_ms and values[at] is not None
        ]
        both = {*kept, *silent}
        self._silent_ms = min(
            (now_ms if at in both else heard_ms[at]) + one.silence_ms for at, one in enumerate(self._signals)
        )
        return sorted(both)

    def _recover(self, values: Sequence[Number]) -> None:
        """What was bad is news when it is a number again."""
        for name in self._bad.keys() & self._places.keys():
            at = self._places[name]
            if values[at] is not None:
                del self._bad[name]
                self._lows[at] = self._highs[at] = nan


@dataclass(slots=True)
class Last:
    """What was last kept of a signal that comes by itself."""

    value: Value
    mono_ms: int

    def has_moved(self, value: Value, signal: Sampled) -> bool:
        if type(value) is not type(self.value):
            return True
        if isinstance(value, int | float) and isinstance(self.value, int | float):
            return abs(value - self.value) > signal.width(self.value)
        return value != self.value
