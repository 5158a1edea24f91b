"""What a station knows beside its jobs: who is there and since when, its tools, its stops."""

from collections.abc import Mapping

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


class Mount(Struct, frozen=True, omit_defaults=True):
    """A lot of material that is in use."""

    lot: str
    parts: Mapping[str, int] = {}
    """By run, what it had made when the lot was mounted, or its use was last booked; 0 for one that began
    later."""


class LotTaken(Struct, frozen=True, omit_defaults=True, tag="lot"):
    """A scan that put a lot of material in use, or said how much of it was taken."""

    material: str
    lot: str
    before: Mount | None = None
    """The one in use until then."""
    quantity: int = 0
    """Taken; 0: the lot was put in use."""
    units: tuple[str, ...] = ()
    """Serial numbers that were first seen here since, with this lot."""


class UnitTaken(Struct, frozen=True, omit_defaults=True, tag="unit"):
    """A scan that decided about a unit: what the unit was, and what was booked."""

    serial: str
    state: str
    reworked: bool
    booked_at: tuple[str, str, int | None] | None
    after: tuple[str, tuple[str, str, int | None] | None]
    """State and place of rework that it left the unit in."""
    disposition: str = ""
    """Of its part; empty where no count followed."""
    reason: str = ""


Taken = ToolTaken | ReasonTaken | LotTaken | UnitTaken
"""What is taken back of a scan that was about neither the context nor a quantity of parts."""


class LastUnit(Struct, frozen=True):
    """The serial number that was scanned last: what a rig without one of its own speaks of."""

    serial: str
    mono_ms: int
    boot: str
    order: str | None = None
    """That it is of; with the job of another one it is no more the one that is tested."""


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
