"""The production events: what happened, one struct a family. Times are UTC milliseconds.

Those of the loss ledger are in `losses`, those of lots, units and tools in `traced`. Quantities are parts,
durations seconds. Names and values of states follow OPC 10031-4 (jobs) and PackML (machines).
"""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from edge.observation import Material, Stamp, Verdict
from edge.production.context import Context, Kind
from edge.production.losses import LOSS, TOLD, Clock, Gap, Health, Loss
from edge.production.traced import Lot, MaterialUsed, Test, Tool, UnitSeen, lot_subject, unit_subject


class Count(Struct, frozen=True, omit_defaults=True):
    """A counter moved, or could have."""

    type: ClassVar[str] = "count"

    role: str
    produced: int
    """Parts; the raw difference times parts per count, its sign kept."""
    raw: int
    """The reading itself."""
    quality: str
    """See `counting.Kind`."""
    run_total: int
    """Of this role, since the run began."""
    order_good: int
    """Good parts of this job (order and operation) at this station, over all its runs."""
    order_scrap: int
    held: int = 0
    """Parts that the reading claims and that were not counted: a person decides."""
    order_rework: int = 0
    """Parts of this job at this station that wait for rework."""
    source: str = "machine"
    """Who says so: `machine` or `operator`."""
    counts: bool = True
    """False where the other source is the one that counts at this station."""
    of_total: bool = False
    """A reject that is one of the parts that the station's total counts."""
    reason: str = ""
    """Of scrap that an operator counts."""
    was: int | None = None
    """The reading before, where this one is held, uncertain, a reset or another device's, or begins a
    baseline anew."""
    read_as: str = ""
    """How the counter was read before and how now, where the file changed that: of a baseline its address and
    decoding, of what is uncertain the parts that one count stands for."""


class Cycle(Struct, frozen=True, omit_defaults=True):
    """Time between successive parts while the machine was executing."""

    type: ClassVar[str] = "cycle"

    cycle_s: float
    """Mean over `cycles`, where a reading saw more than one part."""
    cycles: int = 1


class MachineState(Struct, frozen=True, omit_defaults=True):
    """The machine went from one state to another."""

    type: ClassVar[str] = "state"

    state: str
    was: str | None
    lasted_s: float | None
    """How long it was in the state before; None where no clock can tell."""
    code: int | None = None
    """The number read from the machine; None: concluded from its counters."""


class MachineMode(Struct, frozen=True, omit_defaults=True):
    """The machine was set to do something else (OPC 40001-1: its operation mode)."""

    type: ClassVar[str] = "mode"

    mode: str
    was: str | None
    code: int | None = None
    """The number read from the machine; None: it says a word."""


class Scan(Struct, frozen=True, omit_defaults=True):
    """A label was read, whatever became of it."""

    type: ClassVar[str] = "scan"

    label: str
    gun: str
    outcome: Verdict
    words: str
    kind: str | None = None
    """Letter of the scan grammar; None for a label that means nothing here."""


class Forgotten(Struct, frozen=True, omit_defaults=True):
    """A label waited for another that never came: it does nothing any more."""

    type: ClassVar[str] = "forgotten"

    label: str
    """Letter and body, as `X BURR`."""
    words: str


class OrderReceived(Struct, frozen=True, omit_defaults=True):
    """A work order came in, or came in again with something changed."""

    type: ClassVar[str] = "work_order"

    order: str
    item: str
    quantity: int
    change: str
    """`new` or `changed`."""
    revision: str | None = None
    batch: str | None = None
    operations: tuple[int, ...] = ()
    materials: tuple[Material, ...] = ()
    reopens: str | None = None
    by: str = ""
    """Who sent it, as far as it is known."""


class Order(Struct, frozen=True, omit_defaults=True):
    """A run of a job (order and operation) begins or ends at a station."""

    type: ClassVar[str] = "order"

    order: str
    operation: int | None
    run_state: str
    """`begun` or `ended`."""
    state: str
    """Of the job, over all its stations."""
    was: str
    good: int
    """Of this order at this station, until now."""
    scrap: int
    quantity: int
    """The target."""
    kind: str = Kind.PRODUCTION
    substate: str = ""
    by: str = ""
    reason: str = ""
    """Where the office did it."""


class Disposition(Struct, frozen=True, omit_defaults=True):
    """Parts that were counted are something else than they were taken for."""

    type: ClassVar[str] = "disposition"

    disposition: str
    """`scrap` (of good ones), `rework` (of good ones), `reworked` (good again), `rework_scrapped`, or
    `scrap_reason`: why the machine's rejects are none, where it is the machine that counts them."""
    quantity: int
    """Negative where it is taken back."""
    reason: str
    """As a person gave it; empty where nobody did."""
    order_good: int
    order_scrap: int
    order_rework: int = 0
    unit: str | None = None

    @property
    def subjects(self) -> tuple[str, ...]:
        return () if self.unit is None else (unit_subject(self.unit),)


