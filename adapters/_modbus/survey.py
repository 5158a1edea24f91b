"""What `lineside check` says of a Modbus line: its requests, the time they take, and what cannot be."""

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import Any

from adapters._modbus.address import Address
from adapters._modbus.budget import (
    Cost,
    Dead,
    Seconds,
    Tight,
    costs_of,
    dead_units,
    least,
    load,
    pace_of,
    tight,
    usual,
)
from adapters._modbus.codec import BIT_TABLES
from adapters._modbus.lengths import plan_by_period
from adapters._modbus.lines import RtuTcpLine, TcpLine
from adapters._modbus.others import listening_s
from adapters._modbus.plan import Limits, Point, pieces_of
from adapters._modbus.points import point_of
from adapters._modbus.settings import Settings
from adapters._modbus.write import Write
from edge.contract import Output, Signal, Survey, Target, Trouble
from edge.plural import counted

FULL = 0.8
"""Of the line's time: beyond it little is left for fresh reads, for outputs and for asking again."""
MOST_FOR_DEAD = 0.2
"""Of the line's time: what units that do not answer may take, or the others do not keep their periods."""
_GATEWAY_TIMEOUT = 'timeout = "2s"'
_NAMED = 3
"""Requests or signals that a sentence names at the most."""
_DEAD_TOLD = 10
"""Lines about dead units at the most: the first ones and the last."""
_ALIKE_HINT = (
    "let no two requests to one unit be equally long: one value less in one of them, or room to read some "
    "along (max_gap of 1 or more, and max_registers above what they read); or read less often"
)


def survey(
    settings: Settings,
    signals: Sequence[Signal[Address]],
    outputs: Sequence[Output[Any]],
    targets: Sequence[Target[Write]],
) -> Survey:
    """The plan of the line and its budget; faults where units, limits or periods cannot be kept."""
    devices = _devices(settings)
    points = [point_of(signal) for signal in [*signals, *devices]]
    own = {signal.name: f"unit.{signal.address.unit}" for signal in devices}
    limits = settings.limits()
    costs = costs_of(plan_by_period(points, limits), settings.line(), settings.manner, limits)
    others = [one.address.unit for one in outputs] + [one.address.unit for one in targets]
    is_guessed = any(cost.least_s < cost.usual_s for cost in costs)
    at_best = "even if every unit answers at once, " if is_guessed else ""
    return Survey(
        tuple(_lines(settings, costs)),
        (
            *_wrong_units(settings, signals, others),
            *_torn_groups(points),
            *_too_wide(points, limits, own),
            *_too_wide_to_read_back(targets, limits),
            *(Trouble(f"{at_best}{what}", hint) for what, hint in _faults(costs, least)),
        ),
        (
            *_doubts(settings, costs),
            *_idle_tables(settings, {*others, *(signal.address.unit for signal in signals)}),
            *_hasty(settings, {*others, *(point.unit for point in points)}),
            *_lonely(points),
            *_misread(signals),
        ),
    )


def _devices(settings: Settings) -> list[Signal[Address]]:
    """What is read of the devices themselves: serial, uptime, heartbeat."""
    return [one for name, table in settings.unit.items() for one in table.signals("", int(name))]


# --- what cannot be -----------------------------------------------------------------------------------


def _wrong_units(
    settings: Settings, signals: Sequence[Signal[Address]], others: Sequence[int]
) -> Iterator[Trouble]:
    if isinstance(settings.line(), TcpLine):
        return
    for signal in signals:
        if not 1 <= signal.address.unit <= 247:
            what = f"is of unit {signal.address.unit}: a serial line has units 1 to 247"
            yield Trouble(what, signal=signal.name)
    for unit in sorted({unit for unit in others if not 1 <= unit <= 247}):
        yield Trouble(f"something is to be written to unit {unit}: a serial line has units 1 to 247")


