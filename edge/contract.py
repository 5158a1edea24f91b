"""What an adapter promises and what it is given. Adapters import this and `observation`.

A source is a module with
    class Settings(SourceSettings)                  its table `[source.NAME]`
    class Address(SignalAddress)                    how a signal of it is written; None if it
                                                    speaks for itself (a scanner, a rig)
    gives = "labels", "results" or "orders"         of one that speaks for itself: what it sends
    class Switch(SwitchAddress)                     how an output is written; only of one that can
                                                    switch outputs: see `Intake.outputs`
    async def collect(settings, signals, intake)    lives as long as its connection, then
                                                    raises SourceLost or SourceRefused
A sink is a module with
    class Settings(SinkSettings)                    its table `[sink.NAME]`
    def connect(settings, outlet)                   async context manager that gives a Sink
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

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
from edge.sifting import Lane, Number

__all__ = [
    "TELEMETRY", "Ask", "Duration", "Intake", "Lane", "Mark", "Number", "Observation", "Outcome", "Outlet",
    "Output", "Quality", "Receipt", "Record", "Secret", "Settings", "Signal", "SignalAddress", "Sink",
    "SinkError", "SinkLost", "SinkRefused", "SinkSettings", "Size", "SourceError", "SourceLost",
    "SourceRefused", "SourceSettings", "Stamp", "Step", "SwitchAddress", "TestResult", "Unmarked",
    "Value", "Verdict",
]  # fmt: skip

# --- how settings are written -------------------------------------------------------------

_UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "y": 31_557_600.0}
LONGEST_S = 10_000 * _UNITS_S["y"]
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|y)", re.ASCII)


def parse_duration(value: object) -> timedelta:
    """`"250ms"`, `"12s"`, `"2min"`, `"8h"`, `"30d"`, `"2y"`. Raises ValueError."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
    if match is None:
        raise ValueError('write a duration with its unit, such as "250ms", "12s" or "8h"')
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if seconds > LONGEST_S:
        raise ValueError("must not be longer than 10,000 years")
    return timedelta(seconds=seconds)


def _positive(value: object) -> timedelta:
    duration = parse_duration(value)
    if duration < timedelta(milliseconds=1):
        raise ValueError("must not be shorter than a millisecond")
    return duration


Duration = Annotated[timedelta, BeforeValidator(_positive)]


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KiB|MiB|GiB)", re.ASCII)
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def parse_size(value: object) -> int:
    """Bytes of `"512KB"`, `"16MB"` (powers of 1000) or `"64KiB"`, `"16MiB"` (of 1024). Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
        size = int(float(match[1]) * _BYTES[match[2]]) if match else 0
    if size < 1:
        raise ValueError('write a size with its unit, such as "512KB", "16MB" or "1GB"')
    return size


Size = Annotated[
    int, BeforeValidator(parse_size), WithJsonSchema({"type": "string", "pattern": f"^{_SIZE.pattern}$"})
]


class Settings(BaseModel):
    """A table of the TOML file: unknown keys are faults, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def refuse(*faults: str) -> None:
    """For a validator of several keys: all that is wrong with them at once. Raises ValueError.

    Each is a sentence, or empty where there is nothing wrong.
    """
    if told := [one for one in faults if one]:
        raise ValueError("; ".join(told))


