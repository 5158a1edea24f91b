"""What was seen on a wire, before anybody says what it means, and what became of it."""

from enum import StrEnum

from msgspec import Struct

TICK = "tick"
"""The signal of the passing of time: one observation a second, its value is None."""

ORDER = "order"
"""The signal under which work orders come in, from whatever side."""

COMMAND = "command"
"""The signal of what a supervisor or the office asks for: see `Command`."""

AGENT = "agent"
"""The signal of the agent itself: `start` after every start, `stop` before an orderly end, and what it
missed: see `Missed`."""

CLOCK = "clock"
"""The signal of the wall clock: see `ClockWord`."""

WRITE = "write"
"""The signal of what is written to a device, and what became of it: see `WriteWord`."""


DEVICE = "device"
"""The signal of what devices say of themselves: see `DeviceWord`."""

LONGEST_UPTIME_MS = 1 << 50
"""35,000 years: what says more is no uptime."""


NOT_READ = "not-read"
"""Cause of a `Missed`: a source stood, and its values were not read for much longer than their period."""

OVERFLOWED = "the device's queue overflowed before this value"
"""Detail of an uncertain value: others before it were lost on the way."""


class Quality(StrEnum):
    """How far a value may be believed (OPC UA Part 8: Good, Uncertain, Bad)."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


class Stamp(StrEnum):
    """Whose clock `at_ms` comes from."""

    SOURCE = "source"
    """The device's own, corrected by the offset measured when it was connected."""
    RECEIPT = "receipt"
    """The agent's, at the moment the value arrived."""


class Step(Struct, frozen=True, omit_defaults=True):
    """One measurement of a test."""

    name: str
    value: float | None = None
    unit_of_measure: str | None = None
    low: float | None = None
    high: float | None = None
    passed: bool | None = None
    """What the rig says of this one; None: it says nothing."""
    text: str = ""
    """Of a step whose outcome is no number: a firmware's version, a word."""


class Material(Struct, frozen=True):
    """What one part is made of (ISA-95: material specification)."""

    item: str
    per_part: float
    """In the unit that its lots are measured in."""


class WorkOrder(Struct, frozen=True, omit_defaults=True, tag="order"):
    """What to make, how many, by which operations (ISA-95: work order)."""

    id: str
    item: str
    quantity: int
    """Parts; the target."""
    revision: str | None = None
    batch: str | None = None
    operations: tuple[int, ...] = ()
    materials: tuple[Material, ...] = ()
    reopens: str | None = None
    """The order that ended and of which this one makes more: nothing leaves Ended."""


class Reassign(Struct, frozen=True, omit_defaults=True, tag="reassign"):
    """Parts that were counted for one job, or for none, belong to another.

    Either all of one run, or what happened at a station from `from_ms` to before `to_ms`.
    """

    by: str
    reason: str
    job: str | None
    """As on its card (`WO-1001-10`); None: they belong to no order."""
    run: str | None = None
    station: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    batch: str | None = None
    """None: the order's own."""


class Adjust(Struct, frozen=True, omit_defaults=True, tag="adjust"):
    """Parts that no counter saw, or saw and that were none: signed."""

    by: str
    reason: str
    run: str
    good: int = 0
    scrap: int = 0
    id: str = ""
    """Given, the same again is a duplicate and adds nothing."""


class SettleHeld(Struct, frozen=True, omit_defaults=True, tag="held"):
    """What readings of a station claimed and nobody would believe: parts of a run, or none at all."""

    by: str
    reason: str
    station: str
    run: str | None
    """Whose they are; None: they never were."""


class JobCommand(Struct, frozen=True, omit_defaults=True, tag="job"):
    """A job is held, released, ended or aborted from the office, at all of its stations."""

    by: str
    reason: str
    job: str
    """As on its card."""
    verb: str
    """`hold`, `release`, `end` or `abort`."""


class LotShare(Struct, frozen=True):
    """A lot, and how much of it."""

    lot: str
    quantity: float


class LotChange(Struct, frozen=True, omit_defaults=True, tag="lots"):
    """Lots become other lots: a split has one source, a merge one result."""

    by: str
    reason: str
    sources: tuple[LotShare, ...]
    results: tuple[LotShare, ...]
    id: str = ""
    """Given, the same again is a duplicate."""


Command = Reassign | Adjust | SettleHeld | JobCommand | LotChange
"""What a person with more rights than an operator asks for; each says who and why."""


class TestResult(Struct, frozen=True, omit_defaults=True, tag="test"):
    """What a test rig says of one unit."""

    __test__ = False

    unit: str
    """Serial number of the unit under test; empty where the rig does not know it: it is then the one that
    was scanned last at the station."""
    program: str
    passed: bool | None
    """What the rig says of all of it; None: it says nothing, and the limits of the steps decide."""
    revision: str | None = None
    """The program's revision."""
    number: str | None = None
    """The rig's own running number: it tells a repeated frame from a repeated test."""
    steps: tuple[Step, ...] = ()


