"""Who is at a station, and for how long: a badge may end by itself."""

from msgspec.structs import replace

from edge.production.beside import Badge
from edge.production.draft import Draft
from edge.production.events import Flag
from edge.production.line import StationSpec
from edge.production.slots import change_context


def badge_in(draft: Draft, spec: StationSpec, operator: str) -> None:
    """From now on this person is at the station."""
    change_context(draft, spec, operator=operator)
    if draft.line.badge_ends_ms is not None:
        _note(draft, spec, operator)


def _note(draft: Draft, spec: StationSpec, operator: str) -> None:
    now = draft.observation
    badge = Badge(operator, now.at_ms, now.mono_ms, now.boot)
    draft.put(spec.key, replace(draft.station(spec), badge=badge))


def end_badge(draft: Draft, spec: StationSpec) -> None:
    """Time went by: who scanned a badge too long ago is taken to have left.

    Whoever came by an UNDO, or before badges ended on this line, is counted from the first tick.
    """
    row, most_ms = draft.station(spec), draft.line.badge_ends_ms
    who = row.context.operator
    if most_ms is None or who is None:
        return
    if row.badge is None or row.badge.operator != who:
        _note(draft, spec, who)
        return
    aged_ms = _aged_ms(draft, row.badge)
    if aged_ms < most_ms:
        return
    words = f"the badge of {who} has ended at {spec.name}: it was scanned {_about(aged_ms)} ago"
    draft.say(Flag("badge_ended", 0, words), spec.name, row.context)
    change_context(draft, spec, operator=None)
    draft.boundary = ()  # who made the part that is being made is not worth a read
    row = draft.station(spec)
    draft.put(spec.key, replace(row, badge=None, undo=None, said=words, said_verdict=None))


def _aged_ms(draft: Draft, badge: Badge) -> int:
    """By the monotonic clock; across two boots by the wall clock, unless it went back."""
    now = draft.observation
    return now.mono_ms - badge.mono_ms if badge.boot == now.boot else max(0, now.at_ms - badge.at_ms)


def _about(ms: int) -> str:
    hours, minutes = ms // 3_600_000, ms // 60_000
    return f"{hours} h" if hours else f"{minutes} min"
