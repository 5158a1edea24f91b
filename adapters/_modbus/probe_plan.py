"""From what was seen of a device to the lines of TOML that read it."""

import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from adapters._modbus.aim import modicon
from adapters._modbus.codec import BIT_TABLES, Table
from adapters._modbus.probe_watch import Watched
from adapters._modbus.ranking import Match
from adapters._modbus.scan import TABLES
from adapters._modbus.values import FLOATS, Decoded, Form, orders_of
from edge.plural import counted

_EVERY_S = (1, 2, 5, 10, 30, 60)
_SHARE = 4.0
"""So many times as long as a look takes, a period has to be at the least."""
_GAP = 8
"""Registers that the adapter reads along."""
_MOST_SIGNALS = 40
_MOST_OTHERS = 12
_MOST_IDLE = 16
_FASTEST = 20.0
"""A counter of parts does not rise faster in a second."""
_CLOCKS = (1.0, 10.0, 100.0, 1000.0)
_FLOAT_LEAST, _FLOAT_MOST, _FLOAT_SPREAD = 1e-3, 1e7, 0.5
_NOISE = 50
"""The low half of a float that moves goes up and down by more than this."""


@dataclass(frozen=True, slots=True)
class Other:
    """A line that could stand there too."""

    key: str
    table: Mapping[str, Any]
    words: str


