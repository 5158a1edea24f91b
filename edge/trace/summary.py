"""What the events of a run add up to: the header of its dossier."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct, json

from edge.journal.history import Entry, History
from edge.journal.ranges import Ranges
from edge.production.totals import NOTHING, Totals, counted, disposed
from edge.trace.dossier import (
    FORMAT,
    Contents,
    Correction,
    EventLine,
    Figures,
    Header,
    MaterialLine,
    Moved,
    Noted,
    RunLine,
    TestLine,
    event_line,
)
from edge.trace.text import utc

MOST_LISTED = 1_000
"""Serial numbers, dispositions, gaps and flags that the header lists; the events have them all."""


def made_of(history: History, known: RunLine) -> Header:
    """Find the run's events and add them up. Call it and what follows within one `snapshot`."""
    history.collect(known.run, known.as_of)
    summary = Summary()
    for entry in history.collected():
        summary.add_entry(entry)
    return summary.header(known)


def events_of(history: History, type_: str | None = None) -> Iterator[EventLine]:
    """The run's own events, ascending; `made_of` has found them."""
    return (event_line(entry) for entry in history.collected(type_) if entry.mine)


class _Known(Struct, frozen=True, omit_defaults=True):
    """What is read of an event's data: each type has some of it."""

    role: str = ""
    produced: int = 0
    counts: bool = True
    of_total: bool = False
    disposition: str = ""
    quantity: float = 0
    reason: str = ""
    unit: str | None = None
    good: int = 0
    scrap: int = 0
    by: str = ""
    why: str = ""
    events: int = 0
    version: int = 0
    first: bool = False
    first_pass: bool = False
    passed: bool | None = None
    verdict: bool | None = None
    rig: str = ""
    program: str = ""
    revision: str | None = None
    material: str = ""
    lot: str = ""
    use: str = ""
    signal: str = ""
    recovered: int = 0
    certain: bool = True
    flag: str = ""
    detail: str = ""


class _Owner(Struct, frozen=True):
    run: str | None = None
    order: str | None = None
    batch: str | None = None
    operator: str | None = None


_known = json.Decoder(_Known).decode
_owner = json.Decoder(_Owner).decode


