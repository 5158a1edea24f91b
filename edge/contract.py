"""What an adapter promises and what it is given. Adapters import this and `observation`.

A source is a module with
    class Settings(SourceSettings)                  its table `[source.NAME]`
    class Address(SignalAddress)                    how a signal of it is written; None if it
                                                    speaks for itself (a scanner, a rig)
    gives = "labels", "results" or "orders"         of one that speaks for itself: what it sends
    class Switch(SwitchAddress)                     how an output is written; only of one that can
                                                    switch outputs: see `Intake.outputs`
    class Write(WriteAddress)                       how a place is written that a value can be put
                                                    in; only of one that can: see `Intake.targets`
    async def collect(settings, signals, intake)    lives as long as its connection, then
                                                    raises SourceLost or SourceRefused
    def survey(settings, signals, outputs, targets) -> Survey
                                                    optional: what the file asks of the source, in
                                                    numbers, and whether it can be done at all. It
                                                    opens nothing; `lineside check` prints it
A sink is a module with
    class Settings(SinkSettings)                    its table `[sink.NAME]`
    def connect(settings, outlet)                   async context manager that gives a Sink
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from edge.addresses import (
    SignalAddress,
    SinkSettings,
    SourceSettings,
    Span,
    SwitchAddress,
    WriteAddress,
)
from edge.doing import Done, DoneState, WriteAsk, WriteValue
from edge.errors import SinkError, SinkLost, SinkRefused, SourceError, SourceLost, SourceRefused
from edge.observation import (
    Observation,
    Outcome,
    Quality,
    Stamp,
    Step,
    TestResult,
    Value,
    Verdict,
)
from edge.record import TELEMETRY, Record
from edge.settings import LONGEST_S, Duration, Secret, Settings, Size, parse_duration, parse_size, refuse
from edge.sifting import Change, Channel, Lane, NoValue, Number
from edge.survey import Survey, Trouble
from edge.tally import Tally

__all__ = [
    "LONGEST_S", "TELEMETRY", "Ask", "Change", "Channel", "Done", "DoneState", "Duration", "Intake", "Lane",
    "Mark", "NoValue", "Number", "Observation", "Outcome", "Outlet", "Output", "Quality", "Receipt",
    "Record", "Secret", "Settings", "Signal", "SignalAddress", "Sink", "SinkError", "SinkLost",
    "SinkRefused", "SinkSettings", "Size", "SourceError", "SourceLost", "SourceRefused", "SourceSettings",
    "Span", "Stamp", "Step", "Survey", "SwitchAddress", "Tally", "Target", "TestResult", "Trouble",
    "Unmarked", "Value", "Verdict", "WriteAddress", "WriteAsk", "WriteValue", "parse_duration", "parse_size",
    "refuse",
]  # fmt: skip

# --- sources --------------------------------------------------------------------------------

AddressT = TypeVar("AddressT", bound=SignalAddress)
KeptT = TypeVar("KeptT")


@dataclass(frozen=True, slots=True)
class Signal(Generic[AddressT]):
    """One value to be read."""

    name: str
    """`station.role`."""
    address: AddressT
    every: timedelta
    """How often it is sampled."""
    table: str = ""
    """Of telemetry: its table. Numbers of one table that are read together can go to `Intake.sample`."""
    bits: int | None = None
    """Of a counter: its width as it is declared."""
    is_early: bool = False
    """Of a counter: it begins again at 0 before its width is used up, as one of six digits does."""


SwitchT = TypeVar("SwitchT", bound=SwitchAddress)


@dataclass(frozen=True, slots=True)
class Output(Generic[SwitchT]):
    """One output that is to be switched."""

    name: str
    """Its address's identity."""
    address: SwitchT


WriteT = TypeVar("WriteT", bound=WriteAddress)


@dataclass(frozen=True, slots=True)
class Target(Generic[WriteT]):
    """One place that is to be written."""

    name: str
    """`station.what`, as `press.release`."""
    address: WriteT
    confirm: timedelta
    """So long after the write the device may still show the value before."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to read some signals now, on the wire, not from any memory; or to switch outputs; or to
    write one value."""

    number: int
    signals: frozenset[str] = frozenset()
    on: frozenset[str] | None = None
    """The outputs that are to be on from now, all others off; it takes the place of every such ask before
    it. None: a request to read."""
    write: WriteAsk | None = None
    """Where it is given, the ask is for that alone."""


