"""The rows that hold what is so now. A row is small, immutable and replaced whole."""

from collections.abc import Mapping

from msgspec import Struct, json

from edge.observation import Verdict, WorkOrder
from edge.production.line import Role


class Context(Struct, frozen=True, omit_defaults=True):
    """What a part is made under. Without `order` it is UNASSIGNED."""

    order: str | None = None
    operation: int | None = None
    run: str | None = None
    item: str | None = None
    revision: str | None = None
    batch: str | None = None
    operator: str | None = None

    def common(self, other: "Context") -> "Context":
        """What is certain of a part made under this or the other, nobody knows which.

        Only a single run decides the order: two runs of one order are two answers.
        """
        same_run = self.run == other.run
        return Context(
            order=self.order if same_run else None,
            operation=self.operation if same_run else None,
            run=self.run if same_run else None,
            item=self.item if same_run else None,
            revision=self.revision if same_run else None,
            batch=self.batch if self.batch == other.batch else None,
            operator=self.operator if self.operator == other.operator else None,
        )


NO_CONTEXT = Context()


class Totals(Struct, frozen=True, omit_defaults=True):
    """Parts by the counter's role, and those that a person booked as scrap."""

    total: int = 0
    good: int = 0
    reject: int = 0
    booked: int = 0

    def plus(self, role: Role, parts: int) -> "Totals":
        """With `parts` more of one role."""
        return Totals(
            self.total + parts if role is Role.TOTAL else self.total,
            self.good + parts if role is Role.GOOD else self.good,
            self.reject + parts if role is Role.REJECT else self.reject,
            self.booked,
        )

    def book_scrap(self, parts: int) -> "Totals":
        return Totals(self.total, self.good, self.reject, self.booked + parts)

    def and_(self, other: "Totals") -> "Totals":
        return Totals(
            self.total + other.total,
            self.good + other.good,
            self.reject + other.reject,
            self.booked + other.booked,
        )

    def of(self, role: Role) -> int:
        return self.total if role is Role.TOTAL else self.good if role is Role.GOOD else self.reject

    @property
    def good_parts(self) -> int:
        """GQ. A station counts total and reject, or good and reject, or one of them."""
        counted = self.total - self.reject if self.total else self.good
        return counted - self.booked

    @property
    def scrap_parts(self) -> int:
        """SQ."""
        return self.reject + self.booked


class Suspect(Struct, frozen=True):
    """A reading that nobody would believe at once."""

    raw: int
    times: int
    """How many readings in a row agree on it."""
    mono_ms: int
    """Of the reading that was the last to agree."""


class Former(Struct, frozen=True):
    """A baseline given up for a reset: a device may only have been booting, and go on from there."""

    raw: int
    seen_ms: int
    mono_ms: int
    boot: str
    synced: bool
    context: Context
    counted: int
    """Counts added since the reset."""


class Counter(Struct, frozen=True, omit_defaults=True, tag="counter"):
    """The baseline of one counter: the reading that the next one is compared with."""

    raw: int
    at_ms: int
    seen_ms: int
    mono_ms: int
    boot: str
    context: Context = NO_CONTEXT
    """What is certain of every part made since this reading."""
    stale: bool = False
    """The counter has been out of sight since this reading."""
    suspect: Suspect | None = None
    former: Former | None = None
    """Before a reset, for some minutes."""
    synced: bool = True
    """The wall clock was disciplined (NTP) at this reading."""


class Run(Struct, frozen=True, omit_defaults=True):
    """One job at one station for one interval."""

    id: str
    order: str
    operation: int | None
    started_ms: int
    quantity: int
    totals: Totals = Totals()
    before: Totals = Totals()
    """Of the same job at this station in earlier runs."""
    cycles: int = 0
    cycles_s: float = 0.0

    @property
    def order_totals(self) -> Totals:
        return self.before.and_(self.totals)


class Noun(Struct, frozen=True):
    """A label that waits for the next one (a reason for its quantity)."""

    letter: str
    body: str
    mono_ms: int
    boot: str


class LastScan(Struct, frozen=True):
    """To tell a double trigger from a second scan."""

    label: str
    mono_ms: int
    boot: str


class Edge(Struct, frozen=True, omit_defaults=True):
    """When the last part was finished, on the clock that cycle times are taken from."""

    at_ms: int
    mono_ms: int
    boot: str
    by_source: bool
    owed: int = 0
    """Parts that came at the same instant, by another counter: they share the next span."""


class Station(Struct, frozen=True, omit_defaults=True, tag="station"):
    """What a station is doing now."""

    context: Context = NO_CONTEXT
    run: Run | None = None
    unassigned: Totals = Totals()
    held: int = 0
    """Parts that readings claim and that nobody would believe: a person decides."""
    last_job: tuple[str, int | None] | None = None
    """Order and operation that was interrupted here: what a RESUME means."""
    state: str | None = None
    state_at_ms: int = 0
    state_mono_ms: int = 0
    state_boot: str = ""
    state_by_source: bool = False
    edge: Edge | None = None
    last_cycle_s: float | None = None
    noun: Noun | None = None
    last_scan: LastScan | None = None
    said: str = ""
    """What the last scan did, in words, for the screen."""
    said_verdict: Verdict | None = None
    said_at_ms: int = 0
    bad_signals: Mapping[str, str] = {}
    """Signals that cannot be read, with the reason."""


class Job(Struct, frozen=True, omit_defaults=True, tag="job"):
    """An order's operation, over all stations."""

    order: str
    operation: int | None
    state: str = "AllowedToStart"
    stations: tuple[str, ...] = ()
    """Where it runs now."""
    totals: Mapping[str, Totals] = {}
    """By station, of runs that have ended."""
    batches: Mapping[str, str] = {}
    """By station, the batch that was on when its last run ended."""


class Frame(Struct, frozen=True):
    """One that a rig sent."""

    digest: str
    seen_ms: int
    mono_ms: int
    boot: str


class Rig(Struct, frozen=True, omit_defaults=True, tag="rig"):
    """The results that a rig sent last, to know a repeated one."""

    recent: tuple["Frame", ...] = ()
    unreadable: bool = False
    """The last frame was broken."""


class LineRow(Struct, frozen=True, omit_defaults=True, tag="line"):
    """What belongs to no station."""

    runs: int = 0
    """How many runs were ever begun; the next is named after it."""
    lost: Mapping[str, int] = {}
    """Sources that are out of reach, since when."""


Row = Counter | Station | Job | Rig | LineRow | WorkOrder

LINE = "line"
"""Key of the LineRow."""

_encoder = json.Encoder()
_decoder: json.Decoder[Row] = json.Decoder(Row)


def encode_row(row: Row) -> bytes:
    return _encoder.encode(row)


def decode_row(body: bytes) -> Row:
    """Raises msgspec.ValidationError."""
    return _decoder.decode(body)


def order_key(order: str) -> str:
    return f"order/{order}"


def job_key(order: str, operation: int | None) -> str:
    return f"job/{order}/{'' if operation is None else operation}"