class Attribution(Struct, frozen=True, omit_defaults=True):
    """Parts have got another owner. Said for each side, with its figures after it."""

    type: ClassVar[str] = "attribution"

    version: int
    """The `attribution` of the events that were moved; each correction has a higher one."""
    why: str
    """`undo`, `back` or `reassigned`."""
    by: str
    reason: str
    from_ms: int
    to_ms: int
    produced: int
    """Parts that this side got; negative where it lost them."""
    good: int
    scrap: int
    events: int
    order_good: int
    order_scrap: int
    order_rework: int = 0


class Adjustment(Struct, frozen=True, omit_defaults=True):
    """A supervisor corrected the count of a run."""

    type: ClassVar[str] = "adjustment"

    good: int
    scrap: int
    by: str
    reason: str
    order_good: int
    order_scrap: int
    order_rework: int = 0


class Flag(Struct, frozen=True, omit_defaults=True):
    """Something is odd and was accepted all the same."""

    type: ClassVar[str] = "flag"

    flag: str
    """`overproduced`, `scrap_above_total`, `scrap_differs`, `good_differs`, `rework_unknown`,
    `out_of_sequence`, `held_dismissed`, `held_withdrawn`; of tests `verdict_differs`, `number_repeated`,
    `no_unit`; of a badge `badge_ended`."""
    quantity: int
    """Parts that it is about; 0 for a badge."""
    detail: str = ""


class Changeover(Struct, frozen=True, omit_defaults=True):
    """From the last part of one job to the first of the next, at one station."""

    type: ClassVar[str] = "changeover"

    from_order: str
    from_operation: int | None
    lasted_s: float | None
    """None where no clock can tell."""


class Result(Struct, frozen=True, omit_defaults=True):
    """What became of a job, when it has ended, and again after each correction."""

    type: ClassVar[str] = "result"

    order: str
    operation: int | None
    state: str
    item: str
    quantity: int
    """The target."""
    produced: int
    good: int
    scrap: int
    rework: int
    reworked: int
    adjusted: int
    """Parts that a supervisor added; part of `produced`."""
    inspected: int
    first_pass: int
    started_ms: int | None
    ended_ms: int | None
    busy_s: float
    """Time of its runs, added up over the stations."""
    reasons: Mapping[str, int] = {}
    """Scrap by its reason, as far as one was given."""
    lots: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    aside: Mapping[str, int] = {}
    """Parts made in setup, rework and test runs, by `kind/station`."""


class Downtime(Struct, frozen=True, omit_defaults=True):
    """Why the machine stood. Its seconds add up: a reason that is taken back has negative ones."""

    type: ClassVar[str] = "downtime"

    reason: str
    state: str
    """That the machine went to."""
    from_ms: int
    to_ms: int | None
    """None: it still stands; the event is said again when it does not."""
    lasted_s: float | None = None
    """None while it stands, and where no clock can tell."""
    by: str = ""
    taken_back: bool = False


class Write(Struct, frozen=True, omit_defaults=True):
    """A value is to be written to a device, or what became of it."""

    type: ClassVar[str] = "write"

    what: str
    """`order`, `release` or `hold`."""
    target: str
    """`station.what`."""
    place: str
    """Source and address, in words."""
    value: str
    """As text, whatever its type in the device."""
    state: str
    """`intended` is on disk before the wire has it; then `confirmed` (read back, or found there), `failed` or
    `unknown`; `put-off` by its rate, `dropped` for a newer value, `left` alone after too many tries."""
    found: str | None = None
    """What the device holds, or held before: left out where it holds nothing yet, or nobody knows."""
    detail: str = ""
    """Why it is not confirmed, in words."""


EventData = (
    Count | Cycle | MachineState | MachineMode | Scan | OrderReceived | Order | Test | Disposition
    | Attribution | Adjustment | Flag | Changeover | Result | UnitSeen | MaterialUsed | Lot | Gap | Health
    | Loss | Clock | Forgotten | Tool | Downtime | Write
)  # fmt: skip

MOVED = ("count", "cycle", "test", "disposition", "gap", "unit", "material", "adjustment")
"""Types of events that go with their parts when those get another owner."""


_OFTEN = frozenset({Count, Cycle, MachineState})
"""What is neither of a lot nor of a serial number, and nearly all there is."""


def subjects(event: "Event") -> tuple[str, ...]:
    """What the event is part of the history of: lots, serial numbers, the loss ledger."""
    data = event.data
    if isinstance(data, Count):
        return (LOSS,) if data.quality in TOLD else ()
    if isinstance(data, Gap | Health | Loss | Clock):
        return (LOSS,)
    if type(data) in _OFTEN:
        return ()
    if isinstance(data, UnitSeen | MaterialUsed | Lot | Test | Disposition):
        batch = event.context.batch if isinstance(data, UnitSeen | MaterialUsed | Test) else None
        return data.subjects if batch is None else (*data.subjects, lot_subject(batch))
    if isinstance(data, Order) and event.context.batch is not None:
        return (lot_subject(event.context.batch),)
    return ()


class Event(Struct, frozen=True):
    """One production event, as the core makes it; the journal gives it its seq."""

    data: EventData
    at_ms: int
    seen_ms: int
    mono_ms: int
    boot: str
    station: str
    """Empty for an event of the whole line."""
    context: Context
    stamp: Stamp = Stamp.RECEIPT
    """Whose clock `at_ms` comes from."""
