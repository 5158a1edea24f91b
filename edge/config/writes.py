"""`[[station.write]]`: what of a station is written to a device. See edge/writing.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from edge import registry
from edge.config.faults import Faults, nearest
from edge.config.stations import Sources
from edge.config.tables import Document
from edge.contract import Duration, Output, Settings, Span, Target, WriteAddress, WriteValue

What = Literal["order", "release", "hold"]

MEANS: Mapping[What, str] = {
    "order": "the number of the order that runs there",
    "release": "while a job runs there",
    "hold": "while the job that was on there is held, and no other runs",
}
LONGEST_TEXT = 200
LONGEST_CONFIRM = timedelta(seconds=30)

Outputs = Mapping[str, Sequence[Output[Any]]]
"""Of each source, what it switches."""
Targets = dict[str, tuple[Target[Any], ...]]
"""Of each source, each place once."""


@dataclass(frozen=True, slots=True)
class StationWrite:
    """One value of a station that a device is to hold."""

    station: str
    what: What
    source: str
    target: str
    """`station.what`; a second one of the same is `station.what-2`."""
    place: str
    """Source and address, in words."""
    on: WriteValue
    """Of an order, nothing: its number is what is written."""
    off: WriteValue
    """Also of an order: where none runs."""
    at_most: int
    """Writes in a minute."""
    fits: bool = False
    """What the place holds is known, and the values fit there."""

    def words(self) -> str:
        """For a person who checks the file."""
        off = shown(self.off) or "an empty text"
        number = "" if shown(self.off) or self.fits else " (a place that holds a number needs none = 0)"
        when = f"{off} where none runs{number}" if self.what == "order" else f"else {off}"
        what = MEANS[self.what] if self.what == "order" else f"{shown(self.on)} {MEANS[self.what]}"
        return f"writes {self.what} to {self.place}: {what}, {when}; also when the agent starts"


def shown(value: WriteValue) -> str:
    """As the file has it, and the journal."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bearable(value: WriteValue) -> WriteValue:
    if isinstance(value, str) and (len(value) > LONGEST_TEXT or not value.isprintable()):
        raise ValueError(f"must be text of at most {LONGEST_TEXT} printable characters")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("must be a number")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        raise ValueError("is larger than 64 bits hold")
    return value


def _short(value: timedelta) -> timedelta:
    if value > LONGEST_CONFIRM:
        raise ValueError('must not be longer than "30s"')
    return value


Writable = Annotated[WriteValue, AfterValidator(_bearable)]


class WriteTable(Settings):
    """One `[[station.write]]`; its other keys are the address."""

    what: What
    """`order` (its number), `release` (a job runs here) or `hold` (the job that was on here is held)."""
    source: str
    """Whose device is written."""
    on: Writable = True
    """What is written for a release or a hold."""
    off: Writable = False
    """What is written where there is none."""
    none: Writable = ""
    """What is written as the order's number where no job runs."""
    at_most: Annotated[int, Field(ge=1, le=60)] = 10
    """Writes in a minute; of what comes faster the newest is written when there is room."""
    confirm: Annotated[Duration, AfterValidator(_short)] = timedelta(seconds=2)
    """So long after a write the device may still show the value before."""

    @model_validator(mode="after")
    def _of_one_kind(self) -> "WriteTable":
        given = self.model_fields_set
        if self.what == "order" and given & {"on", "off"}:
            raise ValueError(
                "an order has no on and no off: its number is written; none = ... where none runs"
            )
        if self.what != "order" and "none" in given:
            raise ValueError(f"none belongs to an order; a {self.what} has on and off")
        if self.what != "order" and self.on == self.off:
            raise ValueError("on and off are the same")
        return self


def build_writes(
    document: Document, sources: Sources, outputs: Outputs, faults: Faults
) -> tuple[tuple[StationWrite, ...], Targets]:
    """Every value that is to be written, and the places that each source is to write."""
    taken = {name: [(one.address.span(), "a lamp's") for one in some] for name, some in outputs.items()}
    builder = _Builder(document, sources, faults, {}, taken, [])
    for name, written, table in document.stations:
        tables = written.get("write")
        if isinstance(tables, list):
            several = table is not None and table.capacity > 1
            for number, one in enumerate(tables, 1):
                if isinstance(one, dict):
                    builder.add(name, f"station[{name}].write[{number}]", one, several=several)
    targets: Targets = {name: tuple(found) for name, found in builder.targets.items()}
    return tuple(builder.writes), targets


@dataclass(frozen=True, slots=True)
class _Builder:
    document: Document
    sources: Sources
    faults: Faults
    targets: dict[str, list[Target[Any]]]
    taken: dict[str, list[tuple[Span, str]]]
    """Of each source, what of its devices is written already, and for what."""
    writes: list[StationWrite]

    def add(self, station: str, key: str, written: Mapping[str, Any], *, several: bool) -> None:
        own = set(WriteTable.model_fields)
        table = self.faults.check(WriteTable, {k: v for k, v in written.items() if k in own}, key)
        model = self._model(key, written.get("source"))
        if model is None:
            return
        rest = {k: v for k, v in written.items() if k not in own}
        address = self.faults.check(model, rest, key, also=own)
        if table is None or address is None:
            return
        if several and table.what == "order":
            what = "several jobs can run here: which one's number is to be written?"
            self.faults.add(f"{key}.what", what, "only where the station's capacity is 1")
        target = self._target(station, table.what)
        place = f"{table.source} {address.identity()}"
        span, taken = address.span(), self.taken.setdefault(table.source, [])
        if other := next((use for one, use in taken if one.overlaps(span)), ""):
            self.faults.add(key, f"{place} is {other} already: the two would fight", "another place")
        taken.append((span, f"written for {target}"))
        on, off = ("", table.none) if table.what == "order" else (table.on, table.off)
        values = {"none": table.none} if table.what == "order" else {"on": table.on, "off": table.off}
        for name, value in values.items():
            if unfit := address.unfit(value):
                self.faults.add(f"{key}.{name}", unfit, "a value that fits, such as 0")
        self.writes.append(StationWrite(
            station, table.what, table.source, target, place, on, off, table.at_most, address.knows
        ))  # fmt: skip
        self.targets.setdefault(table.source, []).append(Target(target, address, table.confirm))

    def _target(self, station: str, what: What) -> str:
        before = sum(one.station == station and one.what == what for one in self.writes)
        return f"{station}.{what}" + (f"-{before + 1}" if before else "")

    def _model(self, key: str, source: object) -> type[WriteAddress] | None:
        """How a place of this source is written; None where it cannot be."""
        if not isinstance(source, str) or source not in self.document.sources:
            if isinstance(source, str):
                what = f"names no source: {source!r}"
                self.faults.add(f"{key}.source", what, nearest(source, self.document.sources))
            return None
        if source not in self.sources:  # that its type is unknown is told already
            return None
        model: type[WriteAddress] | None = getattr(self.sources[source][0], "Write", None)
        if model is None:
            able = ", ".join(one for one in registry.types() if hasattr(registry.source(one), "Write"))
            self.faults.add(f"{key}.source", f'"{source}" can write nothing', f"of these types can: {able}")
        return model
