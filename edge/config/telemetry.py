"""`[telemetry.NAME]`: signals that are sampled beside the production events; what they share is said once."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from edge.batches import TelemetryTable
from edge.config.faults import Faults, nearest
from edge.config.stations import Place, SignalBuilder, Signals, Sources
from edge.config.tables import NAME, Document, SignalTable
from edge.contract import Duration, Settings
from edge.errors import Fault
from edge.sifting import Sampled
from edge.telemetry import signal_of

MOST_SIGNALS = 5_000
"""Of one table."""
TAKEN = frozenset({
    "name", "line", "station", "time", "bad", "lost", "order", "operation", "run", "item", "revision",
    "batch", "operator", "kind", "attribution",
})  # fmt: skip
"""Names that a point of telemetry has for something else."""

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%", re.ASCII)


class Deadband(Settings):
    """A number, in the signal's unit, or text such as `"2%"`, of the value that was last kept."""

    width: float = 0.0
    is_percent: bool = False


def _deadband(value: object) -> object:
    if isinstance(value, Deadband):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return Deadband(width=float(value))
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
    if match is None:
        raise ValueError('write a deadband as a number in the unit of the signal, or as a percentage, "2%"')
    return Deadband(width=float(match[1]), is_percent=True)


class TelemetrySignalTable(SignalTable):
    """`NAME = { ... }` in `[telemetry.TABLE]`. What signals share is written once, beside them."""

    every: Duration = timedelta(seconds=1)
    """How often it is sampled."""
    deadband: Annotated[Deadband, BeforeValidator(_deadband)] = Deadband()
    """It is kept when it has moved by more than this; by any difference unless given."""
    silence: Duration = timedelta(minutes=10)
    """The longest silence: after it the value is kept although it has not moved."""
    unit_of_measure: Annotated[str, Field(max_length=32)] = ""
    """Such as `"degC"`; it goes out with the state of the station."""


def build_telemetry(
    document: Document, sources: Sources, signals: Signals, faults: Faults
) -> tuple[TelemetryTable, ...]:
    """Every table, its signals added to those of their sources."""
    return tuple(
        _table(name, written, SignalBuilder(document, sources, signals, Faults(faults.file)), faults)
        for name, written in document.telemetry.items()
    )


def _table(name: str, written: Mapping[str, Any], builder: SignalBuilder, faults: Faults) -> TelemetryTable:
    key = f"telemetry.{name}"
    tables = {one: value for one, value in written.items() if isinstance(value, dict)}
    shared = {one: value for one, value in written.items() if one not in tables and one != "station"}
    places = {
        one: Place(f"{key}.{one}", signal_of(name, one), shared | value, name)
        for one, value in tables.items()
    }
    _check_names(key, list(places), faults)
    columns = {one: builder.columns(place, TelemetrySignalTable) for one, place in places.items()}
    _check_columns(key, {one: [end for end, _ in found] for one, found in columns.items()}, faults)
    sampled = {
        one + end: _sampled(one + end, table) for one, found in columns.items() for end, table in found
    }
    for fault in _each_once(builder.faults, key, {*shared, "source"}):
        faults.found.append(fault)
    return TelemetryTable(name, _station(key, written, builder.document, faults), sampled)


def _sampled(name: str, table: TelemetrySignalTable | None) -> Sampled:
    if table is None:
        return Sampled(name)
    silence_ms = round(table.silence.total_seconds() * 1000)
    return Sampled(name, table.deadband.width, table.deadband.is_percent, silence_ms, table.unit_of_measure)


def _each_once(found: Faults, key: str, shared: set[str]) -> Iterator[Fault]:
    """What is wrong with a key that is written once is told once, where it stands."""
    told: set[Fault] = set()
    for fault in found.found:
        last = fault.key.rpartition(".")[2]
        one = replace(fault, key=f"{key}.{last}") if last in shared else fault
        if one not in told:
            told.add(one)
            yield one


def _check_names(key: str, names: list[str], faults: Faults) -> None:
    if not names:
        faults.add(key, "names no signal", 'such as zone_1 = { holding = 0, as = "u16" }')
    for name in names:
        if not re.fullmatch(NAME, name):
            faults.add(f"{key}.{name}", "has a name with a character that is not allowed", "a-z 0-9 _ . -")
        elif name in TAKEN:
            faults.add(f"{key}.{name}", "has a name that stands for something else", "choose another name")


def _check_columns(key: str, columns: Mapping[str, Sequence[str]], faults: Faults) -> None:
    """`columns` is what is added to each name: of an array one end for each of its values."""
    count = sum(map(len, columns.values()))
    if count > MOST_SIGNALS:
        faults.add(key, f"names {count:,} signals, {MOST_SIGNALS:,} at the most", "divide it in two tables")
    for name, ends in columns.items():
        if "" not in ends and not re.fullmatch(NAME, name + ends[-1]):
            faults.add(f"{key}.{name}", "has a name that is too long for an array", "choose a shorter name")
        for other in sorted({name + end for end in ends if end} & columns.keys()):
            what = f"has the name of a value of the array {name}"
            faults.add(f"{key}.{other}", what, "choose another name")


def _station(key: str, written: Mapping[str, Any], document: Document, faults: Faults) -> str:
    name = written.get("station", "")
    names = [one for one, _, _ in document.stations]
    if name == "" or name in names:
        return str(name)
    faults.add(f"{key}.station", f"names no station: {name!r}", nearest(str(name), names))
    return ""
