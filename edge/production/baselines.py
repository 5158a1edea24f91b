"""What is remembered of a counter: the reading that the next one is compared with."""

from msgspec import Struct

from edge.production.context import NO_CONTEXT, Context


class Suspect(Struct, frozen=True):
    """A reading that nobody would believe at once."""

    raw: int
    times: int
    """How many readings in a row agree on it."""
    mono_ms: int
    """Of the reading that was the last to agree."""


class Former(Struct, frozen=True):
    """A baseline given up for a reset: a device may only have been booting, and go on from there."""

    raw: int
    seen_ms: int
    mono_ms: int
    boot: str
    synced: bool
    context: Context
    counted: int
    """Counts added since the reset."""
    others: tuple[Context, ...] = ()


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


class Began(Struct, frozen=True):
    """By its own words the device began anew after this reading."""

    how: str
    """`restarted`, or `replaced`: another one stands in its place."""
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


class ReadAs(Struct, frozen=True, tag="read-as"):
    """How a counter was read last: the key of its baseline."""

    key: str


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
    """Before a reset, for some minutes."""
    synced: bool = True
    """The wall clock was disciplined (NTP) at this reading."""
    began: Began | None = None
