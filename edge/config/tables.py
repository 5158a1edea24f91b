"""The tables of the TOML file, as far as no adapter has a say in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from edge.contract import Duration, Secret, Settings, Size
from edge.journal.retention import Keep
from edge.observation import Material as MaterialNeed
from edge.observation import WorkOrder
from edge.production import modes
from edge.production.cycles import EXECUTE, MACHINERY, PACKML

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Names become MQTT topics, InfluxDB tags and file names; no other character may."""

Name = Annotated[str, Field(pattern=NAME)]

KEEP = Keep()
"""What holds where the file says nothing."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f'{name!r} is no time zone; write one such as "Europe/London"') from None
    return name


def _different(numbers: list[int]) -> list[int]:
    if len(set(numbers)) < len(numbers):
        raise ValueError("names one operation twice")
    return numbers


LEAST_RECORDED = 10**6


def _enough(size: int) -> int:
    if size < LEAST_RECORDED:
        raise ValueError('must be at least "1MB"')
    return size


LEAST_JOURNAL = 64 * 10**6


def _room_enough(size: int) -> int:
    if size < LEAST_JOURNAL:
        raise ValueError('must be at least "64MB"')
    return size


SHORTEST_BADGE = timedelta(minutes=1)


def _long_enough(duration: timedelta) -> timedelta:
    if duration < SHORTEST_BADGE:
        raise ValueError('must be at least "1min"')
    return duration


class LineTable(Settings):
    """`[line]`"""

    name: Name
    path: Annotated[str, Field(pattern=r"^([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?$")] = ""
    """ISA-95 enterprise/site/area; the beginning of every MQTT topic."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    data: Annotated[str, Field(pattern=r"^[^\x00]+$")] | None = None
    """Folder of the journal; relative to the file."""
    badge: Literal["required", "optional"] = "required"
    """Whether an operator must badge in before a job can be started."""
    badge_ends: Annotated[Duration, AfterValidator(_long_enough)] | None = None
    """So long after a badge was scanned nobody is at the station any more, as `"10h"`; off unless written."""
    clock: Literal["plausible", "require-ntp"] = "plausible"
    """When the box's clock is believed: where it is neither before this Lineside was built nor before the
    last event, or only once a time server has set it. Until then events are recorded and held back."""
    record: Annotated[Size, AfterValidator(_enough)] | None = None
    """Bytes for a recording of everything that is decided, for `lineside replay`; off unless written."""
    keep: Duration = KEEP.events
    """How long production records are kept at the least, whatever sinks have acknowledged: `"2y"`."""
    telemetry_keep: Duration = KEEP.telemetry
    """How long telemetry is kept, and then until every sink has it; where room is short, it goes earlier."""
    journal: Annotated[Size, AfterValidator(_room_enough)] = KEEP.cap
    """Bytes that it may take on the disk. Beyond it nothing is recorded; an alarm comes long before."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"has a character that cannot be printed, found {text[:40]!a}")
    return text


Text = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]

MOST_OPERATIONS = 1_000

Material = Annotated[str, Field(pattern=r"^[0-9A-Z][0-9A-Z-]{0,19}$")]
"""Capital letters, digits and `-`: the label of its lot is this, a dot and the lot's number."""
Need = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]


