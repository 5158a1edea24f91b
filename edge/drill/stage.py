"""What the pieces of a running drill share, and when all is quiet."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from edge.config import LineConfig
from edge.drill.books import Books, Fact
from edge.drill.clock import ClockFile
from edge.drill.floor import Floor
from edge.drill.judge import Moment, Outlet
from edge.drill.options import DrillOptions
from edge.status import follow_status

UP_S = 60.0
"""The agent must be up by then; on a Pi its imports alone take several seconds."""
LOOK_S = 0.05
"""Between two looks at what another process does."""


@dataclass(slots=True)
class Stage:
    """What the pieces of a running drill share."""

    options: DrillOptions
    folder: Path
    console: Console
    config: LineConfig
    """The user's own."""
    books: Books
    clock: ClockFile
    no_room: str
    """Why the drill has no disk of its own; empty where it has one."""
    floor: Floor = field(default_factory=Floor)
    outlets: list[Outlet] = field(default_factory=list)
    changed: Sequence[str] = ()
    untried: list[str] = field(default_factory=list)
    ended: Moment | None = None
    """When the last scene was quiet: the next begins there, so that nothing falls between two."""

    @property
    def data(self) -> Path:
        return self.folder / "disk" / "data"

    def say(self, words: str) -> None:
        self.console.print(words, markup=False, highlight=False)


async def is_connected(stage: Stage) -> bool:
    async with contextlib.aclosing(follow_status(stage.data)) as told:
        async for status in told:
            states = [one.state for one in status.sources.values()]
            return len(states) == len(stage.floor.places) and all(one == "connected" for one in states)
    return False


def behind(stage: Stage) -> list[str]:
    """Sinks whose far end has not got all that came into the journal since the last scene was quiet."""
    head = stage.ended.head if stage.ended else 0
    return [one.name for one in stage.outlets if lacking(one, stage.books.facts, head)]


def lacking(outlet: Outlet, facts: Sequence[Fact], head: int) -> list[int]:
    """Seqs above the head that its far end has not got."""
    got = outlet.end.arrivals.first_s
    return [
        fact.seq for key, fact in outlet.end.expected(facts).items() if fact.seq > head and key not in got
    ]


def is_settled(stage: Stage) -> bool:
    """What was made is counted, what was said is answered, what is on disk has arrived.

    What an earlier scene has lost or counted twice is not waited for again.
    """
    is_counted = not any(short_of(stage).values())
    return is_counted and stage.floor.is_quiet() and bool(stage.books.facts) and not behind(stage)


def short_of(stage: Stage) -> dict[str, int]:
    """Counts made and not counted since the last scene was quiet, by signal; below 0 what is too many."""
    made, counted = stage.floor.made, stage.books.counted
    was = {one: stage.ended.made[one] - stage.ended.counted[one] for one in made} if stage.ended else {}
    return {signal: made[signal] - counted[signal] - was.get(signal, 0) for signal in made}
