"""Which samples of telemetry are news: deadbands and silences. Decisions without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import compress
from math import isfinite, nan
from operator import ne
from typing import Any, NamedTuple

from msgspec import Struct, defstruct, json

from edge.observation import Value

LONGEST_TEXT = 1_000
"""Characters of a value that is a text."""
NO_VALUE = "no value"
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1
"""Of whole numbers: what JSON is written and read with."""

Number = bool | int | float | None
"""None: the device gives no number."""

_encode = json.Encoder().encode
_NULL = b'":null'
"""In JSON, a value that is none: None, NaN or infinity. No name has a quote."""


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

    def __init__(self, table: str, bad: dict[str, str], signals: Sequence[Sampled], span: int = 0) -> None:
        """`bad` is the table's own: names whose last word was that there is no value, and why.

        `span` has a bit for each signal, the same in every lane of the table; 0: no other lane has any.
        """
        self.table = table
        self.span = span
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

    def whole(self, values: Sequence[Number], now_ms: int) -> bytes:
        """All of them as JSON without the braces, where each is a number and news without a deadband.

        Else nothing, and `sift` tells. Registers that all move are written without a look at each name:
        that is half of what they cost.
        """
        if self._bad:
            self._recover(values)
        if not self._exact or not all(map(ne, values, self._lows)):
            return b""
        written = _encode(self._form(*values))
        if _NULL in written:
            return b""
        self._keep_all(values, now_ms)
        return written[1:-1]

    @cached_property
    def _form(self) -> type[Struct]:
        """What msgspec writes as an object of these names: it takes the values as they come."""
        places = [f"at_{at}" for at in range(len(self.names))]
        return defstruct("Row", places, rename=dict(zip(places, self.names, strict=True)), gc=False)

    def sift(self, values: Sequence[Number], now_ms: int) -> dict[str, Value]:
        """Those that are news, by name. `now_ms` is monotonic."""
        if self._bad:
            self._recover(values)
        kept = self._moved(values)
        if now_ms >= self._silent_ms:
            kept = self._with_silent(values, kept, now_ms)
        if len(kept) == len(values) and self._exact:
            self._keep_all(values, now_ms)
            return dict(zip(self.names, values, strict=True))
        for at in kept:
            self._settle(at, values[at] or 0, now_ms)
        return {self.names[at]: values[at] for at in kept}

    def _keep_all(self, values: Sequence[Number], now_ms: int) -> None:
        """Where there is no deadband: both bounds are what was kept last."""
        self._lows = self._highs = list(values)  # type: ignore[arg-type]
        self._heard_ms = [now_ms] * len(values)

    def _moved(self, values: Sequence[Number]) -> list[int]:
        lows, highs = self._lows, self._highs
        if self._exact:
            moved = compress(range(len(values)), map(ne, values, lows))
            return [at for at in moved if values[at] is not None]
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


class NoValue(NamedTuple):
    """In the place of a value that could not be read."""

    why: str


Change = tuple[int, Value | NoValue, int | None]
"""A signal's place in its channel, its value, and how long ago that was by the device's own clock, in ms."""


class Word(Enum):
    """What is to be made of a value that comes by itself."""

    NOTHING = "nothing"
    NEWS = "news"
    SILENCE = "silence"
    """It has not moved for too long: kept, and the device's time is still that of its last move."""
    FAULT = "fault"
    """There is no value; `Single.why` says the reason."""


class Single:
    """A signal that comes by itself, and what was last kept of it."""

    __slots__ = ("_bad", "_heard_ms", "_kind", "_silence_ms", "_value", "_width", "name", "spec", "table")

    def __init__(self, table: str, spec: Sampled, bad: dict[str, str]) -> None:
        """`bad` is the table's own, as it is of a `Lane`."""
        self.table = table
        self.name = spec.name
        self.spec = spec
        self._silence_ms = spec.silence_ms
        self._bad = bad
        self._kind: type | None = None
        self._value: Any = None
        self._width = 0.0
        self._heard_ms = 0

    @property
    def why(self) -> str:
        return self._bad[self.name]

    def hears(self, value: Any, now_ms: int) -> Word:
        """Judge a value, and remember what is kept. `now_ms` is monotonic."""
        last, kind = self._value, type(value)
        width = self._width
        is_still = kind is self._kind and (value == last or (width and abs(value - last) <= width))
        if is_still and now_ms - self._heard_ms < self._silence_ms:
            return Word.NOTHING
        if why := fault(value):
            return self._failed(why)
        if self._bad:
            self._bad.pop(self.name, None)
        self._keep(value, kind, now_ms)
        return Word.SILENCE if is_still else Word.NEWS

    def _keep(self, value: Any, kind: type, now_ms: int) -> None:
        self._value, self._kind, self._heard_ms = value, kind, now_ms
        if self.spec.deadband:
            self._width = 0.0 if kind is str else self.spec.width(value)

    def _failed(self, why: str) -> Word:
        if self._bad.get(self.name) == why:
            return Word.NOTHING
        self._bad[self.name] = why
        self._kind = None
        return Word.FAULT


class Channel:
    """Signals whose values come one at a time; the place of each is that in `signals`."""

    __slots__ = ("signals", "tables")

    def __init__(self, signals: Sequence[Single]) -> None:
        self.signals = signals
        self.tables = frozenset(one.table for one in signals)


def fault(value: object) -> str:
    """Why it cannot be kept; empty where it can."""
    if isinstance(value, float):
        return "" if isfinite(value) else "no number"
    if isinstance(value, int):
        return "" if _LEAST <= value <= _MOST else "a number of more than 64 bits"
    if isinstance(value, str):
        return _fault_of_text(value)
    if isinstance(value, NoValue):
        why = value.why[:LONGEST_TEXT]
        return NO_VALUE if _fault_of_text(why) else why or NO_VALUE
    return NO_VALUE if value is None else "neither a number nor a text"


def _fault_of_text(value: str) -> str:
    if len(value) > LONGEST_TEXT:
        return f"a text of more than {LONGEST_TEXT:,} characters"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "a text that is no Unicode"
    return ""