class Missed(Struct, frozen=True, omit_defaults=True, tag="missed"):
    """Under `AGENT`: an interval in which something could have been missed, told when it is over."""

    cause: str
    """`not-recorded` (the journal could not be written), `telemetry-dropped`, `records-dropped`,
    `queue-overflow`, `far-end-forgot`, `not-read`; others may be added."""
    subject: str
    """What it is about: a source, a signal, a sink, a table of telemetry; `agent` for all of it."""
    since_ms: int
    until_ms: int
    """UTC, by the agent's clock."""
    records: int = 0
    """How many are known to be lost; 0 where nobody can tell."""
    detail: str = ""
    """In words, for a person."""
    signals: tuple[str, ...] = ()
    """Counters that were out of sight meanwhile: their next readings recover it as a gap."""


class ClockWord(Struct, frozen=True, omit_defaults=True, tag="clock"):
    """What is to be said of the wall clock; see edge/timekeeping.py. Times are UTC milliseconds."""

    state: str
    """`stepped`: it was set while it ran; `doubtful`: from now on times are estimated, nothing goes out;
    `right`: it is believed, and every time since `since_ms` is corrected."""
    reason: str = ""
    """Of a doubt, in words; of its end, why it is believed now."""
    step_ms: int = 0
    """How far the wall clock went away from the monotonic one."""
    since_ms: int = 0
    """When the doubt began, by the estimate."""
    offset_ms: int = 0
    """Of the estimate: a time is this and the monotonic clock of this boot."""
    shift_ms: int = 0
    """What is to be added to a time that was estimated in this boot."""
    certain: bool = True
    """False where nothing but patience speaks for the clock."""


class WriteWord(Struct, frozen=True, omit_defaults=True, tag="write"):
    """Under `WRITE`: what a device is to hold, and what became of it; see edge/writing.md."""

    station: str
    what: str
    """`order`, `release` or `hold`."""
    target: str
    """`station.what`."""
    place: str
    """Source and address, in words."""
    value: str
    """As text, whatever its type in the device."""
    state: str
    """`intended`, then `confirmed`, `failed` or `unknown`; or `put-off`, `left`."""
    found: str | None = None
    """What the device holds, or held before; None where it holds nothing yet, or nobody knows."""
    detail: str = ""
    """In words, for a person: why it is not confirmed."""
    tries: int = 0
    """How often this value was written within an hour of `tried_ms`."""
    tried_ms: int = 0
    """When it was first, UTC milliseconds."""
    run: str | None = None
    """Of an intention: the run of the station that it is for, empty for none; None: for whichever is on."""


class DeviceWord(Struct, frozen=True, omit_defaults=True, tag="device"):
    """Under `DEVICE`: who a device says that it is, and since when it runs.

    It is handed over before the values that were read after it: at every connect, when something of it has
    changed other than by the passing of time, and now and then. The core compares it with the last one, which
    outlives the agent.
    """

    device: str
    """As `bus-1 unit 3`; the same after every start."""
    signals: tuple[str, ...]
    """All of the line's that are read from it."""
    serial: str = ""
    """Empty: it does not say."""
    uptime_ms: int | None = None
    """How long it has run, by its own clock; None: it does not say."""
    tick_ms: int = 1_000
    """The step in which that grows."""
    turns_ms: int = 0
    """After so long it goes on from 0; 0: never."""
    read_from: str = ""
    """Where it says so, in words: what was read elsewhere is not compared."""
    was_out_of_sight: bool = False
    """Since the word before an answer did not come, or the connection is new: it may have been restarted."""
    started_ms: int | None = None
    """When it was started, UTC by its own clock as it was then; None: it does not say."""
    is_server: bool = False
    """A server says so, which may be a gateway: of the devices behind it that is no proof."""


Value = (
    None | bool | int | float | str | TestResult | WorkOrder | Command | Missed | ClockWord | WriteWord
    | DeviceWord
)  # fmt: skip


class Observation(Struct, frozen=True, omit_defaults=True):
    """One value of one signal. Times are integers in milliseconds.

    A signal is named `station.role` (`press.total`); a scanner and a test rig speak under
    the name of their source.
    """

    signal: str
    value: Value
    at_ms: int
    """UTC since 1970, of the event; see `stamp`."""
    seen_ms: int
    """UTC since 1970, the agent's wall clock at receipt."""
    mono_ms: int
    """The monotonic clock of `boot` at receipt: the only one that durations are taken from."""
    boot: str
    """Id of the machine's boot, for a monotonic clock means nothing across two of them."""
    quality: Quality = Quality.GOOD
    stamp: Stamp = Stamp.RECEIPT
    detail: str = ""
    """Why the quality is not good, or the raw text behind the value."""
    answers: int = 0
    """The number of the ask for a fresh read that this value answers; 0: nobody asked."""
    fresh: tuple[str, ...] | None = None
    """Of a scan that changes a station's context: the counters that were read since the scan
    arrived. None: nobody has asked for a read yet."""
    synced: bool = True
    """Whether the wall clock was disciplined (NTP) at receipt."""


class Verdict(StrEnum):
    """What became of an observation."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"


class Outcome(Struct, frozen=True):
    """The answer to one observation, given when it is on disk."""

    verdict: Verdict
    words: str = ""
    """What happened, for the person who scanned or the rig's log."""

    @property
    def recorded(self) -> bool:
        """True where the sender may forget it: it is on disk, now or since an earlier time."""
        return self.verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE)


ACCEPTED = Outcome(Verdict.ACCEPTED)