class OrderTable(Settings):
    """One order: `[[order]]` in the line's file, or a row that comes in from outside."""

    id: Annotated[str, Field(max_length=32, pattern=r"^[0-9A-Z][0-9A-Z.-]*$")]
    """Capital letters, digits, `.` and `-`: what a job card's label can hold."""
    item: Text
    """What to make."""
    quantity: Annotated[int, Field(gt=0, le=1_000_000_000)]
    """Parts; the target."""
    revision: Text | None = None
    batch: Text | None = None
    """The batch until a lot label is scanned."""
    operations: Annotated[
        list[Annotated[int, Field(ge=0, le=99_999)]],
        Field(max_length=MOST_OPERATIONS),
        AfterValidator(_different),
    ] = Field(default_factory=list)
    """Each has a job card of its own; none: the order is one job."""
    materials: Annotated[dict[Material, Need], Field(max_length=100)] = Field(default_factory=dict)
    """What one part is made of: material and how much of it, in the unit that its lots are measured in."""
    reopens: Annotated[str, Field(pattern=r"^[0-9A-Z][0-9A-Z.-]{0,31}$")] | None = None
    """The order that has ended and of which this one makes more."""

    def order(self) -> WorkOrder:
        materials = tuple(MaterialNeed(item, float(need)) for item, need in self.materials.items())
        return WorkOrder(
            self.id, self.item, self.quantity, self.revision, self.batch, tuple(self.operations), materials,
            self.reopens,
        )  # fmt: skip


class StationTable(Settings):
    """`[[station]]`"""

    name: Name
    ideal_cycle: Duration
    """Planned run time per item (PRI)."""
    fastest_cycle: Duration | None = None
    """No part can follow another sooner; default half of `ideal_cycle`."""
    stop_after: Duration | None = None
    """Without a `state` signal: no part for so long is a stop; default five ideal cycles."""
    scanner: str | None = None
    """The source whose scans this station hears."""
    rig: str | None = None
    """The source whose test results belong to this station."""
    total: dict[str, Any] | None = None
    good: dict[str, Any] | None = None
    reject: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    mode: dict[str, Any] | None = None
    """What the machine is set up to do: production, setup, maintenance."""
    source: str | None = None
    """With `model`: what the machine is read from."""
    model: Annotated[str, Field(min_length=1)] | None = None
    """What the machine follows, as `"packml"`: its signals are found without an address."""
    machine: Annotated[str, Field(min_length=1)] | None = None
    """With `model`: which machine of the source, where it has several."""
    without: list[Literal["total", "good", "reject", "state", "mode"]] = Field(default_factory=list)
    """With `model`: signals that this machine does not have."""
    feedback: dict[str, Any] | None = None
    """Lamps and a buzzer beside the scanner: see `feedback.py`."""
    write: list[dict[str, Any]] | None = None
    """What is written to a device, such as a release: see `writes.py`."""
    capacity: Annotated[int, Field(ge=1, le=16)] = 1
    """Jobs that can run here at once."""
    split: Literal["equal", "first"] = "equal"
    """How parts are dealt where several jobs run: one each in turn, or to the job that began first until its
    quantity is made."""
    counts_by: Literal["machine", "operator", "reconcile"] | None = None
    """Who counts parts and scrap; what the other says is kept beside it. Not said: the machine counts, and
    scrap that an operator books is of parts that it counted good."""


class SignalTable(Settings):
    """The keys that a signal has whatever its protocol."""

    source: str
    every: Duration = timedelta(milliseconds=250)
    """How often it is sampled."""


Width = Literal["u8", "u15", "u16", "u24", "u31", "u32", "u48", "u63", "u64"]
FEWEST_READINGS, MOST_READINGS = 10, 1 << 64


def _width(value: object) -> str | int:
    if value in get_args(Width):
        return str(value)
    if type(value) is int and FEWEST_READINGS <= value <= MOST_READINGS:
        return value
    words = f"must be one of {', '.join(get_args(Width))}, or how many readings it has, such as 1000000"
    raise ValueError(words)


