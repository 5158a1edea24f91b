"""What `lineside probe modbus` is given: one look at a device or a bus. It never writes."""

import asyncio
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from adapters._modbus.aim import aims_of
from adapters._modbus.codec import BIT_TABLES, Table
from adapters._modbus.lines import RtuTcpLine, SerialLine, TcpLine
from adapters._modbus.probe_ask import NOT_THERE, Asker, Tell
from adapters._modbus.probe_plan import Other, Plan, StationPlan, match_words, matched, planned
from adapters._modbus.probe_rate import Port, Search
from adapters._modbus.probe_units import Found, find_units, identity
from adapters._modbus.probe_url import keys_of
from adapters._modbus.probe_watch import MOST_CELLS, Watched, watched
from adapters._modbus.ranking import Aims, Stretch, rank, stretches_of, verdict
from adapters._modbus.scan import TABLES, WHOLE, Area, Bounds, gathered, scanned
from adapters._modbus.settings import Settings
from adapters._modbus.shown import Shown, shown
from adapters._modbus.units import Manner
from adapters._modbus.wire import Link
from edge.contract import SourceError, SourceLost, SourceRefused
from edge.plural import counted

__all__ = [
    "TABLES", "Bounds", "Report", "StationPlan", "Wish", "aims_of", "keys_of", "probe", "same_line", "shown",
]  # fmt: skip

_AnyLine = TcpLine | SerialLine | RtuTcpLine
_TIMEOUT_S = {True: 1.0, False: 0.3}
"""TCP, serial: as long as a unit may take that nobody knows yet."""
_REACH = 4
"""Registers of the widest number."""
_SLOW_S = 0.4
"""An answer that took so long needs a longer timeout than the probe's."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to look at."""

    keys: Mapping[str, Any]
    """Of the source, as `keys_of` gives them."""
    name: str = "bus-1"
    station: str = "station-1"
    units: Sequence[int] = ()
    """Empty: the usual ones."""
    tables: Sequence[Table] = TABLES
    bounds: Bounds = WHOLE
    shown: Shown | None = None
    aims: Aims | None = None
    for_s: float = 5.0
    pause_s: float = 0.02
    timeout_s: float | None = None
    known: Settings | None = None
    """Of the line's file, which has a source for this device or bus already."""


@dataclass(slots=True)
class Report:
    """What was found."""

    source: Mapping[str, Any]
    """The keys of `[source.NAME]`."""
    stations: Sequence[StationPlan] = ()
    telemetry: Mapping[str, Any] = field(default_factory=dict)
    comments: Sequence[str] = ()
    others: Sequence[Other] = ()
    words: list[str] = field(default_factory=list)
    broken: str = ""
    """Why the look at it ended before its end; empty where it did not."""


async def probe(wish: Wish, enough: asyncio.Event, tell: Tell) -> Report:
    """Look at the line; `enough` ends what is being done, and the next thing begins.

    Raises SourceLost or SourceRefused where nothing could be seen.
    """
    line = (wish.known or Settings.model_validate(wish.keys)).line()
    if not isinstance(line, TcpLine) and (strange := [one for one in wish.units if not 1 <= one <= 247]):
        raise SourceRefused(wish.name, f"a serial line has units 1 to 247, not {strange[0]}")
    timeout_s = wish.timeout_s or _TIMEOUT_S[isinstance(line, TcpLine)]

    def link_of(line: _AnyLine) -> Link:
        return Link(wish.name, line, lambda unit: Manner(timeout_s, timeout_s, 0.0, None), lambda: None)

    def asker_of(link: Link) -> Asker:
        return Asker(link, enough, wish.pause_s)

    port = Port.of(line, wish.keys) if isinstance(line, SerialLine) and wish.known is None else None
    if port is not None and not port.is_known:
        line = await Search(port, wish.units, link_of, asker_of, tell).found(wish.name)
        wish = replace(wish, keys={**wish.keys, "baud": line.baud, "parity": line.parity})
    link = link_of(line)
    look = _Look(wish, asker_of(link), tell)
    try:
        await link.open()
        tell(f"{line} is open; nothing is written to it")
        await look.at(line)
    except SourceError as error:
        if not look.found.units:
            raise _advised(wish.name, error, line) from error
        look.broken = str(error)
    finally:
        link.close()
    return look.report()


def _advised(name: str, error: SourceError, line: object) -> SourceError:
    """With what is behind it most often."""
    if isinstance(line, TcpLine) and "closed" in str(error) and _ONE_CONNECTION not in str(error):
        return SourceLost(name, f"{error.reason}: {_ONE_CONNECTION}")
    return error


