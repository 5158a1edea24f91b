"""The production events: what happened, one struct a family. Times are UTC milliseconds.

Quantities are parts, durations seconds. Names and values of states follow OPC 10031-4 (jobs)
and PackML (machines).
"""

from typing import ClassVar

from msgspec import Struct

from edge.observation import Stamp, Step, Verdict
from edge.production.state import Context


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
    """Of this role, since the run began; of the unassigned parts where no order is known."""
    order_good: int
    """Good parts of this job (order and operation) at this station, over all its runs."""
    order_scrap: int
    held: int = 0
    """Parts that the reading claims and that were not counted: a person decides."""


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


class Scan(Struct, frozen=True, omit_defaults=True):
    """A label was read, whatever became of it."""

    type: ClassVar[str] = "scan"

    label: str
    gun: str
    outcome: Verdict
    words: str
    kind: str | None = None
    """Letter of the scan grammar; None for a label that means nothing here."""


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


class Test(Struct, frozen=True, omit_defaults=True):
    """A unit was tested."""

    __test__ = False
    type: ClassVar[str] = "test"

    unit: str
    program: str
    passed: bool
    rig: str
    revision: str | None = None
    number: str | None = None
    steps: tuple[Step, ...] = ()


class Disposition(Struct, frozen=True, omit_defaults=True):
    """Parts that were counted good are something else."""

    type: ClassVar[str] = "disposition"

    disposition: str
    quantity: int
    reason: str
    order_good: int
    order_scrap: int


class Gap(Struct, frozen=True, omit_defaults=True):
    """An interval in which a counter was not seen, and what its next reading recovered."""

    type: ClassVar[str] = "gap"

    signal: str
    since_ms: int
    until_ms: int
    recovered: int
    certain: bool
    """False where the counter could have wrapped or been reset unseen."""
    assigned: bool
    """True where one run spans the whole interval."""


class Health(Struct, frozen=True, omit_defaults=True):
    """Something can, or can no longer, be relied on."""

    type: ClassVar[str] = "health"

    subject: str
    """A source, a signal, or the agent."""
    state: str
    detail: str = ""


EventData = Count | Cycle | MachineState | Scan | OrderReceived | Order | Test | Disposition | Gap | Health


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
