"""What is remembered of a counter: the reading that the next one is compared with."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from edge.production.claims import Claim
from edge.production.context import NO_CONTEXT, Context


class Look(NamedTuple):
    """One reading of those that agree."""

    raw: int
    mono_ms: int


class Boundary(Struct, frozen=True):
    """The reading at a change of the context, which was not believed yet."""

    raw: int
    before: tuple[Context, ...]
    """Under which everything until it was made."""
    after: tuple[Context, ...]
    """What is certain of the parts since."""
    mono_ms: int
    """When the change was asked for."""


class Suspect(Struct, frozen=True, omit_defaults=True):
    """A reading that nobody would believe at once."""

    raw: int
    times: int
    """How many readings in a row agree on it."""
    mono_ms: int
    """Of the reading that was the last to agree."""
    looks: tuple[Look, ...] = ()
    """The newest of those that agree."""
    since_ms: int = 0
    """On the monotonic clock: when it was first suspected, whether its readings agreed or not."""
    tries: int = 0
    """Looks since then, with some time between them."""
    tried_ms: int = 0
    """When the last of them was."""
    boundary: Boundary | None = None


class Former(Struct, frozen=True, omit_defaults=True):
    """A baseline given up for a reset or a leap: a device may only have been booting, or show what is no
    count while a part of it is away, and go on from there."""

    raw: int
    seen_ms: int
    mono_ms: int
    boot: str
    synced: bool
    context: Context
    counted: int
    """Counts added since."""
    others: tuple[Context, ...] = ()
    claims: tuple[Claim, ...] = ()
    """What is held of the leaps since; empty: there was only a reset."""


class Earlier(Struct, frozen=True):
    """What was certain before the context changed: of a part whose own time is earlier than that."""

    context: Context
    others: tuple[Context, ...]
    changed_ms: int
    mono_ms: int = 0
    boot: str = ""
    """When it changed, on the clock that no one sets."""


RESTARTED = "restarted"
REPLACED = "replaced"
DOUBTED = "doubted"
"""Of a server: its devices may have begun anew with it, or have gone on."""


class Began(Struct, frozen=True):
    """By its own words the device began anew after this reading."""

    how: str
    """`restarted`; `replaced`: another one stands in its place; or `doubted`."""
    seen_ms: int
    mono_ms: int
    boot: str
    synced: bool
    """When, at the earliest, by the clocks of the one who was told."""


class Device(Struct, frozen=True, omit_defaults=True, tag="device"):
    """What a device said of itself last."""

    serial: str
    uptime_ms: int | None
    seen_ms: int
    mono_ms: int
    boot: str
    synced: bool
    """When it said so."""
    read_from: str = ""
    started_ms: int | None = None


class ReadAs(Struct, frozen=True, omit_defaults=True, tag="read-as"):
    """How a counter was read last: the key of its baseline, and what one count stood for."""

    key: str
    parts_per_count: int = 0
    """0: nobody noted it."""
    parts_by_item: Mapping[str, int] = {}


class Counter(Struct, frozen=True, omit_defaults=True, tag="counter"):
    """The baseline of one counter: the reading that the next one is compared with."""

    raw: int
    at_ms: int
    seen_ms: int
    mono_ms: int
    boot: str
    context: Context = NO_CONTEXT
    """What is certain of every part made since this reading."""
    others: tuple[Context, ...] = ()
    """The other jobs that share the station's parts."""
    earlier: Earlier | None = None
    stale: bool = False
    """The counter has been out of sight since this reading."""
    suspect: Suspect | None = None
    former: Former | None = None
    """Before a reset or a leap, for some minutes."""
    synced: bool = True
    """The wall clock was disciplined (NTP) at this reading."""
    began: Began | None = None
    goes_on: bool = False
    """By its device's own word that one has run since this reading: a count below it has rolled over."""
