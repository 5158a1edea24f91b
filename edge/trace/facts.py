"""What a trace tells of a unit and of a run, beside what they lead to."""

from msgspec import Struct, convert

from edge.contract import Record
from edge.journal.history import History
from edge.observation import Step
from edge.production.state import Run

MOST_EVENTS = 500
"""Of one serial number; and changes of one lot."""


class Tested(Struct, frozen=True):
    """One test of a unit."""

    at_ms: int
    rig: str
    program: str
    passed: bool | None
    """What holds, whatever the rig says; None: a measurement."""
    revision: str | None = None
    """Of the program."""
    steps: tuple[Step, ...] = ()
    differs: bool = False
    """The rig says one thing, the limits another."""
    tools: tuple[str, ...] = ()


class Seen(Struct, frozen=True):
    """One place where a unit was seen or tested; what a correction changed is in it."""

    at_ms: int
    station: str
    run: str | None = None
    order: str | None = None
    operation: int | None = None
    item: str | None = None
    revision: str | None = None
    batch: str | None = None
    lots: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    lot: str | None = None
    """That its own label names."""


class Decided(Struct, frozen=True):
    """What a person or a rig decided about a unit."""

    at_ms: int
    what: str
    reason: str = ""


class UnitFacts(Struct, frozen=True):
    """A serial number."""

    state: str
    seen: tuple[Seen, ...] = ()
    tests: tuple[Tested, ...] = ()
    decided: tuple[Decided, ...] = ()


class RunFacts(Struct, frozen=True):
    """A run; quantities are parts, times UTC ms."""

    station: str
    kind: str
    from_ms: int
    order: str | None = None
    operation: int | None = None
    item: str | None = None
    revision: str | None = None
    to_ms: int | None = None
    """None: it is on."""
    people: tuple[str, ...] = ()
    produced: int = 0
    good: int = 0
    scrap: int = 0
    rework: int = 0
    tools: tuple[str, ...] = ()


def run_facts(run: Run) -> RunFacts:
    made = run.totals
    return RunFacts(
        run.station, run.kind, run.started_ms, run.order, run.operation, run.item, run.revision, run.ended_ms,
        run.people, made.produced, made.good_parts, made.scrap_parts, made.rework, run.tools,
    )  # fmt: skip


def unit_facts(history: History, serial: str) -> UnitFacts:
    """Its whole history, by the newest owner of each event."""
    records = history.about_unit(serial, MOST_EVENTS)
    unit = history.unit(serial)
    return UnitFacts(
        unit.state if unit else "open",
        tuple(_seen(one) for one in records if one.type in ("unit", "test")),
        tuple(_test(one) for one in records if one.type == "test"),
        tuple(_decided(one) for one in records if one.type == "disposition"),
    )


def _seen(record: Record) -> Seen:
    known = {name: record.context.get(name) for name in _PLACE if record.context.get(name) is not None}
    data = record.data
    return Seen(
        record.at_ms, record.station, **known, lots=tuple(data.get("lots", ())),  # type: ignore[arg-type]
        tools=tuple(data.get("tools", ())), lot=data.get("lot"),
    )  # fmt: skip


_PLACE = ("run", "order", "operation", "item", "revision", "batch")


def _test(record: Record) -> Tested:
    data = record.data
    return Tested(
        record.at_ms, data["rig"], data["program"], data.get("verdict", data["passed"]), data.get("revision"),
        convert(data.get("steps", ()), tuple[Step, ...]), data.get("verdict_differs", False),
        tuple(data.get("tools", ())),
    )  # fmt: skip


def _decided(record: Record) -> Decided:
    return Decided(record.at_ms, record.data["disposition"], record.data["reason"])