class CounterTable(SignalTable):
    """`total`, `good` or `reject` of a station: a cumulative counter."""

    counter: Annotated[Width | int, BeforeValidator(_width)] | None = None
    """Its width, or how many readings it has where it begins again at 0 earlier: 1000000 for one of six
    digits. Where the address tells it (Modbus `as`), it can be left out. A signed integer that begins again
    at 0 has one bit less than its type."""
    parts_per_count: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Cavities: how many parts one count stands for."""
    parts_by_item: Annotated[dict[str, Annotated[int, Field(ge=1, le=10_000)]], Field(max_length=1_000)] = (
        Field(default_factory=dict)
    )
    """The same for items whose tool has another number of cavities."""
    retained: bool = False
    """The device keeps this count to the last part when it is restarted or loses its power. A PLC that saves
    it only now and then does not."""


def _named(codes: Mapping[int, str], **words: str) -> dict[str, str]:
    """By number, and by name for what says its state in words."""
    by_name = {name: name for name in codes.values()}
    return {str(code): name for code, name in codes.items()} | by_name | words


STATE_MAPS = {
    "packml": _named(PACKML),
    "machinery": _named(MACHINERY, NotExecuting=MACHINERY[2], Executing=MACHINERY[3]),
}
MODE_MAPS = {
    "packml": _named(modes.PACKML, Invalid=modes.PACKML[0], Produce=modes.PACKML[1]),
    "machinery": _named(modes.MACHINERY),
}


def _state_map(value: object) -> dict[str, str]:
    if isinstance(value, str) and value in STATE_MAPS:
        return STATE_MAPS[value]
    if isinstance(value, dict) and value and all(isinstance(name, str) for name in value.values()):
        if EXECUTE not in value.values():
            known = ", ".join(PACKML.values())
            raise ValueError(f'no state is "{EXECUTE}": cycles are timed in it; names to use: {known}')
        return {str(code): str(name) for code, name in value.items()}
    raise ValueError(
        'write map = "packml", map = "machinery", or a table such as { 0 = "Stopped", 1 = "Execute" }'
    )


def _mode_map(value: object) -> dict[str, str]:
    if isinstance(value, str) and value in MODE_MAPS:
        return MODE_MAPS[value]
    if isinstance(value, dict) and value and all(isinstance(name, str) for name in value.values()):
        return {str(code): str(name) for code, name in value.items()}
    raise ValueError(
        'write map = "packml", map = "machinery", or a table such as { 1 = "Processing", 2 = "Setup" }'
    )


class StateTable(SignalTable):
    """`state` of a station."""

    map: Annotated[Any, AfterValidator(_state_map)]
    """From the number read to the state's name."""


class ModeTable(SignalTable):
    """`mode` of a station."""

    map: Annotated[Any, AfterValidator(_mode_map)]
    """From what is read to the mode's name; those of OPC 40001-1 are None, Maintenance, Setup, Processing."""


class OrdersTable(Settings):
    """`[orders]`"""

    folder: Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")] | None = None
    """Watched for CSV and JSON files. Relative to the data folder, and then made by the agent; an
    absolute one must be there, for it may be a share that is not mounted yet."""


class ClientTable(Settings):
    """`[[board.client]]`"""

    name: Name
    """Recorded with every order that it sends."""
    token: Secret
    """A reference; at least 16 characters."""


def _each_once(clients: list[ClientTable]) -> list[ClientTable]:
    names = [client.name for client in clients]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"names {twice[0]} twice; each client has a name and a secret of its own")
    return clients


class BoardTable(Settings):
    """`[board]`"""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    client: Annotated[list[ClientTable], Field(max_length=100), AfterValidator(_each_once)] = Field(
        default_factory=list
    )
    """Who may send orders to the API; without any: whoever asks on this machine."""


@dataclass(frozen=True, slots=True)
class Document:
    """The whole file, table by table; a table that has faults is missing, its faults are told."""

    line: LineTable | None
    orders: Sequence[OrderTable]
    stations: Sequence[tuple[str, Mapping[str, Any], StationTable | None]]
    """Name, the table as written, and as checked."""
    sources: Mapping[str, Mapping[str, Any]]
    sinks: Mapping[str, Mapping[str, Any]]
    board: BoardTable | None
    intake: OrdersTable | None
    telemetry: Mapping[str, Mapping[str, Any]]
    """As written."""
    reasons: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By kind: codes and their words."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    """As written."""


TOP_LEVEL = (
    "line", "order", "orders", "source", "station", "telemetry", "sink", "board", "reasons", "labels",
)  # fmt: skip
