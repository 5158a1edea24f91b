"""What the tables of the file have in every protocol: settings of sources and sinks, addresses of signals.

Adapters import it from `edge.contract`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field

from edge.doing import WriteValue
from edge.settings import Duration, Settings


class SourceSettings(Settings):
    """What every `[source.NAME]` has."""

    type: str

    def warnings(self) -> list[str]:
        """What is valid but doubtful, each in a sentence; `lineside check` prints them."""
        return []

    def owns(self) -> list[str]:
        """What no other source may use beside it: a port, a device that takes one connection."""
        return []

    def needs_a_scan(self) -> bool:
        """Whether what it sends is of the unit that was scanned last at its station."""
        return False


class SignalAddress(Settings):
    """What every signal `{ source = "...", ... }` of one protocol adds to the common keys."""

    natural_bits: ClassVar[int | None] = None
    is_sampled: ClassVar[bool] = False
    """Every reading is handed over, also of a value that stays the same: who hears nothing knows nothing."""

    def counter_bits(self) -> int | None:
        """Width of the counter that this address decodes to, where the protocol knows it."""
        return self.natural_bits

    def counter_modulus(self) -> int | None:
        """How many readings that counter has: after the last it begins again at 0."""
        bits = self.counter_bits()
        return None if bits is None else 1 << bits

    def identity(self) -> str:
        """Address and decoding in words: two signals with the same are the same counter."""
        return self.model_dump_json(exclude_defaults=True)

    def misfit(self, use: str) -> str:
        """Why it cannot serve as `counter`, `state`, `mode` or `telemetry`, in words; empty where it can."""
        return ""

    def parts(self) -> "Sequence[tuple[str, SignalAddress]]":
        """Of an array that becomes columns of telemetry: each value's address, and what its name ends in.

        None of a single value.
        """
        return ()

    @classmethod
    def models(cls) -> Sequence[str]:
        """What a station's `model` can be: the specifications of machines that this protocol knows."""
        return ()

    @classmethod
    def modelled(cls, model: str) -> Mapping[str, Mapping[str, Any]] | None:
        """For a station's `model`: the keys of each of its signals, by role; None: no such model here."""
        return None


class SwitchAddress(Settings):
    """An output that a source can switch on and off, such as a lamp: what its protocol needs to know."""

    def identity(self) -> str:
        """The place and what is written there, in words: two outputs with the same are one."""
        return self.model_dump_json(exclude_defaults=True)

    def span(self) -> "Span":
        """What of the device it switches."""
        return Span(self.identity())


class WriteAddress(Settings):
    """A place in a device that a value may be written to: what its protocol needs to know."""

    knows: ClassVar[bool] = False
    """Whether the file says what the place holds, so that `unfit` knows all."""

    def identity(self) -> str:
        """The place in words: two with the same are one."""
        return self.model_dump_json(exclude_defaults=True)

    def span(self) -> "Span":
        """What of the device it writes."""
        return Span(self.identity())

    def unfit(self, value: WriteValue) -> str:
        """Why it can never hold this value, in words; empty where it can, or where only the device knows."""
        return ""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of what a device holds. What two write must not overlap: they would fight."""

    room: str
    """Such as a table of registers of one unit; or a place that is all by itself."""
    first: int = 0
    end: int = 1

    def overlaps(self, other: "Span") -> bool:
        return self.room == other.room and self.first < other.end and other.first < self.end


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
