"""What the columns of recorded results hold: a time, a verdict, a serial number, a measurement; pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Place = str | int
Kind = Literal[
    "empty", "time", "verdict", "value", "constant", "count", "grows", "digits", "same", "serial", "words",
    "text",
]  # fmt: skip

_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
NUMBER = re.compile(rf"[+-]? *[0-9]+(?:[.,][0-9]+)?{_EXPONENT}")
_VALUE = re.compile(rf"[+-]? *[0-9]+[.,][0-9]+{_EXPONENT} *[A-Za-z%°µ/]*")
UNITS = frozenset({
    "g", "kg", "mg", "t", "lb", "oz", "N", "kN", "Nm", "cNm", "mm", "cm", "m", "µm", "um", "inch", "in", "V",
    "mV", "kV", "A", "mA", "uA", "µA", "W", "kW", "Pa", "hPa", "kPa", "MPa", "bar", "mbar", "psi", "l", "ml",
    "s", "ms", "%", "°C", "C", "K", "Hz", "kHz", "Ohm", "kOhm", "MOhm", "mOhm", "GOhm", "mg/L", "g/L",
    "ml/min", "cc/min", "sccm", "Pa/s", "mbarl/s", "mbar*l/s", "rpm", "deg", "°",
})  # fmt: skip

_DATE = (
    r"(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:[0-9]{4}|[0-9]{2})"
    r"|[0-9]{1,2}[-. /]{1,2}[A-Za-zäÄ]{3,9}[-. /,]{1,2}[0-9]{2,4})"
)
_CLOCK = (
    r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?(?: ?[AaPp][Mm])?(?:Z| ?[+-][0-9]{2}:?[0-9]{2})?"
)
_DIGITS = (
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[T _-]?[0-2][0-9][0-5][0-9](?:[0-5][0-9])?)?"
)
_TIME = re.compile(rf"{_DATE}(?:[T ,_-]{{1,2}}{_CLOCK})?|{_CLOCK}(?: {_DATE})?|{_DIGITS}")
_TIME_IN = re.compile(rf"(?<![0-9]){_DATE}(?![0-9])|[0-9]{{1,2}}:[0-9]{{2}}:[0-9]{{2}}")

_PAIRS = (
    ("PASS", "FAIL"), ("PASSED", "FAILED"), ("OK", "NG"), ("OK", "NOK"), ("OK", "KO"), ("OK", "NOT OK"),
    ("IO", "NIO"), ("I.O.", "N.I.O."), ("I.O", "N.I.O"), ("I. O.", "N. I. O."), ("GOOD", "BAD"),
    ("GUT", "SCHLECHT"), ("ACCEPT", "REJECT"), ("ACCEPTED", "REJECTED"), ("TRUE", "FALSE"), ("GO", "NOGO"),
    ("GO", "NO GO"), ("YES", "NO"), ("P", "F"),
)  # fmt: skip
_PASSES, _FAILS = {good for good, _ in _PAIRS}, {bad for _, bad in _PAIRS}
_BOTH = {"P", "F", "YES", "NO"}
"""Words that mean a verdict only beside their opposite."""
_NORMAL = {"N", "A"}
"""Normal and abnormal, as ASTM E1394 flags a result: only there."""
_ASTM = re.compile(r"[0-7]?R")
"""The frame's number and the kind of record: `3R`."""
_MIXED = {"i.O.": ["n.i.O."], "n.i.O.": ["i.O."], "iO": ["niO"], "niO": ["iO"], "i.O": ["n.i.O"]}


def is_time(text: str) -> bool:
    """A date, a time of day, or both."""
    return _TIME.fullmatch(text) is not None


def holds_time(text: str) -> bool:
    """A date or a time of day somewhere in a text."""
    return _TIME_IN.search(text) is not None


def verdicts(values: Sequence[str]) -> bool:
    """Whether all are words that mean good or bad."""
    words = {value.upper() for value in values}
    if not words or not words <= _PASSES | _FAILS:
        return False
    return not words <= _BOTH or any({good, bad} <= words for good, bad in _PAIRS)


def means_good(word: str) -> bool:
    """Of a word of a verdict."""
    return word.upper() in _PASSES or word == "N"


