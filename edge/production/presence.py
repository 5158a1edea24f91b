"""What is there to be seen at all: the agent, its sources. Out of sight, a counter turns stale."""

from collections.abc import Iterable

from msgspec.structs import replace

from edge.observation import AGENT, Missed
from edge.production.baselines import Counter
from edge.production.draft import Draft
from edge.production.line import CounterSpec
from edge.production.losses import Health, Loss
from edge.production.state import LINE

SOURCE = "source/"
"""Prefix of the signal under which a source is `lost` or `back`."""
START = "start"
LOST = "lost"
BACK = "back"
ROOM = ("filling", "roomy")
"""What the agent says of the journal's room: nothing was out of sight for it."""
NOT_RECORDED = "not-recorded"
"""Cause of what the journal could not take."""


def agent(draft: Draft) -> None:
    """The agent started or stops: between them nothing was seen. Or it tells what it missed, or of room."""
    now = draft.observation
    if isinstance(now.value, Missed):
        missed(draft, now.value)
        return
    if now.value == START:
        line = draft.line_row(LINE)
        draft.put(LINE, replace(line, starts=line.starts + 1))
    if now.value not in ROOM:
        _turn_stale(draft, [one.counter for one in draft.line.counters.values()])
    draft.say(Health(AGENT, str(now.value), now.detail))


def missed(draft: Draft, told: Missed) -> None:
    """What was read and not recorded, the counters have: their next readings recover it as a gap."""
    if told.cause == NOT_RECORDED:
        _turn_stale(draft, [one.counter for one in draft.line.counters.values()])
    signals = tuple(one for one in told.signals if one in draft.line.counters)
    _turn_stale(draft, [draft.line.counters[one].counter for one in signals])
    words = (told.cause, told.subject, told.since_ms, told.until_ms, told.records, told.detail)
    draft.say(Loss(*words, signals=signals))


def source(draft: Draft, name: str) -> None:
    """A source was lost or is back; said once each, and when it stays away for another reason."""
    now, line = draft.observation, draft.line_row(LINE)
    if (name in line.lost) == (now.value == LOST):
        if now.value == LOST and now.detail:
            draft.say(Health(name, LOST, now.detail))
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
