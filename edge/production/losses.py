"""The events of the loss ledger: when something could have been missed, and what can be relied on."""

from typing import ClassVar

from msgspec import Struct

LOSS = "loss"
"""Subject of everything that the loss ledger is made of."""

TOLD = ("baseline", "reset", "replaced", "uncertain", "implausible")
"""Qualities of a count that the ledger tells of; see `counting.Kind`."""


class Gap(Struct, frozen=True, omit_defaults=True):
    """An interval in which a counter was not seen, and what its next reading recovered."""

    type: ClassVar[str] = "gap"

    signal: str
    since_ms: int
    until_ms: int
    recovered: int
    certain: bool
    """False where the counter could have wrapped or been reset unseen."""
    assigned: bool
    """True where one run spans the whole interval."""
    most: int = 0
    """So many its device can have made since it was restarted, where it may show an older count; 0: nobody
    can tell. `recovered` is what was made at least."""
    withdrawn: int = 0
    """Parts that were held in it, and never were: the counter goes on from where it was before it leapt."""


class Loss(Struct, frozen=True, omit_defaults=True):
    """An interval in which something could have been missed, or was. See `observation.Missed`."""

    type: ClassVar[str] = "loss"

    cause: str
    subject: str
    since_ms: int
    until_ms: int
    records: int = 0
    """Known to be lost; 0 where nobody can tell."""
    detail: str = ""
    signals: tuple[str, ...] = ()
    """Counters whose next readings tell what was missed."""


class Clock(Struct, frozen=True, omit_defaults=True):
    """The wall clock was set, is in doubt, or is right again. See `observation.ClockWord`."""

    type: ClassVar[str] = "clock"

    state: str
    reason: str = ""
    step_ms: int = 0
    since_ms: int = 0
    """When the doubt began."""
    shift_ms: int = 0
    """What was added to the times since then."""
    certain: bool = True


class Health(Struct, frozen=True, omit_defaults=True):
    """Something can, or can no longer, be relied on."""

    type: ClassVar[str] = "health"

    subject: str
    """A source, a signal, or the agent."""
    state: str
    detail: str = ""
