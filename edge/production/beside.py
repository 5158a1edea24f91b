"""What is known beside the jobs: people, tools and stops of a station, frames of a rig, sums of events."""

from collections.abc import Mapping

from msgspec import Struct

from edge.production.context import NO_CONTEXT, Context
from edge.production.edges import Edge
from edge.production.totals import Totals


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


class Frame(Struct, frozen=True, omit_defaults=True):
    """One that a rig sent."""

    digest: str
    seen_ms: int
    mono_ms: int
    boot: str
    number: str | None = None
    """The rig's own."""
    unit: str = ""
    """The one that was scanned last, where the result names none."""
    start: int = 0
    """Which start of the agent it came after; see `LineRow.starts`."""


class Rig(Struct, frozen=True, omit_defaults=True, tag="rig"):
    """The results that a rig sent last, to know a repeated one."""

    recent: tuple[Frame, ...] = ()
    unreadable: bool = False
    """The last frame was broken."""


class Slice(Struct, frozen=True, omit_defaults=True):
    """What some events that are in the journal add up to, of one context."""

    context: Context
    totals: Totals
    events: int
    cycles: int = 0
    cycles_s: float = 0.0
    first_ms: int = 0
    last_ms: int = 0
    """By event time."""
    reasons: Mapping[str, int] = {}
    """Scrap by its reason."""


class View(Struct, frozen=True, omit_defaults=True, tag="view"):
    """Not a row but an answer of the journal about events of one station: see `views`."""

    slices: tuple[Slice, ...] = ()
    too_many: bool = False
    """More events than one correction may be about; there are no slices then."""
