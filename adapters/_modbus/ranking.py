"""Which reading of the registers gives what a display shows. Decisions without I/O.

Each reading is weighed in bits: how unlikely these registers would be if it were chance that they fit, less
what makes the reading itself unlikely (a rare order, a strange scale, an address beside the one named).
"""

import math
import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import accumulate, groupby

from adapters._modbus.codec import Table
from adapters._modbus.shown import Shown
from adapters._modbus.values import FLOATS, Decoded, Form, Kind, orders_of, reader

MOST_MATCHES = 40
_NEAR = 0.02
"""A value that changes may have gone so far, as a share of itself, since somebody read the display."""
_FAR_COST = 6.0
"""For a live value that was never seen just as the display shows it."""
_WILDEST = 12.0
_FLOAT_SLACK = 2.0**-22
_TEXT_PADDING = 8
"""Registers of spaces before a number that is written as text, at the most."""

_KIND_COST: dict[Kind, float] = {
    "u16": 0, "i16": 0.5, "u32": 1.5, "i32": 2, "f32": 0.5, "u64": 5, "i64": 5.5, "f64": 3, "bcd16": 4,
    "bcd32": 4.5, "bcd64": 7, "text": 0,
}  # fmt: skip
_ORDER_COST = {
    "AB": 0.0, "BA": 6.0, "ABCD": 0.0, "CDAB": 0.5, "BADC": 5.0, "DCBA": 3.0,
    "ABCDEFGH": 0.0, "GHEFCDAB": 1.0, "BADCFEHG": 5.0, "HGFEDCBA": 3.0,
}  # fmt: skip
_RARE_ORDER_COST = 6.0
_TENS = [Fraction(10) ** power for power in range(-6, 4)]
_ODD = [
    Fraction(text) for text in ("0.5", "0.25", "0.2", "0.125", "0.0625", "0.05", "0.025", "0.02", "0.005")
]
_KELVIN = Fraction("273.15")
_OFFSET_COST = 8.0
"""Least of what speaks against an offset."""
_OFFSETS: Mapping[Fraction, Sequence[Fraction]] = {
    Fraction(scale): tuple(map(Fraction, offsets.split()))
    for scale, offsets in {
        "1": "-273.15 -273 273.15 -32768 -40 -50 -100 -200 -1000",
        "0.1": "-273.15 -273.2 273.15 -3276.8 -40 -50 -100 -200 -1000",
        "0.01": "-273.15 273.15 -327.68 -40 -50 -100 -200",
        "1.8": "32", "0.18": "32", "0.018": "32",
        "0.00625": "-25", "0.0625": "-25", "6.25": "-25",
    }.items()
}  # fmt: skip
"""By the scale: kelvin and degrees Celsius, the beginning of a transmitter's span, the middle of a
converter's, Fahrenheit from Celsius, and percent from 4 to 20 mA in thousandths, hundredths or whole ones."""
_FLOAT_TENS = [Fraction(10) ** power for power in (-3, -2, -1, 1, 2, 3)]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring registers of one table, as they were at each look; the first look is nearest to what was
    shown."""

    unit: int
    table: Table
    start: int
    looks: tuple[tuple[int, ...], ...]
    grain: int = 1
    """Registers that the device gives together or not at all."""


@dataclass(frozen=True, slots=True)
class Aim:
    """Why this address, and how unlikely that is, in bits."""

    cost: float = 0.0
    words: str = ""


Aims = Mapping[tuple[Table, int], Aim]


@dataclass(frozen=True, slots=True)
class Match:
    """One way to read some registers that gives what was shown."""

    unit: int
    table: Table
    start: int
    form: Form
    values: tuple[Decoded, ...]
    """At each look."""
    bits: float
    """What speaks for it."""
    is_exact: bool
    """One of the values reads as the display; else it is live, and was near."""
    aim: str = ""
    same: tuple[Form, ...] = ()
    """Forms that give the same values here: nothing tells them apart."""
    mirrors: tuple[Table, ...] = ()
    """Tables that held the same at this address."""


def rank(wanted: Shown, stretches: Sequence[Stretch], aims: Aims | None = None) -> list[Match]:
    """Best first. `aims` are the only addresses to look at; None: any."""
    search = _Search(wanted, aims)
    found = [match for one in stretches for match in search.matches(one)]
    ordered = sorted(found, key=lambda match: (match.form.offset != 0, -match.bits, match.start))
    return _unmirrored(_grouped(ordered))[:MOST_MATCHES]


# --- what fits ------------------------------------------------------------------------------------


class _Search:
    """One reading of a display, wanted among registers."""

    def __init__(self, wanted: Shown, aims: Aims | None) -> None:
        self._wanted = wanted
        self._aims = aims
        self._forms = _forms(wanted)
        self._windows = {} if wanted.value is None else {
            (is_float, is_live): _windows(wanted, is_float, is_live, has_offsets=aims is not None)
            for is_float in (False, True)
            for is_live in (False, True)
        }  # fmt: skip

    def matches(self, stretch: Stretch) -> Iterator[Match]:
        """Every reading that fits."""
        for form in self._forms:
            offsets = self._offsets(stretch, form.width)
            if not offsets:
                continue
            read = reader([(form, at) for at in offsets])
            fitting = self._text if form.kind == "text" else self._number
            for at, *raws in zip(offsets, *map(read, stretch.looks), strict=True):
                for match in fitting(stretch, at, form, raws):
                    aim = Aim() if self._aims is None else self._aims[match.table, match.start]
                    yield replace(match, bits=match.bits - aim.cost, aim=aim.words)

    def _offsets(self, stretch: Stretch, width: int) -> list[int]:
        room = range(-stretch.start % stretch.grain, len(stretch.looks[0]) - width + 1, stretch.grain)
        if width % stretch.grain:
            return []
        if self._aims is None:
            return list(room)
        return [at for at in room if (stretch.table, stretch.start + at) in self._aims]

    def _text(self, stretch: Stretch, at: int, form: Form, raws: Sequence[Decoded]) -> Iterator[Match]:
        if self._wanted.text in raws:
            bits = _evidence(stretch, at, form.width) - _ORDER_COST[form.order] - form.length
            yield Match(stretch.unit, stretch.table, stretch.start + at, form, tuple(raws), bits, True)

    def _number(self, stretch: Stretch, at: int, form: Form, raws: Sequence[Decoded]) -> Iterator[Match]:
        numbers = [raw for raw in raws if isinstance(raw, int | float)]
        windows = self._windows[form.kind in FLOATS, any(raw != raws[0] for raw in raws)]
        if len(numbers) < len(raws) or not any(map(windows.near, numbers)):
            return
        cost = _KIND_COST[form.kind] + _ORDER_COST.get(form.order, _RARE_ORDER_COST)
        evidence = _evidence(stretch, at, form.width) - cost
        for scale, offset, scale_cost in windows.of(numbers):
            values = tuple(_scaled_as(raw, scale, offset) for raw in numbers)
            fit = _fit(self._wanted, form.kind, scale, offset, values)
            if fit is None:
                continue
            luck, is_exact = fit
            bits = evidence - scale_cost - luck - _wildness(self._wanted, values)
            place = (stretch.unit, stretch.table, stretch.start + at)
            yield Match(*place, replace(form, scale=scale, offset=offset), values, bits, is_exact)


def _evidence(stretch: Stretch, at: int, width: int) -> float:
    return sum(map(_surprise, stretch.looks[0][at : at + width]))


@cache
def _numbers() -> tuple[Form, ...]:
    return tuple(Form(kind, order) for kind in _KIND_COST if kind != "text" for order in orders_of(kind))


def _forms(wanted: Shown) -> list[Form]:
    shortest = (len(wanted.text.encode()) + 1) // 2
    lengths = range(shortest, shortest + (_TEXT_PADDING if wanted.value is not None else 1))
    texts = [Form("text", order, length=length) for length in lengths for order in ("AB", "BA")]
    return texts if wanted.value is None else [*_numbers(), *texts]


def _scaled_as(raw: int | float, scale: Fraction, offset: Fraction) -> int | float:
    """As the adapter scales it: exactly, then the nearest float."""
    if scale == 1 and not offset:
        return raw
    exact = Fraction(raw) * scale + offset
    if exact.denominator == 1 and isinstance(raw, int):
        return int(exact)
    return exact.numerator / exact.denominator


@dataclass(frozen=True, slots=True)
class _Windows:
    """Which raw numbers each scale brings near what was shown, by the lowest."""

    lows: tuple[float, ...]
    reach: tuple[float, ...]
    """The highest of this window and of those before it."""
    windows: tuple[tuple[float, float, Fraction, Fraction, float], ...]
    """Lowest, highest, scale, offset, and what speaks against it in bits."""

    def near(self, raw: int | float) -> bool:
        """Whether any scale does."""
        at = bisect_right(self.lows, raw)
        return at > 0 and raw <= self.reach[at - 1]

    def of(self, raws: Sequence[int | float]) -> Iterator[tuple[Fraction, Fraction, float]]:
        for low, high, scale, offset, cost in self.windows:
            if any(low <= raw <= high for raw in raws):
                yield scale, offset, cost


def _windows(wanted: Shown, is_float: bool, is_live: bool, has_offsets: bool) -> _Windows:
    assert wanted.value is not None
    slack = abs(wanted.value) * Fraction(_NEAR) if is_live else Fraction(0)
    least, most = wanted.reach()
    rows = sorted(
        (
            *_stretched((least - slack - offset) / one, (most + slack - offset) / one),
            one,
            offset,
            cost,
        )
        for one, offset, cost in _ways(is_float, wanted.decimals, has_offsets)
    )
    return _Windows(
        tuple(row[0] for row in rows), tuple(accumulate((row[1] for row in rows), max)), tuple(rows)
    )


def _ways(is_float: bool, decimals: int, has_offsets: bool) -> Iterator[tuple[Fraction, Fraction, float]]:
    """Scales and offsets, and what speaks against each pair."""
    for scale in [Fraction(1), *_FLOAT_TENS] if is_float else [*_TENS, *_ODD]:
        yield scale, Fraction(0), _cost(scale, is_float, decimals)
    for scale, offsets in _OFFSETS.items() if has_offsets else ():
        for offset in offsets:
            yield scale, offset, _OFFSET_COST + (0 if offset in (_KELVIN, -_KELVIN) else 2)


def _stretched(low: Fraction, high: Fraction) -> tuple[float, float]:
    """A bit wider than it is, for what is compared with it is rounded."""
    return float(low) - abs(float(low)) * _FLOAT_SLACK, float(high) + abs(float(high)) * _FLOAT_SLACK


def _cost(scale: Fraction, is_float: bool, decimals: int) -> float:
    if scale == 1 and (is_float or decimals <= 0):
        return 0.0
    if is_float:
        return 4.0 if scale in (Fraction(1, 1000), 1000) else 5.0
    if scale in _ODD:
        return 5.0
    power = round(math.log10(scale))
    if power > 0:
        return 3.0 + power
    if power == -decimals:
        return 0.0
    return 2.0 + 0.5 * abs(power + decimals)


def _fit(
    wanted: Shown, kind: Kind, scale: Fraction, offset: Fraction, values: Sequence[int | float]
) -> tuple[float, bool] | None:
    """How many raw numbers would have fitted as well, in bits; and whether a look was just as shown."""
    assert wanted.value is not None
    least, most = wanted.reach()
    if any(_is_within(value, least, most) for value in values):
        return _patterns(kind, scale, least - offset, most - offset), True
    if len(set(values)) == 1:
        return None
    exact = wanted.value
    off = min(abs(Fraction(value) - exact) for value in values)
    seen = Fraction(max(values)) - Fraction(min(values))
    if off > max(abs(exact) * Fraction(_NEAR), min(seen, abs(exact) / 10)):
        return None
    return _patterns(kind, scale, exact - off - offset, exact + off - offset) + _FAR_COST, False


def _is_within(value: int | float, least: Fraction, most: Fraction) -> bool:
    """A float is compared as what a display would print of it: 229.005 is no float."""
    if isinstance(value, int):
        return least <= value < most or value == least
    slack = abs(value) * _FLOAT_SLACK
    return float(least) - slack <= value < float(most) + slack


def _patterns(kind: Kind, scale: Fraction, least: Fraction, most: Fraction) -> float:
    if kind in FLOATS:
        return math.log2(max(1, _ordinal(kind, float(most / scale)) - _ordinal(kind, float(least / scale))))
    return math.log2(max(1, math.ceil(most / scale) - math.ceil(least / scale)))


def _ordinal(kind: Kind, value: float) -> int:
    """Where a float stands in the row of all floats of its width."""
    letter, whole, bits = ("f", "I", 32) if kind == "f32" else ("d", "Q", 64)
    try:
        number = int(struct.unpack(f">{whole}", struct.pack(f">{letter}", abs(value)))[0])
    except OverflowError:
        number = (1 << bits - 1) - 1
    return number if value >= 0 else -number


def _surprise(cell: int) -> float:
    """Bits that a register's content is worth: nothing is as common as zero, small numbers are frequent."""
    if cell == 0:
        return 0.8
    return min(16.0, 3.0 + 1.2 * min(cell, 65_536 - cell).bit_length()) if cell != 0xFFFF else 3.0