def _torn_groups(points: Sequence[Point]) -> Iterator[Trouble]:
    """What is to be read together and cannot, for it is at two places."""
    for name, group in _groups(points):
        places = sorted({f"unit {point.unit} {point.table}" for point in group})
        if len(places) > 1:
            where = " and in ".join(places)
            what = f'{_names(group)} are to be read together as "{name}", but are in {where}'
            yield Trouble(what, "one request reads one table of one unit; use one name for each")


def _too_wide(points: Sequence[Point], limits: Limits, own: dict[str, str]) -> Iterator[Trouble]:
    for (unit, table), group in groupby(sorted(points, key=_table), key=_table):
        most = limits.of(unit).max_registers * (16 if table in BIT_TABLES else 1)
        for piece in pieces_of(group):
            if (size := piece.end - piece.start) <= most:
                continue
            noun = "bit" if table in BIT_TABLES else "register"
            size_words = f"{counted(size, noun)} in one piece, {piece.start} to {piece.end - 1}"
            what = f"{_names(piece.points)}: {size_words}; max_registers lets unit {unit} give {most} at once"
            first = piece.points[0].signal
            key = own.get(first, "")
            yield Trouble(what, "a larger max_registers, if the device takes it", key, "" if key else first)


def _too_wide_to_read_back(targets: Sequence[Target[Write]], limits: Limits) -> Iterator[Trouble]:
    """What is written is read back in one request, or it might be half of one value and half of the next."""
    for target in targets:
        place = target.address
        most = limits.of(place.unit).max_registers * (16 if place.table in BIT_TABLES else 1)
        if place.width > most:
            what = f"{target.name} is written in {counted(place.width, 'register')}, and could not be read "
            what += f"back: max_registers lets unit {place.unit} give {most} at once"
            yield Trouble(what, "a larger max_registers, if the device takes it, or a shorter place")


def _faults(costs: Sequence[Cost], seconds: Seconds) -> Iterator[tuple[str, str]]:
    """What and a hint, of each period that cannot be kept."""
    busy = load(costs, seconds)
    is_overloaded = busy > 1 + 1e-9
    alike = _alike(costs, seconds)
    if is_overloaded:
        yield _overload(costs, seconds, busy) + alike, _ALIKE_HINT if alike else _overload_hint(costs)
    for one in tight(costs, seconds):
        if not is_overloaded or one.in_the_way is not None:
            yield _tightness(one, seconds) + alike, _ALIKE_HINT if alike else _tight_hint(one, seconds)


def _alike(costs: Sequence[Cost], seconds: Seconds) -> str:
    """Why so much of it is silence."""
    waiting = [cost for cost in costs if cost.wait_s]
    if not waiting:
        return ""
    share = sum(cost.waited(seconds) / cost.every_s for cost in waiting)
    return (
        f". Listening takes {share:.0%}: {counted(len(waiting), 'request')}, such as {waiting[0].block}, as "
        "long as another of the unit, and nothing but its length tells an answer from an older one"
    )


def _overload(costs: Sequence[Cost], seconds: Seconds, busy: float) -> str:
    worst = sorted(costs, key=lambda cost: -seconds(cost) / cost.every_s)[:_NAMED]
    most = "; ".join(
        f"{cost.block} takes {_time(seconds(cost))} every {_period(cost.every_s)}" for cost in worst
    )
    all_of = counted(len(costs), "request")
    return f"the periods cannot be kept: {all_of} would take {busy:.0%} of the line's time; the most: {most}"


def _tightness(one: Tight, seconds: Seconds) -> str:
    taken_s, number = sum(seconds(cost) for cost in one.requests), len(one.requests)
    first = f"{one.requests[0].block} takes" if number == 1 else f"its {number} requests take"
    words = f'every = "{_period(one.every_s)}" cannot be kept: {first} {_time(taken_s)}'
    if (other := one.in_the_way) is not None:
        theirs = f"{_time(seconds(other))} every {_period(other.every_s)}"
        words += f"; {other.block} may have just begun, {theirs}"
    return f"{words}; with all else that is due by then {_time(one.needed_s)}"


