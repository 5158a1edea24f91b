"""What waits in the recorder: calls of emit, scans that are held, and what one commit will hold."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edge.batches import Batch as Sample
from edge.errors import NotRecorded
from edge.observation import Observation, Outcome
from edge.production import Line
from edge.production.context import Context
from edge.production.draft import Hold, Move, Restamp
from edge.production.events import Event


@dataclass(slots=True, eq=False)
class Entry:
    """One call of emit."""

    observations: Sequence[Observation]
    done: asyncio.Future[list[Outcome]]
    outcomes: list[Outcome | None] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Rest:
    """What is left of an entry: its next scan waits for one of the same gun that is held."""

    entry: Entry
    index: int


@dataclass(slots=True, eq=False)
class Held:
    """A scan that waits for its boundary: the counters of its stations, read now."""

    entry: Entry
    index: int
    asks: frozenset[int]
    waiting: set[str]
    fresh: list[str] = field(default_factory=list)
    doubted: set[str] = field(default_factory=set)
    """Of those that it waits for: read, and not believed yet. Another look is taken."""
    decided: bool = False


@dataclass(slots=True)
class Batch:
    """What one commit will hold."""

    work: deque[Entry | Held | Rest] = field(default_factory=deque)
    events: list[tuple[Event, bytes]] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    timings: list[Hold | Restamp] = field(default_factory=list)
    quarantined: list[tuple[Observation, str]] = field(default_factory=list)
    entries: dict[Entry, None] = field(default_factory=dict)
    """In the order they came."""
    again: list[Held | Rest] = field(default_factory=list)
    """What asks about events of this batch: it is decided when they are on disk."""
    telemetry: list[tuple[Sample, Context]] = field(default_factory=list)
    """Batches, each with what is made at its station."""
    answers: list[tuple[Held, str]] = field(default_factory=list)
    """Readings in it that scans were waiting for."""
    outage: bool = False
    """It tells that nothing could be recorded for some time."""


class CommitFirst(Exception):
    """An observation asks about events that are not on disk yet."""


def follows(observation: Observation, line: Line, waiting: Iterable[Held | Rest]) -> bool:
    """A gun's scans are decided in their order: a job card needs the badge before it."""
    if observation.signal not in line.guns:
        return False
    return any(one.entry.observations[one.index].signal == observation.signal for one in waiting)


def answer(entry: Entry) -> None:
    outcomes = [outcome for outcome in entry.outcomes if outcome is not None]
    if len(outcomes) == len(entry.outcomes) and not entry.done.done():
        entry.done.set_result(outcomes)


def refuse(entry: Entry, error: Exception) -> None:
    if not entry.done.done():
        refusal = error if isinstance(error, NotRecorded) else NotRecorded(str(error))
        entry.done.set_exception(refusal)
        entry.done.exception()  # its caller may have gone; that is no fault
