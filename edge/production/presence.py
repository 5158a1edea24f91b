"""What is there to be seen at all: the agent, its sources. Out of sight, a counter turns stale."""

from collections.abc import Iterable

from msgspec.structs import replace

from edge.observation import AGENT
from edge.production.draft import Draft
from edge.production.events import Health
from edge.production.line import CounterSpec
from edge.production.state import LINE, Counter

SOURCE = "source/"
"""Prefix of the signal under which a source is `lost` or `back`."""
LOST = "lost"
BACK = "back"


def agent(draft: Draft) -> None:
    """The agent started or stops: between the two, nothing was seen."""
    now = draft.observation
    _turn_stale(draft, [one.counter for one in draft.line.counters.values()])
    draft.say(Health(AGENT, str(now.value), now.detail))


def source(draft: Draft, name: str) -> None:
    """A source was lost or is back; said once each."""
    now, line = draft.observation, draft.line_row(LINE)
    if (name in line.lost) == (now.value == LOST):
        return
    if now.value == LOST:
        lost = {**line.lost, name: now.seen_ms}
        places = draft.line.counters.values()
        _turn_stale(draft, [place.counter for place in places if place.counter.source == name])
    else:
        lost = {other: since for other, since in line.lost.items() if other != name}
    draft.put(LINE, replace(line, lost=lost))
    draft.say(Health(name, str(now.value), now.detail))


def _turn_stale(draft: Draft, counters: Iterable[CounterSpec]) -> None:
    for counter in counters:
        before = draft.get(counter.key, Counter)
        if before is not None and not before.stale:
            draft.put(counter.key, replace(before, stale=True))