class Intake(Protocol):
    """A source's way in. One for each source."""

    name: str
    """The source's name in the TOML; also the signal's name of a source that speaks for itself."""
    line: str
    path: str
    """ISA-95 enterprise/site/area of the line; may be empty."""
    data: Path
    """The line's data folder, in which an adapter makes one for files of its own, where it has any."""
    file: Path
    """The line's TOML file, for the words of a command."""
    outputs: "Sequence[Output[Any]]"
    """What the source may be asked to switch; empty for most. Nobody knows how they are after a connect: all
    are switched off then, whether anybody asks or not."""
    targets: "Sequence[Target[Any]]"
    """What the source may be asked to write; empty for most. Nothing is written that nobody asks for."""

    def observe(
        self,
        signal: str,
        value: Value,
        *,
        quality: Quality = Quality.GOOD,
        aged_ms: int | None = None,
        answers: int = 0,
        detail: str = "",
        ago_ms: int = 0,
    ) -> Observation:
        """Stamp a value with the clocks of now: call it when the value arrives.

        `aged_ms` is how long ago it was by the device's own clock, which is compared with the monotonic
        one, for ours may be set; None where the device gives no time that can be trusted. `ago_ms` is for one
        that is handed over a moment after it arrived: the clocks of so long ago are the time of receipt.
        """

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        """Hand over; the outcomes come when the observations are on disk.

        Order is kept. Raises NotRecorded, after which a sampler goes on (a later reading of
        the cumulative counter has it all), a scanner refuses and a rig gets no ACK.
        """

    def lane(self, signals: Sequence[str]) -> Lane:
        """For numbers of one table of telemetry that are always read together: see `sample`."""

    def sample(
        self, lane: Lane, values: Sequence[Number], *, why: str = "no number", ago_ms: int = 0
    ) -> None:
        """Hand over one reading of a lane, in its order, stamped with the clocks of now, or of `ago_ms` ago.

        A value is None where the device gives no number; `why` says so in words. It does not wait for the
        disk: what the journal cannot take in the end is dropped, counted and told.
        """

    def channel(self, signals: Sequence[str]) -> Channel:
        """For telemetry, of any tables, whose values come one at a time: see `changes`.

        The place of a signal is its place in this list. Raises KeyError where one is no telemetry.
        """

    def changes(self, channel: Channel, changes: Sequence[Change], *, ago_ms: int = 0) -> None:
        """Hand over values of a channel in the order in which they came, received now, or `ago_ms` ago.

        Each is a place, a value and how long ago it was, as `observe` has it. A value is None where the
        device gives none, and `NoValue` where it could not be read, with the reason. Deadbands and silences
        are kept here: hand over all that comes, also what is known. Like `sample` it does not wait for the
        disk.
        """

    async def orders(self, message: bytes, longest: int) -> bytes:
        """Take in what a message holds: JSON, one order or a list of them, whatever its bytes are.

        Answers when they are on disk, with JSON that says what became of each (`Taken`), in `longest`
        bytes if its counts fit there. Raises NotRecorded; the same message again does no harm then.
        `{"results": "WO-1042"}` asks for the results of that order instead, a list.
        """

    async def asked(self, timeout_s: float | None = None) -> Ask | None:
        """The next request for a fresh read or, where there are outputs, to switch; None after `timeout_s`.

        Start the read after this returned, and emit every value with `answers=ask.number`, in
        order with all other values of this source. What is switched is answered by `switched`, what is
        written by `written`; neither may hold up a read.
        """

    def switched(self, number: int, trouble: str = "") -> None:
        """Say that all outputs are as this ask wants them, or in words why some are not.

        Number 0 is the switching off after a connect.
        """

    def written(self, number: int, done: Done) -> None:
        """Say what became of an ask to write. One that the connection does not outlive needs no answer."""

    def connected(self) -> None:
        """Say that the connection stands and data can flow; call it once a connection."""

    def recall(self, kind: type[KeptT]) -> KeptT:
        """What the source keeps from one connection to the next: made by `kind()` at the first call, the same
        at every later one, gone with the agent."""

    def tell(self, tallies: Sequence[Tally]) -> None:
        """Say how each part of the source does, such as a unit of a bus; it takes the place of what was said
        before. Shown by the agent's status, the board and the health on MQTT; once a second is often."""

    def renewed(self) -> None:
        """Say that values which were gone are there again, on the same connection: the device may have begun
        anew, and what it holds of the targets is looked at again."""


class Source(Protocol):
    """A module under adapters/ whose file name is the `type` of a `[source.NAME]`."""

    Settings: type[SourceSettings]
    Address: type[SignalAddress] | None

    @property
    def gives(self) -> str:
        """Of a source that speaks for itself, what it sends: `labels`, `results` or `orders`."""

    async def collect(self, settings: Any, signals: Sequence[Signal[Any]], intake: Intake) -> None: ...


# --- sinks ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the far end made of one write; records that it does not name are sent again."""

    acknowledged: Sequence[int]
    """seq of each record that the far end has confirmed."""
    rejected: Mapping[int, str] = field(default_factory=dict)
    """seq to the reason, of records the far end will never take."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """seq to the reason, of records that are denied now and may be taken another time: one topic of many."""


@dataclass(frozen=True, slots=True)
class Mark:
    """All events up to this one had been acknowledged when it was left."""

    seq: int
    id: str
    """Of that event: a journal that was replaced has others under the same seq."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where a sink speaks from."""

    name: str
    """The sink's name in the TOML."""
    line: str
    path: str
    """ISA-95 enterprise/site/area; may be empty."""
    folder: Path
    """A folder of this sink's own, for what it writes to disk."""


class Sink(Protocol):
    """An open connection to a far end. Any method raises SinkLost or SinkRefused."""

    async def write(self, records: Sequence[Record]) -> Receipt:
        """Send; return when the far end has answered."""

    async def show(self, states: Mapping[str, bytes]) -> None:
        """Present the current state, JSON by `station/job`, `station/machine`, `/health`.

        Called with all of them after a connect and with those that changed after live events;
        never for backlog. A sink with no notion of a current value does nothing.
        """

    async def mark(self, mark: Mark) -> None:
        """Leave a mark at the far end: called now and then, and when nothing is left to send."""

    async def kept(self) -> Mark | None:
        """The newest mark that the far end still has; None where it has none or cannot keep any.

        Asked after every connect: what was acknowledged after it may be forgotten, and is sent again.
        """


class Unmarked:
    """Of a sink whose far end can keep no mark: delivery then goes by its replay window."""

    async def mark(self, mark: Mark) -> None:
        """Nowhere to leave it."""

    async def kept(self) -> Mark | None:
        return None


class SinkModule(Protocol):
    """A module under adapters/ whose file name is the `type` of a `[sink.NAME]`."""

    Settings: type[SinkSettings]

    def connect(self, settings: Any, outlet: Outlet) -> AbstractAsyncContextManager[Sink]: ...
