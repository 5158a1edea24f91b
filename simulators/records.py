"""What simulators write, one JSON object a line: the ground truth, and answers to the parent.

Times named `_ms` are CLOCK_REALTIME in milliseconds since 1970, with a fraction.
"""

import time
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct


class Made(Struct, frozen=True):
    """One part, as the machine itself knows it."""

    n: int
    """The part's number at its station, from 1."""
    good: bool
    from_ms: float
    """Just before the first counter was changed for it."""
    to_ms: float
    """Just after the last counter was changed for it: the true instant lies in between."""
    station: str


class Scan(Struct, frozen=True):
    """One label that left the gun, and what the host answered."""

    scan: str
    answer: Literal["confirmed", "refused", "duplicate", "none"]
    """`duplicate` only from a gun that hears an answer of its own for it."""
    sent_ms: float
    answered_ms: float | None
    """None where no answer came in time."""


class ResultMade(Struct, frozen=True, tag_field="event", tag="made"):
    """A test result on the day it was born; it is sent until it is acknowledged."""

    number: int
    unit: str
    passed: bool
    made_ms: float


class ResultAcked(Struct, frozen=True, tag_field="event", tag="acked"):
    """The host took result `number`, at the `tries`th whole line."""

    number: int
    acked_ms: float
    tries: int


class Weighed(Struct, frozen=True):
    """A scale was loaded, and came to rest."""

    number: int
    weight: float
    """In the scale's unit."""
    steady_ms: float


class Tightened(Struct, frozen=True, tag_field="event", tag="made"):
    """A joint was tightened; its result is sent until it is acknowledged."""

    number: int
    """The tightening id."""
    unit: str
    ok: bool
    torque_nm: float
    made_ms: float


class TighteningAcked(Struct, frozen=True, tag_field="event", tag="acked"):
    """The host took result `number`, at the `tries`th copy."""

    number: int
    acked_ms: float
    tries: int


class Where(Struct, frozen=True, omit_defaults=True):
    """Where a simulator can be reached."""

    endpoint: str = ""
    """An OPC UA endpoint."""
    host: str = ""
    """With `port`: a TCP address."""
    port: int = 0
    device: str = ""
    """The path of a serial port."""


class Ready(Struct, frozen=True):
    """The first line on standard output."""

    ready: Where


class Did(Struct, frozen=True):
    """A command took effect; for a stop that means: no further part will come."""

    did: str
    at_ms: float


class NotUnderstood(Struct, frozen=True):
    """A line on standard input that is no command."""

    refused: str


LineT = TypeVar("LineT", bound=Struct)


class TruthFile:
    """Appends to a file that the collector never sees; without a path it keeps nothing.

    Every line is one write to the operating system, so that a killed simulator has told all
    that it showed.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else path.open("ab", buffering=0)

    def write(self, line: Struct) -> None:
        if self._file is not None:
            self._file.write(encode(line))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def encode(line: Struct) -> bytes:
    """One JSON object and a line feed."""
    return msgspec.json.encode(line) + b"\n"


def read_truth(path: Path, kind: type[LineT]) -> list[LineT]:
    """Every line of that kind, in order. Raises msgspec.DecodeError for a line of another."""
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


def read_results(path: Path) -> list[ResultMade | ResultAcked]:
    """A test rig's truth, in order."""
    decoder: msgspec.json.Decoder[ResultMade | ResultAcked] = msgspec.json.Decoder(ResultMade | ResultAcked)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


def read_tightenings(path: Path) -> list[Tightened | TighteningAcked]:
    """A tightening controller's truth, in order."""
    kinds = Tightened | TighteningAcked
    decoder: msgspec.json.Decoder[Tightened | TighteningAcked] = msgspec.json.Decoder(kinds)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


def wall_ms() -> float:
    """CLOCK_REALTIME, finer than a millisecond."""
    return time.time_ns() / 1e6