class Secret(Settings):
    """A reference to a secret: `{ credential = "name" }`, `{ env = "NAME" }` or `{ file = "/path" }`.

    A literal secret in the TOML is refused, for the file is read by all.
    """

    credential: str | None = None
    """A systemd credential (LoadCredential= in the unit)."""
    env: str | None = None
    file: str | None = None
    """A file that only its owner can read."""

    @model_validator(mode="before")
    @classmethod
    def _reference_only(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict | Secret):
            raise ValueError('a secret does not belong here; refer to it, as in { credential = "name" }')
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> "Secret":
        if sum(ref is not None for ref in (self.credential, self.env, self.file)) != 1:
            raise ValueError("give exactly one of credential, env and file")
        return self

    def reveal(self) -> str:
        """The secret's text. Raises OSError or LookupError, in a sentence, when it cannot be had."""
        if self.env is not None:
            if self.env not in os.environ:
                raise LookupError(f"the environment has no {self.env}")
            return os.environ[self.env]
        if self.file is not None:
            path = Path(self.file)
            if path.exists() and path.stat().st_mode & 0o077:
                raise PermissionError(f"{path} can be read by others; chmod 600 {path}")
            return _text(path)
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            words = f"credential {self.credential!r} is given by systemd only"
            raise LookupError(f"{words}; to run by hand use {{ env = ... }} or {{ file = ... }}")
        path = Path(folder) / str(self.credential)
        if not path.exists():
            raise LookupError(f"the unit has no credential {self.credential!r}; add LoadCredential= for it")
        return _text(path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise OSError(f"{path} holds no text") from error
    except OSError as error:
        raise type(error)(f"{path}: {error.strerror}") from error


class SourceSettings(Settings):
    """What every `[source.NAME]` has."""

    type: str

    def warnings(self) -> list[str]:
        """What is valid but doubtful, each in a sentence; `lineside check` prints them."""
        return []

    def owns(self) -> list[str]:
        """What no other source may use beside it: a port, a device that takes one connection."""
        return []


class SignalAddress(Settings):
    """What every signal `{ source = "...", ... }` of one protocol adds to the common keys."""

    natural_bits: ClassVar[int | None] = None

    def counter_bits(self) -> int | None:
        """Width of the counter that this address decodes to, where the protocol knows it."""
        return self.natural_bits

    def identity(self) -> str:
        """Address and decoding in words: two signals with the same are the same counter."""
        return self.model_dump_json(exclude_defaults=True)


class SwitchAddress(Settings):
    """An output that a source can switch on and off, such as a lamp: what its protocol needs to know."""

    def identity(self) -> str:
        """The place and what is written there, in words: two outputs with the same are one."""
        return self.model_dump_json(exclude_defaults=True)


class SinkSettings(Settings):
    """What every `[sink.NAME]` has."""

    type: str
    linger: Duration = timedelta(0)
    """How long live events wait for company, so that fewer and larger writes go out."""
    batch: int = Field(default=500, ge=1, le=5_000)
    """Events in one write at the most."""
    backlog_rate: int = Field(default=5_000, ge=1, le=1_000_000)
    """Events of the backlog a second at the most, so that a far end that is back is not flooded."""
    replay: Duration = timedelta(seconds=15)
    """After the far end was away, what it had acknowledged in so long a time is sent again, for one that was
    killed may have forgotten it."""

    def owns(self) -> list[str]:
        """What no other sink may use beside it: a folder, a client id at a broker."""
        return []


# --- sources --------------------------------------------------------------------------------

AddressT = TypeVar("AddressT", bound=SignalAddress)


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


SwitchT = TypeVar("SwitchT", bound=SwitchAddress)


@dataclass(frozen=True, slots=True)
class Output(Generic[SwitchT]):
    """One output that is to be switched."""

    name: str
    """Its address's identity."""
    address: SwitchT


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to read some signals now, on the wire, not from any memory; or to switch outputs."""

    number: int
    signals: frozenset[str] = frozenset()
    on: frozenset[str] | None = None
    """The outputs that are to be on from now, all others off; it takes the place of every such ask before
    it. None: a request to read."""


class Intake(Protocol):
    """A source's way in. One for each source."""

    name: str
    """The source's name in the TOML; also the signal's name of a source that speaks for itself."""
    line: str
    path: str
    """ISA-95 enterprise/site/area of the line; may be empty."""
    outputs: "Sequence[Output[Any]]"
    """What the source may be asked to switch; empty for most. Nobody knows how they are after a connect: all
    are switched off then, whether anybody asks or not."""

    def observe(
        self,
        signal: str,
        value: Value,
        *,
        quality: Quality = Quality.GOOD,
        aged_ms: int | None = None,
        answers: int = 0,
        detail: str = "",
    ) -> Observation:
        """Stamp a value with the clocks of now: call it when the value arrives.

        `aged_ms` is how long ago it was by the device's own clock, which is compared with the monotonic
        one, for ours may be set; None where the device gives no time that can be trusted.
        """

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        """Hand over; the outcomes come when the observations are on disk.

        Order is kept. Raises NotRecorded, after which a sampler goes on (a later reading of
        the cumulative counter has it all), a scanner refuses and a rig gets no ACK.
        """

    def lane(self, signals: Sequence[str]) -> Lane:
        """For numbers of one table of telemetry that are always read together: see `sample`."""

    def sample(self, lane: Lane, values: Sequence[Number], *, why: str = "no number") -> None:
        """Hand over one reading of a lane, in its order, stamped with the clocks of now.

        A value is None where the device gives no number; `why` says so in words. It does not wait for the
        disk: what the journal cannot take in the end is dropped, counted and told. Telemetry that comes one
        value at a time goes through `observe` and `emit` like all else; it is accepted before it is on disk.
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
        order with all other values of this source. What is switched is answered by `switched`.
        """

    def switched(self, number: int, trouble: str = "") -> None:
        """Say that all outputs are as this ask wants them, or in words why some are not.

        Number 0 is the switching off after a connect.
        """

    def connected(self) -> None:
        """Say that the connection stands and data can flow; call it once a connection."""


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