def _overload_hint(costs: Sequence[Cost]) -> str:
    """What can help at all: one request is not made longer, and one unit is not divided."""
    units = {cost.block.unit for cost in costs}
    cures = ["read less often", "fewer values"]
    cures += ["longer requests (max_registers, max_gap)"] if len(costs) > len(units) else []
    cures += ["some of the units on another line"] if len(units) > 1 else []
    return f"{', '.join(cures[:-1])} or {cures[-1]}"


def _tight_hint(one: Tight, seconds: Seconds) -> str:
    other = one.in_the_way
    if other is None or other.block.count == 1 or one.needed_s - seconds(other) > one.every_s:
        return "read it less often"
    return f"read it less often, or a smaller max_registers for unit {other.block.unit}"


# --- what is doubtful ---------------------------------------------------------------------------------


def _doubts(settings: Settings, costs: Sequence[Cost]) -> Iterator[str]:
    yield from _of_dead_units(settings, costs)
    if any(_faults(costs, least)):
        return
    assumed = f"if a unit begins its answer within {_time(pace_of(settings.line()).usual_s)}, as is assumed"
    doubts = [what for what, _ in _faults(costs, usual)]
    yield from (f"{assumed}: {what}. Measure it, and write it as answers_in" for what in doubts)
    if not doubts and (busy := load(costs, usual)) > FULL:
        yield f"the line is in use for {busy:.0%} of its time: little is left for fresh reads and outputs"


def _hasty(settings: Settings, units: Collection[int]) -> Iterator[str]:
    """Several units behind one address: a gateway, which waits for them as long as it was told to."""
    is_said = "timeout" in settings.model_fields_set or any(one.timeout for one in settings.unit.values())
    if isinstance(settings.line(), TcpLine) and len(units) > 1 and not is_said:
        yield (
            f"{len(units)} units behind one host, as of a gateway: timeout has to be longer than the "
            "gateway's own (1 s in many), or each dead unit costs the connection. Write it, such as "
            f"{_GATEWAY_TIMEOUT}"
        )


def _idle_tables(settings: Settings, used: Collection[int]) -> Iterator[str]:
    idle = [name for name in settings.unit if int(name) not in used]
    yield from (f"unit.{name}: no signal is of unit {name}" for name in idle)


def _misread(signals: Sequence[Signal[Address]]) -> Iterator[str]:
    """Addresses that may not mean what their writer thinks, told by the first of them."""
    found = [(signal.name, doubt) for signal in signals if (doubt := signal.address.doubt())]
    if found:
        name, doubt = found[0]
        others = f" and {counted(len(found) - 1, 'other')}" if len(found) > 1 else ""
        yield f"{name}{others}: {doubt}"


def _lonely(points: Sequence[Point]) -> Iterator[str]:
    for name, group in _groups(points):
        if len(group) == 1:
            yield f'{group[0].signal}: nothing else is to be read together as "{name}"'


def _of_dead_units(settings: Settings, costs: Sequence[Cost]) -> Iterator[str]:
    dead = dead_units(costs, settings.probe_every.total_seconds())
    if dead and dead[0].minute_s > 60 * MOST_FOR_DEAD:
        took = f"{_time(dead[0].minute_s)} of each minute"
        yield f"a unit that is dead takes {took}: a longer probe_every or a shorter timeout spares the others"


# --- what is shown ------------------------------------------------------------------------------------