class Summary:
    """Adds events up, one at a time; holds what is bounded by names, not by events."""

    def __init__(self) -> None:
        self._events = 0
        self._totals: Totals = NOTHING
        self._names: dict[str, dict[str, None]] = {"batch": {}, "operator": {}, "unit": {}}
        self._units_in_all: set[str] = set()
        self._corrections: list[Correction] = []
        self._tests: dict[tuple[str, str, str | None], TestLine] = {}
        self._materials: dict[tuple[str, str, str], MaterialLine] = {}
        self._noted: dict[str, list[Noted]] = {"disposition": [], "gap": [], "flag": []}
        self._moved: dict[tuple[bool, int, str | None, str | None], Ranges] = {}

    def add_entry(self, entry: Entry) -> None:
        """An event that is the run's, or was."""
        if entry.mine:
            self.add(event_line(entry))
        else:
            self._note_move(False, entry.version, entry.owner or "{}", entry.seq)

    def add(self, event: EventLine) -> None:
        """An event of the run."""
        self._events += 1
        owner = _owner(event.owner if event.attribution > 1 else event.context)
        for name, value in (("batch", owner.batch), ("operator", owner.operator)):
            if value is not None:
                self._names[name][value] = None
        if event.attribution > 1 and _owner(event.context).run != owner.run:
            self._note_move(True, event.attribution, bytes(event.context), event.seq)
        if event.type in _INTERPRETED:
            self._interpret(event, _known(event.data))

    def _note_move(self, came: bool, version: int, other: str | bytes, seq: int) -> None:
        owner = _owner(other)
        self._moved.setdefault((came, version, owner.run, owner.order), Ranges()).add(seq, seq)

    def _interpret(self, event: EventLine, data: "_Known") -> None:
        if data.unit is not None:
            self._units_in_all.add(data.unit)
            if len(self._names["unit"]) < MOST_LISTED:
                self._names["unit"][data.unit] = None
        _INTERPRETED[event.type](self, event, data)

    def _unit(self, event: EventLine, data: "_Known") -> None:
        """Its serial number is noted already."""

    def _count(self, event: EventLine, data: "_Known") -> None:
        self._totals = self._totals.and_(
            counted(data.role, data.produced, counts=data.counts, of_total=data.of_total)
        )

    def _disposition(self, event: EventLine, data: "_Known") -> None:
        self._totals = self._totals.and_(disposed(data.disposition, int(data.quantity)))
        words = " ".join(filter(None, (data.reason, data.unit)))
        self._note(event, data.disposition, int(data.quantity), words)

    def _adjustment(self, event: EventLine, data: "_Known") -> None:
        self._totals = self._totals.and_(Totals(added=data.good + data.scrap, booked=data.scrap))
        self._correct(event, "adjusted", data)

    def _attribution(self, event: EventLine, data: "_Known") -> None:
        self._correct(event, data.why, data)

    def _gap(self, event: EventLine, data: "_Known") -> None:
        words = data.signal + ("" if data.certain else ": more may have been missed")
        self._note(event, "recovered", data.recovered, words)

    def _flag(self, event: EventLine, data: "_Known") -> None:
        self._note(event, data.flag, int(data.quantity), data.detail)

    def _correct(self, event: EventLine, what: str, data: "_Known") -> None:
        at = utc(event.at_ms)
        self._corrections.append(
            Correction(at, what, data.by, data.reason, data.good, data.scrap, data.events)
        )

    def _note(self, event: EventLine, kind: str, quantity: int, words: str) -> None:
        noted = self._noted[event.type]
        if len(noted) < MOST_LISTED:
            noted.append(Noted(utc(event.at_ms), kind, quantity, words))

    def _test(self, event: EventLine, data: "_Known") -> None:
        if data.first:
            self._totals = self._totals.and_(Totals(inspected=1, first_pass=int(data.first_pass)))
        key = data.rig, data.program, data.revision
        before = self._tests.get(key) or TestLine(*key)
        passed = bool(data.passed if data.verdict is None else data.verdict)
        self._tests[key] = TestLine(
            *key, before.tests + 1, before.passed + passed, before.first_pass + data.first_pass
        )

    def _material(self, event: EventLine, data: "_Known") -> None:
        key = data.material, data.lot, data.use
        before = self._materials.get(key) or MaterialLine(*key)
        if data.use == "mounted":  # what its label says is in it, as often as it is scanned
            quantity = data.quantity or before.quantity
        else:
            quantity = round(before.quantity + data.quantity, 6)
        self._materials[key] = MaterialLine(*key, before.times + 1, quantity)

    def contents(self) -> Contents:
        made = self._totals
        return Contents(
            self._events, self._moves(True),
            Figures(
                made.produced, made.good_parts, made.scrap_parts, made.rework, made.reworked, made.added,
                made.inspected, made.first_pass,
            ),
            tuple(self._names["batch"]), tuple(self._names["operator"]), tuple(self._corrections),
            tuple(self._tests.values()), tuple(self._materials.values()), tuple(self._names["unit"]),
            len(self._units_in_all), tuple(self._noted["disposition"]), tuple(self._noted["gap"]),
            tuple(self._noted["flag"]),
        )  # fmt: skip

    def header(self, known: RunLine) -> Header:
        run = known.run
        return Header(
            FORMAT, known.line, run.id, run.station, run.kind, run.order, run.operation, run.item,
            run.revision, run.quantity, utc(run.started_ms),
            None if run.ended_ms is None else utc(run.ended_ms),
            known.as_of, self._moves(False), self.contents(), run.tools,
        )  # fmt: skip

    def _moves(self, came: bool) -> tuple[Moved, ...]:
        return tuple(
            Moved(version, run, order, tuple(ranges))
            for (side, version, run, order), ranges in self._moved.items()
            if side is came
        )


_INTERPRETED: Final[Mapping[str, Callable[[Summary, EventLine, _Known], None]]] = {
    "count": Summary._count, "disposition": Summary._disposition, "adjustment": Summary._adjustment,
    "attribution": Summary._attribution, "test": Summary._test, "material": Summary._material,
    "gap": Summary._gap, "flag": Summary._flag, "unit": Summary._unit,
}  # fmt: skip