def _wildness(wanted: Shown, values: Sequence[int | float]) -> float:
    """What a process shows moves little in some seconds; a number that is read wrongly leaps."""
    assert wanted.value is not None
    size = max(abs(float(wanted.value)), 10 * float(wanted.digit))
    leap = max(abs(float(value) - float(wanted.value)) for value in values)
    return min(_WILDEST, max(0.0, math.log2((leap / size + 1e-9) * 20)))


# --- what cannot be told apart --------------------------------------------------------------------


def _grouped(ordered: Sequence[Match]) -> list[Match]:
    """One for all forms that give the same values at one place: the likeliest, with the others."""
    rows: dict[object, Match] = {}
    for match in ordered:
        width = 0 if match.form.kind == "text" else match.form.width
        key = (match.unit, match.table, match.start, width, match.form.scale, match.form.offset, match.values)
        if (first := rows.get(key)) is None:
            rows[key] = match
        elif first.form.kind != "text":
            rows[key] = replace(first, same=(*first.same, match.form))
    return list(rows.values())


def _unmirrored(rows: Sequence[Match]) -> list[Match]:
    """Some devices answer for both tables of registers out of one memory."""
    first: dict[object, int] = {}
    kept: list[Match] = []
    for match in rows:
        key = (match.unit, match.start, match.form, match.values)
        if (at := first.get(key)) is None:
            first[key] = len(kept)
            kept.append(match)
        else:
            kept[at] = replace(kept[at], mirrors=(*kept[at].mirrors, match.table))
    return kept