def _lines(settings: Settings, costs: Sequence[Cost]) -> Iterator[str]:
    if not costs:
        return
    yield _line_words(settings, costs)
    by_place = sorted(costs, key=lambda one: (one.every_s, one.block.unit, one.block.table, one.block.start))
    yield from _table_of(by_place)
    once = "the request takes" if len(costs) == 1 else f"{len(costs)} requests, once each, take"
    whole, busy = _time(sum(cost.usual_s for cost in costs)), _percent(load(costs, usual))
    yield f"{once} {whole}; the line is in use for {busy} of its time"
    if waiting := [cost for cost in costs if cost.wait_s]:
        long = _time(max(cost.wait_s for cost in waiting))
        alike = f"{counted(len(waiting), 'request')} as long as another of the unit"
        yield f"in it, {alike}: after each of them the line is listened to for up to {long}"
    longest = max(costs, key=usual)
    yield f"a fresh read or an output waits for {_time(longest.usual_s)} at the most while all units answer"
    if isinstance(settings.line(), RtuTcpLine):
        listen_s = listening_s(max(cost.answer(usual) - cost.wait_s for cost in costs))
        yield (
            f"another master may be behind a device server: a fresh read takes {_time(listen_s)} more of the "
            "line, in which it is listened to; polled values are believed so much later and cost nothing"
        )
    dead = dead_units(costs, settings.probe_every.total_seconds())
    told = dead if len(dead) <= _DEAD_TOLD else [*dead[: _DEAD_TOLD - 1], dead[-1]]
    yield from (_dead_words(one, min(cost.every_s for cost in costs)) for one in told)


def _line_words(settings: Settings, costs: Sequence[Cost]) -> str:
    line, pace = settings.line(), pace_of(settings.line())
    words = "Modbus TCP"
    if not isinstance(line, TcpLine):
        bits = round(pace.octet_s * line.baud)
        words = f"{line.baud} baud, {bits} bits a byte, {_time(pace.gap_s)} of silence between two frames"
    unknown = [cost for cost in costs if settings.manner(cost.block.unit).answers_in_s is None]
    if unknown:
        what = "a round trip of" if isinstance(line, TcpLine) else "units begin their answer within"
        words += f"; assumed: {what} {_time(pace.usual_s)} (say what it is, as answers_in)"
    return words


def _table_of(costs: Sequence[Cost]) -> Iterator[str]:
    rows = [_row(cost) for cost in costs]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    for first, second, third, last in rows:
        yield f"  {first:<{widths[0]}}  {second:<{widths[1]}}  {third:<{widths[2]}}  {last:>8}"


def _row(cost: Cost) -> tuple[str, str, str, str]:
    block = cost.block
    noun = "bit" if block.table in BIT_TABLES else "register"
    wanted = len({at for point in block.points for at in range(point.start, point.end)})
    size = counted(block.count, noun) + (f", {wanted} wanted" if wanted < block.count else "")
    size += f", up to {cost.along} more along" if cost.along else ""
    return f"{block}", size, f"every {_period(cost.every_s)}", _time(cost.usual_s)


def _dead_words(dead: Dead, every_s: float) -> str:
    """`every_s` is the shortest period."""
    who, them = ("1 unit", "it is") if dead.units == 1 else (f"{dead.units} units", "they are")
    slots = int(dead.shortest_s / every_s)
    missed = f" (misses {counted(slots, 'reading')} of every {_period(every_s)})" if slots else ""
    return (
        f"with {who} dead: {_time(dead.first_s)} until {them} given up, then {_time(dead.minute_s)} of each "
        f"minute, {_time(dead.pause_s)} at a stretch{missed}; a cycle takes up to {_time(dead.cycle_s)}, "
        f"the line is in use for {_percent(dead.load)}"
    )


# --- words --------------------------------------------------------------------------------------------


def _table(point: Point) -> tuple[int, str]:
    return point.unit, point.table


def _groups(points: Sequence[Point]) -> Iterator[tuple[str, list[Point]]]:
    """What is to be read together, by the name in the file; that of an array has spaces."""
    grouped = (point for point in points if point.together and " " not in point.together)
    named = sorted(grouped, key=lambda point: point.together)
    for name, group in groupby(named, key=lambda point: point.together):
        yield name, list(group)


def _names(points: Sequence[Point]) -> str:
    names = [point.signal.strip() for point in points]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _period(seconds: float) -> str:
    """As it is written in the file."""
    return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
