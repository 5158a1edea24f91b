"""The rows that hold what is so now. A row is small, immutable and replaced whole."""

from collections.abc import Mapping

from msgspec import Struct, json
from msgspec.structs import replace

from edge.observation import Verdict, WorkOrder, WriteWord
from edge.production.baselines import Counter, Device, ReadAs
from edge.production.beside import Badge, LastUnit, Mount, Rig, Stops, Taken, View
from edge.production.claims import Claim
from edge.production.context import NO_CONTEXT, Context, Kind
from edge.production.edges import Edge
from edge.production.scanned import LastScan, Noun
from edge.production.totals import NOTHING, Totals

JobId = tuple[str, int | None]
"""Order and operation."""


class Run(Struct, frozen=True, omit_defaults=True, tag="run"):
    """One job at one station for one interval; or parts there that no order is known for."""

    id: str
    station: str
    order: str | None
    operation: int | None
    started_ms: int
    quantity: int
    kind: str = Kind.PRODUCTION
    item: str | None = None
    revision: str | None = None
    ended_ms: int | None = None
    last_ms: int = 0
    """Of the newest part, by event time."""
    first_ms: int = 0
    """Of its oldest event, where the clock was set back to before it began."""
    until_ms: int = 0
    """Of the newest event of it that is no count."""
    totals: Totals = NOTHING
    before: Totals = NOTHING
    """Of the same job at this station in earlier runs."""
    elsewhere: int = 0
    """Good parts of the same job at other stations, when this run began."""
    cycles: int = 0
    cycles_s: float = 0.0
    mono_ms: int = 0
    boot: str = ""
    """When it began, on the clock that durations are taken from."""
    people: tuple[str, ...] = ()
    lots: tuple[str, ...] = ()
    """Batches that were made in it."""
    tools: tuple[str, ...] = ()
    """Those that were in use at its station."""
    reasons: Mapping[str, int] = {}
    """Scrap by its reason."""
    straddles: bool = False
    """Of unassigned parts: a job was on; the counter was not read when it was changed."""
    over: bool = False
    """More than the target was made, and it was said."""
    previous: JobId | None = None
    next: JobId | None = None
    """Of unassigned parts: the jobs before and after them at this station."""

    def with_more(self, made: Totals, first_ms: int, until_ms: int) -> "Run":
        """With what events of this time add up to."""
        first_ms = min(first_ms, self.first_ms or self.started_ms)
        return replace(
            self, totals=self.totals.and_(made), until_ms=max(until_ms, self.until_ms),
            first_ms=first_ms if first_ms < self.started_ms else 0,
        )  # fmt: skip

    @property
    def job(self) -> JobId | None:
        return None if self.order is None else (self.order, self.operation)

    @property
    def order_totals(self) -> Totals:
        """Of the job at this station. What is made in setup, rework and test is none of its quantity."""
        if self.kind == Kind.PRODUCTION:
            return self.totals if self.before == NOTHING else self.before.and_(self.totals)
        return self.before.and_(self.totals.dispositions)


class Slot(Struct, frozen=True):
    """One more job at a station that has room for several."""

    context: Context
    run: Run


class Job(Struct, frozen=True, omit_defaults=True, tag="job"):
    """An order's operation (ISA-95: job order), over all stations."""

    order: str
    operation: int | None
    state: str = "AllowedToStart"
    substate: str = ""
    """Of Interrupted: Held or Suspended; of Ended: Completed (OPC 10031-4)."""
    stations: tuple[str, ...] = ()
    """Where it runs now."""
    totals: Mapping[str, Totals] = {}
    """By station, of runs that have ended."""
    aside: Mapping[str, Totals] = {}
    """Made in setup, rework and test runs that have ended, by `kind/station`."""
    batches: Mapping[str, str] = {}
    """By station, the batch that was on when its last run ended."""
    started_ms: int | None = None
    ended_ms: int | None = None
    runs: int = 0
    """How many have ended, or were made by a correction, and were not taken back."""
    busy_s: float = 0.0
    """Sum over its runs that have ended."""
    people: tuple[str, ...] = ()
    lots: tuple[str, ...] = ()
    reasons: Mapping[str, int] = {}


class Undo(Struct, frozen=True, omit_defaults=True):
    """What a station was before its last scan that changed something."""

    label: str
    by: str | None
    at_ms: int
    mono_ms: int
    boot: str
    context: Context
    run: Run | None
    others: tuple[Slot, ...] = ()
    jobs: Mapping[str, Job] = {}
    """The jobs that it moved, by their key."""
    left: Mapping[str, str] = {}
    """The states that it left them in."""
    last_job: JobId | None = None
    booked: tuple[str, int, str] | None = None
    """Disposition, quantity and reason, where the scan booked parts."""
    made: Totals = NOTHING
    """All that the booking changed."""
    since_ms: int = 0
    """The event before: no backdating goes past it."""
    runs: int = 0
    """How many runs were ever begun before it: those that were begun since have higher numbers."""
    loose: str | None = None
    """The run that collected what no order was known for."""
    taken: Taken | None = None
    """Where the scan was about neither the context nor parts."""
    unsure: bool = False
    """A counter had not been read since the change before: whose its next parts are was open already."""
    noun: Noun | None = None
    """What waited for it."""


class Left(Struct, frozen=True):
    """The end of the last production here, until another job's first part: the changeover."""

    job: JobId
    last: Edge


