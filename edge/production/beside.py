"""What a station knows beside its jobs: who is there and since when, its tools, its stops."""

from msgspec import Struct

from edge.production.context import NO_CONTEXT, Context
from edge.production.edges import Edge


class ToolTaken(Struct, frozen=True, tag="tool"):
    """A scan that put a tool in use, or took it off."""

    group: str
    before: str | None
    after: str | None
    noted: tuple[str, ...] = ()
    """Runs that had not known the tool before."""


class ReasonTaken(Struct, frozen=True, tag="reason"):
    """A scan that gave a stop its reason."""

    stop: int
    """Its number at the station."""
    before: str
    by: str = ""
    """Who had given the reason before."""


class LastUnit(Struct, frozen=True):
    """The serial number that was scanned last: what a rig without one of its own speaks of."""

    serial: str
    mono_ms: int
    boot: str


class Badge(Struct, frozen=True):
    """Since when a person is at the station."""

    operator: str
    at_ms: int
    mono_ms: int
    boot: str


class Stop(Struct, frozen=True, omit_defaults=True):
    """From where the machine left Execute to where it came back."""

    number: int
    state: str
    """The one that it went to first."""
    begin: Edge
    context: Context = NO_CONTEXT
    """Under which it began."""
    end: Edge | None = None
    reason: str = ""
    by: str = ""


class Stops(Struct, frozen=True, omit_defaults=True, tag="stops"):
    """The stops of a station that a person can give a reason for; the one that is on is the last."""

    number: int = 0
    """How many there ever were."""
    recent: tuple[Stop, ...] = ()