class _Look:
    """One look, step after step; what was found so far is kept if a step fails."""

    def __init__(self, wish: Wish, asker: Asker, tell: Tell) -> None:
        self.found = Found((), 0)
        self.broken = ""
        self._wish, self._asker, self._tell = wish, asker, tell
        self._areas: list[Area] = []
        self._words: list[str] = []
        self._plan = Plan()

    async def at(self, line: object) -> None:
        wish, asker = self._wish, self._asker
        self.found = await find_units(asker, line, wish.units, self._tell)
        asker.goes_on()
        if not self.found.units:
            raise SourceLost(wish.name, _nobody(self.found, line, asker.whys))
        if wish.aims is not None and wish.shown is not None:
            await self._around(wish.aims, wish.shown)
        else:
            await self._scan()
        asker.goes_on()
        if not any(area.cells for area in self._areas):
            self._words.append("nothing could be read: what it answered stands above")
            return
        self._tell(f"watching for {wish.for_s:g} s what changes, or until Ctrl-C")
        seen = await watched(asker, self._areas, wish.for_s, self._tell)
        asker.goes_on()
        if sum(len(area.cells) for area in self._areas) > MOST_CELLS:
            self._words.append(f"only the first {MOST_CELLS:,} addresses were watched: --range names a part")
        await self._conclude(seen)

    # --- what is there ---

    async def _scan(self) -> None:
        wish = self._wish
        tables = [one for one in wish.tables if wish.shown is None or one not in BIT_TABLES]
        for unit in self.found.units:
            if wish.shown is None:
                for words in await identity(self._asker, unit):
                    self._tell(f"  unit {unit}: {words}")
            for table in tables:
                if self._asker.is_over:
                    return
                area = await scanned(self._asker, unit, table, wish.bounds, self._tell)
                self._areas.append(area)
                self._tell(f"  unit {unit} {area}")

    async def _around(self, aims: Aims, wanted: Shown) -> None:
        """The places that may be meant, and as far beyond each as the widest value reaches."""
        wish, reach = self._wish, max(_REACH, len(wanted.text) // 2 + 9)
        for unit in self.found.units:
            for table in dict.fromkeys(table for table, _ in aims):
                if self._asker.is_over:
                    return
                area = Area.of(unit, table)
                places = sorted(at for of, at in aims if of == table)
                for start, count in _runs(places, reach):
                    meant = [at for at in places if start <= at < start + count]
                    bounds = Bounds(start, start + count - 1, wish.bounds.requests, is_given=True)
                    if not await gathered(self._asker, area, bounds, meant, self._tell):
                        break
                self._areas.append(area)
                self._tell(f"  unit {unit} {area}")

    # --- what it says ---

    async def _conclude(self, seen: Sequence[Watched]) -> None:
        wish = self._wish
        changed = sum(len(one.changed()) for one in seen)
        cells = sum(len(area.cells) for area in self._areas)
        looks = max((len(one.looks) for one in seen), default=0)
        many = "1 address" if cells == 1 else f"{cells:,} addresses"
        self._words.append(f"{many} can be read, {changed:,} of them changed in {counted(looks, 'look')}")
        self._words += [_IN_PAIRS.format(area.unit, area.table) for area in self._areas if area.is_in_pairs]
        if wish.shown is None:
            for row in _rows(seen):
                self._tell(row)
            self._plan = planned(seen, wish.name, wish.station, self._asker.answer_s)
            if not (self._plan.stations or self._plan.telemetry):
                self._words.append("no register held anything but 0: look again while the machine runs")
            return
        rows = await asyncio.to_thread(rank, wish.shown, _stretches(seen), wish.aims)
        for number, match in enumerate(rows[:_SHOWN_ROWS], 1):
            self._tell(f"{number:3}. {match_words(match)}")
        self._words.append(verdict(rows) or _unfound(wish.shown, wish.aims is not None))
        self._plan = matched(rows, self._asker.answer_s)

    def report(self) -> Report:
        plan = self._plan
        words = self._words if self.found.is_whole else [*self._words, "not all units were asked"]
        source = self._source()
        if (known := self._wish.known) is not None:
            words = [*words, *_lacking(source, known)]
        return Report(source, plan.stations, plan.telemetry, plan.comments, plan.others, words, self.broken)

    def _source(self) -> Mapping[str, Any]:
        keys = dict(self._wish.keys)
        limits = [max(1, area.limit // _per_register(area)) for area in self._areas if area.is_limited]
        if limits:
            keys["max_registers"] = min(limits)
        if any(map(_has_narrow_hole, self._areas)):
            keys["max_gap"] = 0
        if self._asker.slowest_s > _SLOW_S:
            keys["timeout"] = f"{round(3 * self._asker.slowest_s, 1):g}s"
        return keys


def same_line(keys: Mapping[str, Any], settings: object) -> bool:
    """Whether a source of a line's file is this device or bus, by whatever name its port is known."""
    if not isinstance(settings, Settings):
        return False
    here, there = Settings.model_validate(keys).owns(), settings.owns()
    return list(map(os.path.realpath, here)) == list(map(os.path.realpath, there))


def _lacking(source: Mapping[str, Any], known: Settings) -> Iterator[str]:
    """What the line's own table has to have, too: without it this device refuses some requests."""
    found = Settings.model_validate(source)
    is_less = {
        "max_registers": known.max_registers > found.max_registers,
        "max_gap": known.max_gap > found.max_gap,
        "timeout": known.timeout < found.timeout,
    }
    for key, value in source.items():
        if is_less.get(key):
            yield f"write {key} = {json.dumps(value)} into the source's table: this device needs it"


_IN_PAIRS = "unit {} {} gives two registers from an even address on, or none: a signal has to be such a pair"
_SHOWN_ROWS = 10
_GAP = 8


def _has_narrow_hole(area: Area) -> bool:
    """So narrow that the adapter would read across it: that is refused."""
    widest = _GAP * _per_register(area)
    return any(two.start - one.stop <= widest for one, two in pairwise(area.runs()))


def _per_register(area: Area) -> int:
    """Cells that the adapter's keys count as one."""
    return 16 if area.table in BIT_TABLES else 1


def _nobody(found: Found, line: object, whys: Mapping[str, int]) -> str:
    """Why no unit was found, as far as that can be known."""
    who = "the unit did not answer" if found.asked == 1 else f"none of {found.asked} units answered"
    said = f"{who} ({'; '.join(list(whys)[:2])})" if whys else who
    if list(whys) == [NOT_THERE]:
        return f"{line} is a gateway, and {said}: are the devices behind it on? --units names others"
    more = "--units names others, --timeout waits longer"
    if isinstance(line, TcpLine):
        return f"{line} is there, and {said}: {_ONE_CONNECTION}; {more}"
    return (
        f"{line} is open, and {said}: are wires A and B the right way round, and rate and parity those of "
        f"the devices? Left out of the URL, they are looked for. {more}"
    )


_ONE_CONNECTION = "many devices take one connection only, so end the agent and other programs first"


def _runs(places: Sequence[int], reach: int) -> list[tuple[int, int]]:
    """Start and count of what has to be read for values that begin at these places."""
    runs: list[list[int]] = []
    for at in places:
        if runs and at <= runs[-1][1]:
            runs[-1][1] = max(runs[-1][1], at + reach)
        else:
            runs.append([at, at + reach])
    return [(start, min(end, 65_536) - start) for start, end in runs]


def _stretches(seen: Sequence[Watched]) -> list[Stretch]:
    """Some of the looks, the first and the last among them."""
    found = []
    for one in seen:
        if one.table not in BIT_TABLES:
            step = max(1, math.ceil(len(one.looks) / _RANKED_LOOKS))
            looks = [*one.looks[:-1:step], *one.looks[-1:]]
            found += stretches_of(one.unit, one.table, looks, one.grain)
    return found


def _unfound(wanted: Shown, is_aimed: bool) -> str:
    where = "there" if is_aimed else "in what can be read"
    more = "leave --at out to look everywhere" if is_aimed else "--range names a part that was not looked at"
    return f"no reading {where} gives {wanted.text}: {more}"


_RANKED_LOOKS = 5
_ROW_CELLS = 8
_MOST_ROWS = 60


def _rows(seen: Sequence[Watched]) -> list[str]:
    """What the registers held that are not 0, eight in a row; then those that changed, look after look."""
    held = [row for one in seen if one.looks for row in _held(one)]
    changed = [row for one in seen for row in _changed(one)]
    return [*_first(held, "rows of registers that are not 0"), *_first(changed, "that changed")]


def _first(rows: Sequence[str], what: str) -> list[str]:
    left = len(rows) - _MOST_ROWS
    return [*rows[:_MOST_ROWS], *([f"  and {left:,} more {what}"] if left > 0 else [])]


def _held(one: Watched) -> Iterator[str]:
    if one.table in BIT_TABLES:
        return
    look = one.looks[0]
    for start in sorted({at - at % _ROW_CELLS for at, value in look.items() if value}):
        cells = (look.get(at) for at in range(start, start + _ROW_CELLS))
        row = " ".join(f"{'-' if cell is None else cell:>5}" for cell in cells)
        yield f"  unit {one.unit} {one.table} {start:>5}: {row}"


def _changed(one: Watched) -> Iterator[str]:
    for at in one.changed():
        trace = one.trace(at)
        more = " ..." if len(trace) > _ROW_CELLS else ""
        yield f"  unit {one.unit} {one.table} {at} changed: {' '.join(map(str, trace[:_ROW_CELLS]))}{more}"