class Station(Struct, frozen=True, omit_defaults=True, tag="station"):
    """What a station is doing now."""

    context: Context = NO_CONTEXT
    run: Run | None = None
    others: tuple[Slot, ...] = ()
    """Where there is room for several jobs: those after the first."""
    dealt: int = 0
    """Parts dealt so far among the jobs, modulo their number."""
    unassigned: Totals = NOTHING
    loose: Run | None = None
    """The unassigned parts since the last change."""
    previous: JobId | None = None
    """The last job that ran here."""
    left: Left | None = None
    undo: Undo | None = None
    changed_ms: int = 0
    """When the context last changed."""
    mounted: Mapping[str, Mount] = {}
    """Material to the lot in use."""
    tools: Mapping[str, str] = {}
    """Group of tools to the one in use."""
    unit: LastUnit | None = None
    badge: Badge | None = None
    """Kept where a badge ends by itself."""
    held: int = 0
    """Parts that readings claim and that nobody would believe: a person decides."""
    claims: tuple[Claim, ...] = ()
    """The newest of those readings."""
    last_job: JobId | None = None
    """Order and operation that was interrupted here: what a RESUME means."""
    state: str | None = None
    state_at_ms: int = 0
    state_mono_ms: int = 0
    state_boot: str = ""
    state_by_source: bool = False
    mode: str | None = None
    mode_at_ms: int = 0
    edge: Edge | None = None
    last_part: Edge | None = None
    """As `edge`, but kept over stops and runs."""
    recovered: Edge | None = None
    """A reading that brought parts of which nobody knows when they were made, such as those of a gap, and
    none came since. Of counters whose every reading is told."""
    last_cycle_s: float | None = None
    noun: Noun | None = None
    chosen: Noun | None = None
    """The job whose card was scanned last, for the verbs that follow."""
    pointed: Noun | None = None
    """This one of its gun's stations was chosen, by its own card (`U`) or by the one of its job (`J`)."""
    last_scan: LastScan | None = None
    said: str = ""
    """What the last scan did, in words, for the screen."""
    said_verdict: Verdict | None = None
    """None: no scan said it."""
    bad_signals: Mapping[str, str] = {}
    """Signals that cannot be read, with the reason that was said last."""
    bad_reasons: Mapping[str, tuple[str, ...]] = {}
    """Of those, the kinds of reasons that were said."""


class Unit(Struct, frozen=True, omit_defaults=True, tag="unit"):
    """One serial number."""

    serial: str
    station: str
    """Where it was seen last."""
    job: JobId | None = None
    state: str = "open"
    """`open`, `passed`, `failed`, `ok`, `rework`, `scrap` or `quarantined`."""
    tests: Mapping[str, bool] = {}
    """The first verdict of each program."""
    failing: tuple[str, ...] = ()
    """Programs whose newest verdict is a failure: with any of them it has not passed."""
    reworked: bool = False
    """Was in rework at some time: its passes are never first passes."""
    booked_at: tuple[str, str, int | None] | None = None
    """Station, order and operation that it was booked to rework at."""
    steps: tuple[tuple[str, str, int | None], ...] = ()
    """Station, order and operation of each place it was seen at."""
    lot: str | None = None
    """The batch that its own label names."""
    runs: Mapping[str, str] = {}
    """By station, the run that it was seen under there."""


class Asked(Struct, frozen=True, tag="asked"):
    """A command that was obeyed, by its id."""

    words: str


class LineRow(Struct, frozen=True, omit_defaults=True, tag="line"):
    """What belongs to no station."""

    runs: int = 0
    """How many runs were ever begun; the next is named after it."""
    corrections: int = 0
    """How often parts were given to another owner."""
    lost: Mapping[str, int] = {}
    """Sources that are out of reach, since when."""
    starts: int = 0
    """How often the agent was started."""
    late: tuple[str, ...] | None = None
    """Ended runs that got something since the wall clock is in doubt; None: it is not in doubt."""


class Doubt(Struct, frozen=True, omit_defaults=True, tag="doubt"):
    """Since when the wall clock is in doubt; times since then are estimated."""

    since_ms: int = 0
    """By the estimate; 0: it is not in doubt."""
    mono_ms: int = 0
    boot: str = ""
    runs: int = 0
    """How many runs had ever begun before."""
    on: tuple[str, ...] = ()
    """The runs that were on then."""


class Written(Struct, frozen=True, tag="written"):
    """What was last said of a target: the next start goes on from there."""

    word: WriteWord


Row = (
    Counter | Station | Job | Run | Unit | Rig | Asked | LineRow | WorkOrder | View | Doubt | Stops | Written
    | Device | ReadAs
)  # fmt: skip

LINE = "line"
"""Key of the LineRow."""
DOUBT = "doubt"
"""Key of the Doubt."""
WRITTEN = "written/"
"""Keys of what was written to devices."""

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


def run_key(run: str) -> str:
    return f"run/{run}"


def asked_key(command: str) -> str:
    return f"asked/{command}"


def written_key(target: str) -> str:
    return f"{WRITTEN}{target}"


def device_key(device: str) -> str:
    return f"device/{device}"


def unit_key(serial: str) -> str:
    return f"unit/{serial}"


def station_key(station: str) -> str:
    return f"station/{station}"
