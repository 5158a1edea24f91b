"""How long a drill takes: what it waits for after each fault, for how long, and what it says meanwhile."""

import asyncio
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from edge.drill.options import DrillOptions
from edge.drill.stage import LOOK_S, Stage, is_settled, lacking, short_of

AFTER_S = 1.0
"""Parts are made for so long after a fault."""
SCENE_S = 3.0
"""What a scene usually takes beside its fault."""
STILL_S = 15.0
"""Nothing has moved for so long: it will not come. No sink that was lost waits longer between two tries."""
MOVING_S = 45.0
"""A scene is waited for no longer, whatever still moves."""
LONGER_S = 60.0
"""A sink that was refused for long tries again so seldom."""
SAY_S = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what does not come is waited for."""

    still_s: float
    """While nothing moves."""
    longest_s: float
    """Whatever still moves."""


def patience(options: DrillOptions) -> Patience:
    """A pause between two tries is no longer than what they have failed for."""
    more_s = min(options.for_s, LONGER_S)
    return Patience(STILL_S + more_s, MOVING_S + more_s)


def expected(scenes: int, options: DrillOptions) -> str:
    """In words, how long the whole drill takes."""
    each_s, wait = options.for_s + SCENE_S, patience(options)
    return (
        f"{scenes} scenes of about {each_s:g} s: some {scenes * each_s:.0f} s; "
        f"where something does not come, its scene takes up to {wait.longest_s:g} s more"
    )


async def settle(stage: Stage, wait: Patience) -> list[str]:
    """Wait until all is quiet, or until it is clear that it will not be; then say what is missing."""
    began_s = moved_s = said_s = time.monotonic()
    there = _there(stage)
    while not is_settled(stage):
        await asyncio.sleep(LOOK_S)
        now_s, before, there = time.monotonic(), there, _there(stage)
        if there != before:
            moved_s = now_s
        if now_s - moved_s > wait.still_s or now_s - began_s > wait.longest_s:
            missing = ", ".join(_missing(stage))
            return [f"after {now_s - began_s:.0f} s still not there: {missing}"] if missing else []
        if now_s - said_s > SAY_S:
            said_s = now_s
            stage.say(f"  {now_s - began_s:.0f} s, waiting for {', '.join(_missing(stage)) or 'quiet'}")
    return []


def _there(stage: Stage) -> Hashable:
    """It changes when something comes that was waited for. Telemetry always comes, and is nothing new."""
    oldest = [min(missing, default=0) for missing in _undelivered(stage).values()]
    return stage.books.counted.total(), sum(len(one.said) for one in stage.floor.devices), *oldest


def _missing(stage: Stage) -> Iterator[str]:
    yield from (f"{counts} counts of {signal}" for signal, counts in short_of(stage).items() if counts > 0)
    yield from (f"an answer to {device.name}" for device in stage.floor.devices if device.busy)
    yield from (f"{len(seqs)} events to {sink}" for sink, seqs in _undelivered(stage).items() if seqs)


def _undelivered(stage: Stage) -> dict[str, list[int]]:
    head = stage.ended.head if stage.ended else 0
    return {one.name: lacking(one, stage.books.facts, head) for one in stage.outlets}
