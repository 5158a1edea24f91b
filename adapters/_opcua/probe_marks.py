"""Which of a server's values may be counters or states: by their names and by what they did; pure."""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from edge.contract import Value

WIDTHS = {
    "Byte": "u8", "UInt16": "u16", "UInt32": "u32", "UInt64": "u64", "Int16": "u15", "Int32": "u31",
    "Int64": "u63",
}  # fmt: skip
"""From the built-in type to the counter's width: one with a sign rolls over a bit earlier."""

_MOST_DISTINCT = 20
_CLOCK_A_SECOND = 200.0
"""No machine makes more: what rises faster tells time, or measures."""
_RISES = 2
_WORD = re.compile(r"[A-Z]+(?![a-zà-ÿ])|[A-Z]?[a-zà-ÿ]+|[0-9]+|[^\W\d_]+")


def vocabulary(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_COUNTS = vocabulary(
    """count counts counter counters cnt ctr total totals quantity qty pieces piece pcs parts part produced
    production output shots strokes acccount zaehler zähler stueck stück stueckzahl stückzahl stk teile anzahl
    menge compteur compteurs quantite quantité pièces contador contadores cantidad piezas pezzi contatore"""
)
_REJECTS = vocabulary(
    """reject rejects rejected scrap scrapped bad nok ng nio defect defects defective waste faulty fail fails
    failed ausschuss schlecht schrott rebut rebuts malo scarto scarti"""
)
_GOODS = vocabulary("good goods ok gut gutteile bon bons bonnes bueno buenas buoni passed accepted")
_NO_COUNTS = vocabulary(
    """heartbeat heart beat alive watchdog wd lifebit toggle ms msec millis second seconds sec secs minute
    minutes hour hours hrs uptime duration tick ticks timestamp timer clock date target setpoint set sp limit
    max min maximum minimum preset nominal soll speed rate temperature pressure version time zeit dauer"""
)
_STATES = vocabulary(
    "state states status zustand betriebszustand maschinenstatus etat état estado stato phase"
)
_STATE_KINDS = {*WIDTHS, "SByte", "String", "LocalizedText"}
_MODES = vocabulary("mode modes betriebsart modus modo")
_NAMES = vocabulary("number no nr id index")
"""A name that ends with one of these says which, not how many."""


@dataclass(slots=True)
class Trace:
    """What one value did while it was watched."""

    first: Value = None
    last: Value = None
    reads: int = 0
    changes: int = 0
    rises: int = 0
    falls: int = 0
    distinct: deque[Value] = field(default_factory=lambda: deque(maxlen=_MOST_DISTINCT))
    _began_s: float = 0.0
    _ended_s: float = 0.0

    def take(self, value: Value, at_s: float) -> None:
        """One reading; None where it had no value that can be used."""
        if value is None:
            return
        if not self.reads:
            self.first, self._began_s = value, at_s
        elif value != self.last:
            self._changed(value)
        if value not in self.distinct:
            self.distinct.append(value)
        self.last, self._ended_s = value, at_s
        self.reads += 1

    def _changed(self, value: Value) -> None:
        self.changes += 1
        if isinstance(value, int | float) and isinstance(self.last, int | float):
            step = float(value) - float(self.last)
            self.rises, self.falls = self.rises + (step > 0), self.falls + (step < 0)

    @property
    def seconds(self) -> float:
        """Between the first reading and the last."""
        return self._ended_s - self._began_s

    @property
    def always(self) -> bool:
        """It was another one at each reading: it may change more often than it was read."""
        return self.reads > 2 and self.changes == self.reads - 1

    @property
    def grown_a_second(self) -> float:
        """How fast a number rose, from the first reading to the last."""
        if not (isinstance(self.first, int | float) and isinstance(self.last, int | float)):
            return 0.0
        return (float(self.last) - float(self.first)) / self.seconds if self.seconds else 0.0

    def often(self) -> str:
        """`0.9/s`, `every 4 s`, `at least 3.9/s`; empty where it stood still or nothing is known."""
        if not self.changes or not self.seconds:
            return ""
        rate = self.changes / self.seconds
        least = "at least " if self.always else ""
        return f"{least}{rate:.1f}/s" if rate >= 1 or self.always else f"every {1 / rate:.1f} s"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a value may be."""

    kind: Literal["counter", "state", "mode"]
    role: Literal["total", "good", "reject", ""] = ""
    is_sure: bool = False
    """It also behaved so; else only its name says it."""
    map: Literal["packml", ""] = ""


def words_of(name: str) -> tuple[str, ...]:
    """`Prod_PartsOK2` in its words: prod, parts, ok, 2."""
    return tuple(word.lower() for word in _WORD.findall(name[:200]))


def mark(names: Sequence[str], kind: str, is_enumeration: bool, trace: Trace) -> Mark | None:
    """What the value at the end of this path may be; `kind` is its built-in type's name."""
    return _packml(names, kind) or _state(names, kind, is_enumeration) or _counter(names, kind, trace)


def _packml(names: Sequence[str], kind: str) -> Mark | None:
    """Names of tags as ISA-TR88.00.02 gives them, wherever a PLC has them."""
    path = [name.lower() for name in names[-4:]]
    own, above = path[-1], " ".join(path[:-1])
    if own == "statecurrent" and kind in WIDTHS:
        return Mark("state", is_sure=True, map="packml")
    if own == "unitmodecurrent" and kind in WIDTHS:
        return Mark("mode", is_sure=True, map="packml")
    if own == "acccount" and kind in WIDTHS:
        if "prodprocessedcount" in above:
            return Mark("counter", "total", is_sure=True)
        if "proddefectivecount" in above:
            return Mark("counter", "reject", is_sure=True)
    return None


def _state(names: Sequence[str], kind: str, is_enumeration: bool) -> Mark | None:
    words = words_of(names[-1])
    own = set(words)
    if own & (_COUNTS | _NO_COUNTS) or set(words[-1:]) & _NAMES or kind not in _STATE_KINDS:
        return None
    if own & _MODES:
        return Mark("mode", is_sure=is_enumeration)
    return Mark("state", is_sure=is_enumeration) if own & _STATES else None


def _counter(names: Sequence[str], kind: str, trace: Trace) -> Mark | None:
    words = words_of(names[-1])
    own = set(words)
    if kind not in WIDTHS or own & _NO_COUNTS or set(words[-1:]) & _NAMES or trace.falls > trace.rises:
        return None
    grows = trace.rises >= _RISES and not trace.falls and trace.grown_a_second < _CLOCK_A_SECOND
    near = own | set(words_of(names[-2]) if len(names) > 1 else ())
    is_named = bool(own & (_COUNTS | _REJECTS | _GOODS))
    if not is_named and not grows:
        return None
    return Mark("counter", _role(own, near), is_sure=grows and bool(near & (_COUNTS | _REJECTS | _GOODS)))


def _role(own: set[str], near: set[str]) -> Literal["total", "good", "reject", ""]:
    for words in (own, near):
        if words & _REJECTS:
            return "reject"
        if words & _GOODS:
            return "good"
    return "total" if near & _COUNTS else ""
