"""What an entry of the loss ledger is, and what is said of it."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from edge.observation import NOT_READ
from edge.production import Line
from edge.production.baselines import REPLACED, RESTARTED
from edge.production.devices import CAUSES
from edge.production.presence import NOT_RECORDED


class Cause(StrEnum):
    """Why nobody could see, or keep, what happened. Causes of `loss` events stand beside these."""

    AGENT_OFF = "agent-off"
    RESTORED = "journal-restored"
    """A backup was put in the journal's place: what was recorded since it was made is not in this one."""
    SOURCE_DOWN = "source-down"
    UNREADABLE = "signal-unreadable"
    CLOCK_UNKNOWN = "clock-unknown"
    CLOCK_STEPPED = "clock-stepped"
    COUNTER = "counter"
    """A reading left a question open: a reset, a whole turn, more than a machine can make."""
    RESTARTED = CAUSES[RESTARTED]
    REPLACED = CAUSES[REPLACED]
    """By its own words a device began anew, or another one stands in its place."""
    NOT_RECORDED = NOT_RECORDED


EVERYTHING = (Cause.AGENT_OFF, Cause.RESTORED, Cause.NOT_RECORDED)
"""Every counter was out of sight, and every scanner."""


class Recovery(Struct, frozen=True):
    """What a counter had of an interval when it was read again."""

    signal: str
    parts: int
    certain: bool
    assigned: bool
    """One run spans the interval; else the parts are of no order."""
    seq: int
    since_ms: int = 0
    until_ms: int = 0
    """The two readings between which the parts were made: the silence may be longer than the interval."""


class Interval(Struct, frozen=True):
    """One entry of the ledger. Times are UTC in milliseconds."""

    cause: str
    subject: str
    """A source, a signal, a station's counter, a sink; `agent` for all of them."""
    since_ms: int
    until_ms: int | None
    """None: it is not over."""
    seq: int
    """Of the event that began it, or told of it."""
    station: str = ""
    recovered: tuple[Recovery, ...] = ()
    elsewhere: tuple[str, ...] = ()
    """Counters whose parts are told in another interval of the same silence."""
    waiting: tuple[str, ...] = ()
    """Counters that have not been read since."""
    records: int = 0
    """Known to be lost."""
    uncertain: tuple[str, ...] = ()
    """What nobody can tell of the counts and times, in words; empty: they are right."""
    unseen: tuple[str, ...] = ()
    """What no counter brings back, if there was any; whoever sent it got no answer."""
    detail: str = ""

    @property
    def parts(self) -> int:
        return sum(one.parts for one in self.recovered)


def told_whole(one: Interval, line: Line) -> Interval:
    """With what is uncertain of it, in words."""
    return replace(one, uncertain=(*one.uncertain, *_doubts(one)), unseen=tuple(_unseen(one, line)))


def _doubts(one: Interval) -> Iterator[str]:
    if one.waiting:
        yield f"not read since: {', '.join(one.waiting)}"


def _unseen(one: Interval, line: Line) -> Iterator[str]:
    """What no counter can bring back."""
    everything = one.cause in EVERYTHING
    sources = None if everything else {one.subject}
    if not everything and one.cause not in (
        Cause.SOURCE_DOWN, Cause.UNREADABLE, NOT_READ, "queue-overflow", "notifications-lost",
    ):  # fmt: skip
        return
    guns, rigs = _named(line.guns, sources), _named(line.rigs, sources)
    if guns:
        yield f"labels scanned with {', '.join(guns)}"
    if rigs:
        yield f"results of {', '.join(rigs)}"
    states = [
        spec.name for spec in line.stations
        if spec.state_signal and (everything or one.subject in (*spec.sources, spec.state_signal))
    ]  # fmt: skip
    if states:
        yield f"states that came and went at {', '.join(states)}"


def _named(sources: Iterable[str], wanted: set[str] | None) -> Sequence[str]:
    return [name for name in sources if wanted is None or name in wanted]