# --- how clear it is ------------------------------------------------------------------------------

_CLEAR_BITS, _LIKELY_BITS = 6.0, 2.0
_LITTLE_BITS = 8.0


def verdict(rows: Sequence[Match]) -> str:
    """How sure the first one is, in a sentence."""
    if not rows:
        return ""
    best = rows[0]
    near = sum(row.bits > best.bits - _LIKELY_BITS for row in rows) - 1
    if best.bits < _LITTLE_BITS:
        return (
            "so short a number fits many registers by chance: look again when the display shows more digits"
        )
    if near:
        return f"{near + 1} fit about as well: look again when the display shows another value"
    if len(rows) == 1 or rows[1].bits < best.bits - _CLEAR_BITS:
        return "the first one stands alone"
    return "the first one is the likeliest, not the only one: compare it again at another value"


def stretches_of(
    unit: int, table: Table, looks: Sequence[Mapping[int, int]], grain: int = 1
) -> list[Stretch]:
    """Runs of neighbouring addresses out of looks at single registers; what a look lacks is left out."""
    common = sorted(set.intersection(*(set(look) for look in looks))) if looks else []
    runs = [list(run) for _, run in groupby(enumerate(common), key=lambda pair: pair[1] - pair[0])]
    return [
        Stretch(unit, table, run[0][1], tuple(tuple(look[at] for _, at in run) for look in looks), grain)
        for run in runs
    ]