def own_words(words: set[str], *, astm: bool = False) -> dict[str, list[str]]:
    """`pass` and `fail`, where the rig's words are not the usual ones; what was not heard is guessed."""
    if words <= {"PASS", "FAIL"} or words == {"OK", "NG"}:
        return {}
    if astm and words <= _NORMAL:
        return {"pass": ["N"], "fail": ["A"]}
    passes = sorted(word for word in words if word.upper() in _PASSES)
    fails = sorted(word for word in words if word.upper() in _FAILS)
    other = list(dict.fromkeys(one for word in passes or fails for one in _opposites(word)))
    return {"pass": passes or other, "fail": fails or other}


def unheard(words: set[str]) -> str:
    """Which half of the verdicts was never heard; empty where both were."""
    if not any(word.upper() in _FAILS | {"A"} for word in words):
        return "bad"
    return "" if any(word.upper() in _PASSES | {"N"} for word in words) else "good"


def _opposites(word: str) -> list[str]:
    if word in _MIXED:
        return _MIXED[word]
    big = word.upper()
    found = [bad for good, bad in _PAIRS if good == big] + [good for good, bad in _PAIRS if bad == big]
    return [_cased(one, word) for one in found]


def _cased(word: str, like: str) -> str:
    return word.lower() if like.islower() else word.capitalize() if like.istitle() and len(like) > 1 else word


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one place in all results."""

    at: Place
    values: Sequence[str]
    kind: Kind

    @property
    def said(self) -> list[str]:
        """Those that are not empty."""
        return [one for one in self.values if one]


def column(at: Place, values: Sequence[str], *, astm: bool = False) -> Column:
    """What it holds, as far as its values tell."""
    if astm and all(_ASTM.fullmatch(one) for one in values):
        return Column(at, values, "text")
    flags = astm and set(values) == _NORMAL
    return Column(at, values, "verdict" if flags else _kind([one for one in values if one]))


def _kind(values: Sequence[str]) -> Kind:
    if not values:
        return "empty"
    if all(map(is_time, values)):
        return "time"
    if verdicts(values):
        return "verdict"
    if all(NUMBER.fullmatch(one) for one in values):
        return _kind_of_numbers(values)
    different = len(set(values))
    if different == 1 and len(values) > 1:
        return "same"
    if different == len(values) > 1 and all(map(_may_be_a_unit, values)):
        return "serial"
    return "words" if different <= 4 and different < len(values) else "text"


def _kind_of_numbers(values: Sequence[str]) -> Kind:
    if len(values) < 2:
        return "value"
    if len(set(values)) == 1:
        return "constant"
    if not all(one.isdigit() for one in values):
        return "value"
    steps = {int(late) - int(early) for early, late in pairwise(values)}
    if steps == {1}:
        return "count"
    if min(steps) > 0 and len(values) >= (3 if len(steps) == 1 else 4):
        return "count" if len(steps) == 1 else "grows"
    widths = {len(one) for one in values}
    return "digits" if len(set(values)) == len(values) and len(widths) == 1 and min(widths) >= 5 else "value"


def _may_be_a_unit(value: str) -> bool:
    return any(one.isdigit() for one in value) and not _VALUE.fullmatch(value) and not holds_time(value)


def may_be_a_program(found: Column) -> bool:
    """A word that is always the same, and no unit of measure."""
    if found.kind != "same" or not found.said:
        return False
    word = found.said[0]
    return word not in UNITS and len(word) > 1 and any(one.isalpha() for one in word) and word.isascii()


def float_of(text: str) -> float:
    """Of what NUMBER matches."""
    return float(text.replace(" ", "").replace(",", "."))


def limits(
    value: Column, behind: Sequence[Column], good: Sequence[bool | None]
) -> tuple[Place, Place] | None:
    """Places of low and high: two numbers behind a value that never change, between which all good ones lie.

    `good` is the verdict of each result; where none is good, or there is none, most of all must lie there.
    """
    if len(behind) != 2 or any(one.kind != "constant" or one.said != list(one.values) for one in behind):
        return None
    low, high = sorted(behind, key=lambda one: float_of(one.said[0]))
    ends = float_of(low.said[0]), float_of(high.said[0])
    heard = [(float_of(one), word) for one, word in zip(value.values, good, strict=True) if one]
    passed = [number for number, word in heard if word is True]
    judged = passed or [number for number, _ in heard]
    inside = sum(ends[0] <= number <= ends[1] for number in judged)
    fits = inside == len(judged) if passed else 2 * inside >= len(judged)
    return (low.at, high.at) if fits and ends[0] < ends[1] else None