@dataclass(frozen=True, slots=True)
class StationPlan:
    """A station in the making."""

    name: str
    keys: Mapping[str, Any]
    comments: Sequence[str] = ()
    others: Sequence[Other] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is proposed."""

    stations: Sequence[StationPlan] = ()
    telemetry: Mapping[str, Any] = field(default_factory=dict)
    comments: Sequence[str] = ()
    others: Sequence[Other] = ()


def every(signals: Iterable[Mapping[str, Any]], answer_s: float) -> str:
    """A period that leaves the line some room, where a request takes so long."""
    places = sorted((one["unit"], table, one[table]) for one in signals for table in TABLES if table in one)
    near = sum(one[:2] == two[:2] and two[2] - one[2] <= _GAP for one, two in pairwise(places))
    wanted_s = _SHARE * (len(places) - near) * answer_s
    return f"{next((one for one in _EVERY_S if one >= wanted_s), math.ceil(wanted_s))}s"


# --- of a display ---------------------------------------------------------------------------------


def matched(rows: Sequence[Match], answer_s: float) -> Plan:
    """The best reading as telemetry; the others as comments."""
    if not rows:
        return Plan()
    others = [Other("shown", match_keys(row), match_words(row)) for row in rows[1:_MOST_OTHERS]]
    comments = [f"shown: {match_words(rows[0])}"]
    keys = match_keys(rows[0])
    return Plan((), {"every": every([keys], answer_s), "shown": keys}, comments, others)


def match_keys(match: Match) -> dict[str, Any]:
    """As they stand in the TOML."""
    return {"unit": match.unit, match.table: match.start, **form_keys(match.form)}


def form_keys(form: Form) -> dict[str, Any]:
    keys: dict[str, Any] = {"as": form.kind}
    if form.kind == "text":
        keys["length"] = form.length
    if form.order != orders_of(form.kind)[0] or (form.width > 1 and form.kind != "text"):
        keys["order"] = form.order
    if form.scale != 1:
        keys["scale"] = _number(form.scale)
    if form.offset:
        keys["offset"] = _number(form.offset)
    return keys


def _number(exact: Fraction) -> int | float:
    return int(exact) if exact.denominator == 1 else exact.numerator / exact.denominator


def match_words(match: Match) -> str:
    """`unit 1 holding 100 (40101) as f32, order CDAB: 229.01`, and what else there is to say of it."""
    place = f"unit {match.unit} {match.table} {match.start} ({modicon(match.table, match.start)})"
    said = [f"{place} {_form_words(match.form)}: {_value_words(match)}"]
    said += [match.aim] if match.aim else []
    said += [f"{' and '.join(match.mirrors)} {match.start} held the same"] if match.mirrors else []
    if match.same:
        same = dict.fromkeys(
            _form_words(replace(one, scale=Fraction(1), offset=Fraction(0))) for one in match.same[:4]
        )
        said.append(f"the same {' or '.join(same)}")
    return "; ".join(said)


def _form_words(form: Form) -> str:
    keys = form_keys(form)
    words = f"as {keys.pop('as')}"
    return ", ".join([words, *(f"{key} {value}" for key, value in keys.items())])


def _value_words(match: Match) -> str:
    first = match.values[0]
    if len(set(match.values)) == 1:
        return _plain(first)
    numbers = [one for one in match.values if isinstance(one, int | float)]
    if not numbers:
        return f"{_plain(first)}, and it changed"
    span = f"{_plain(min(numbers))} to {_plain(max(numbers))} while it was watched"
    return span if match.is_exact else f"{span}, near and never just that"


def _plain(value: Decoded) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)


# --- of what changes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rising:
    unit: int
    table: Table
    at: int
    form: Form
    rate: float
    """In a second."""
    is_even: bool
    """As much at each look, and as fast as clocks go."""

    @property
    def is_likely(self) -> bool:
        return not self.is_even and self.rate <= _FASTEST

    def keys(self) -> dict[str, Any]:
        return {"unit": self.unit, self.table: self.at, **form_keys(self.form)}

    def words(self) -> str:
        clock = "; it may be a clock or a heartbeat" if self.is_even else ""
        return f"it only rose while it was watched, by {self.rate:.3g}/s{clock}"


def planned(found: Sequence[Watched], source: str, station: str, answer_s: float) -> Plan:
    """Counters into stations, what else changes into telemetry, bits as comments.

    `answer_s` is how long a request takes.
    """
    is_one = len({one.unit for one in found}) == 1
    rising = [one for table in found if table.table not in BIT_TABLES for one in _rising(table)]
    counters = [one.keys() for one in rising]
    stations, others = _stations(rising, source, station, every(counters, answer_s))
    taken = {(one.unit, one.table, one.at + place) for one in rising for place in range(one.form.width)}
    signals: dict[str, Any] = {}
    for table in found:
        if table.table not in BIT_TABLES:
            for at, form in _changing(table, taken):
                signals[_name(table, at, is_one)] = {"unit": table.unit, table.table: at, **form_keys(form)}
    comments = [_LEFT_OUT.format(len(signals) - _MOST_SIGNALS)] if len(signals) > _MOST_SIGNALS else []
    if not (signals or rising):
        signals = _idle(found, is_one)
        comments = [_IDLE] if signals else []
    kept = dict(list(signals.items())[:_MOST_SIGNALS])
    others += list(_bits(found, source))
    telemetry = {"every": every([*kept.values(), *counters], answer_s), **kept} if kept else {}
    return Plan(stations, telemetry, comments, others[:_MOST_OTHERS])


_LEFT_OUT = "{} more registers changed, and are left out"
_IDLE = "nothing changed while it was watched: these are the first registers that are not 0, as they are"


def _name(table: Watched, at: int, is_one: bool) -> str:
    return f"{table.table}_{at}" if is_one else f"unit_{table.unit}_{table.table}_{at}"


def _rising(table: Watched) -> Iterator[_Rising]:
    span_s = table.at_s[-1] - table.at_s[0] if table.at_s else 0.0
    for at in table.changed():
        steps = [(after - before) & 0xFFFF for before, after in pairwise(table.trace(at))]
        rises = [step for step in steps if step]
        if len(rises) < 2 or max(rises) > 0x1000 or span_s <= 0:
            continue
        rate = sum(steps) / span_s
        is_even = any(abs(rate - clock) < 0.1 * clock for clock in _CLOCKS) and max(steps) <= 2 * max(
            1, min(rises)
        )
        start, form = at, Form("u16")
        if table.grain > 1:
            start, form = _pair_of(table, at)
        if form.kind not in FLOATS:
            yield _Rising(table.unit, table.table, start, form, rate, is_even)


def _stations(
    rising: Sequence[_Rising], source: str, station: str, period: str
) -> tuple[list[StationPlan], list[Other]]:
    """The first likely counter of each unit; the rest as lines for a person to choose from."""
    stations: list[StationPlan] = []
    others: list[Other] = []
    units: set[int] = set()
    for one in rising:
        keys = {"source": source, **one.keys()}
        keys |= {"every": period} if period != _FAST else {}
        if one.unit in units or not one.is_likely:
            others.append(Other("total", keys, one.words()))
            continue
        units.add(one.unit)
        name = station if not stations else f"{station}-unit-{one.unit}"
        cycle = {"ideal_cycle": _cycle(one.rate)}
        comments = [f"a guess: {one.words()}. Is it the number of parts?"]
        comments += [_WIDER] if one.form.width == 1 else []
        stations.append(StationPlan(name, {**cycle, "total": keys}, comments))
    return stations, others


_FAST = "1s"
_WIDER = "one register is counted exactly even where it is the low half of a wider counter"


def _cycle(rate: float) -> str:
    return f"{round(1000 / rate)}ms" if rate > 1 else f"{round(1 / rate, 1):g}s"


def _changing(table: Watched, taken: set[tuple[int, Table, int]]) -> Iterator[tuple[int, Form]]:
    """Each place that changes and is no counter, and what it looks like."""
    beyond = -1
    for at in table.changed():
        if at < beyond or (table.unit, table.table, at) in taken:
            continue
        place = _as_float(table, at) if table.grain == 1 else _pair_of(table, at)
        if place is not None:
            beyond = place[0] + 2
            yield place
            continue
        trace = table.trace(at)
        is_signed = max(trace) > 0xC000 and min(trace) < 0x4000
        yield at, Form("i16" if is_signed else "u16")


def _as_float(table: Watched, at: int) -> tuple[int, Form] | None:
    """Where a register is the half of a float that moves."""
    if max(table.trace(at)) - min(table.trace(at)) < _NOISE:
        return None
    for order, start, high in (("ABCD", at - 1, 0), ("CDAB", at, 1), ("ABCD", at, 0)):
        pairs = list(zip(table.trace(start), table.trace(start + 1), strict=False))
        if len(pairs) == len(table.looks) and all(map(_is_plain_float, (_pair(one, high) for one in pairs))):
            values = [_pair(one, high) for one in pairs]
            if max(values) - min(values) <= _FLOAT_SPREAD * max(map(abs, values)):
                return start, Form("f32", order)
    return None


def _pair(pair: tuple[int, int], high: int) -> float:
    return float(struct.unpack(">f", struct.pack(">HH", pair[high], pair[1 - high]))[0])


def _pair_of(table: Watched, at: int) -> tuple[int, Form]:
    """Where only pairs can be read: a float if it is a plain one, else a whole number."""
    start = at - at % 2
    pairs = list(zip(table.trace(start), table.trace(start + 1), strict=False))
    for order, high in (("ABCD", 0), ("CDAB", 1)):
        if all(_is_plain_float(_pair(pair, high)) for pair in pairs):
            return start, Form("f32", order)
    is_low_first = all(low and not high for low, high in pairs)
    is_signed = all(pair[is_low_first] > 0xC000 for pair in pairs)
    return start, Form("i32" if is_signed else "u32", "CDAB" if is_low_first else "ABCD")


def _is_plain_float(value: float) -> bool:
    return math.isfinite(value) and _FLOAT_LEAST <= abs(value) <= _FLOAT_MOST


def _idle(found: Sequence[Watched], is_one: bool) -> dict[str, Any]:
    signals = {
        _name(table, start, is_one): {"unit": table.unit, table.table: start, **form_keys(form)}
        for table in found
        if table.table not in BIT_TABLES and table.looks
        for at, value in sorted(table.looks[0].items())
        if value
        for start, form in [(at, Form("u16")) if table.grain == 1 else _pair_of(table, at)]
    }
    return dict(list(signals.items())[:_MOST_IDLE])


def _bits(found: Sequence[Watched], source: str) -> Iterator[Other]:
    for table in found:
        if table.table in BIT_TABLES:
            for at in table.changed():
                keys = {"source": source, "unit": table.unit, table.table: at}
                states = {"map": {"0": "Stopped", "1": "Execute"}}
                times = sum(one != other for one, other in pairwise(table.trace(at)))
                yield Other("state", keys | states, f"a bit that changed {counted(times, 'time')}")
