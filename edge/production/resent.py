"""Whether a rig sends a result once more, or another one that looks the same.

A rig sends its result until it hears that it is on disk, and only then the next one. So what comes again is
its last one, and comes soon; unless the agent was away, which is when nobody could tell the rig.
"""

from collections.abc import Sequence

from edge.production.beside import Frame

AT_ONCE_MS = 30_000
"""So long a result may be that of a unit that was scanned before the one of now, or of one nobody scanned."""
UNNUMBERED_MS = 60_000
"""A rig that does not number its results may measure the same again after this time."""
NUMBERED_MS = 900_000
"""So long a numbered result of a named unit is one that came again, though the rig sent others since."""
UNIQUE = 19
"""Characters of a number that never begins anew: a UUID, a name of a file with its time."""


def sent_before(recent: Sequence[Frame], sent: Frame, *, named: bool) -> Frame | None:
    """The result that `sent` repeats. `named`: it says itself which unit it is of."""
    alike = [one for one in reversed(recent) if one.digest == sent.digest]
    is_again = _numbered if sent.number is not None and not _stands_still(recent) else _unnumbered
    return next((one for one in alike if is_again(one, sent, recent[-1], named)), None)


def _stands_still(recent: Sequence[Frame]) -> bool:
    """The number of its last two results is one and the same: it counts something else than results."""
    return len(recent) > 1 and recent[-1].number == recent[-2].number


def _numbered(one: Frame, sent: Frame, last: Frame, named: bool) -> bool:
    """Same number, same content. Numbers begin anew where a rig was off."""
    if len(sent.number or "") >= UNIQUE:
        return True
    if named:
        return one is last or _span_ms(one, last if _is_first(sent, last) else sent) <= NUMBERED_MS
    if one is not last:
        return False
    same_unit = one.unit == sent.unit and bool(sent.unit)
    return same_unit or _nobody_knew(sent, last) or _span_ms(one, sent) <= AT_ONCE_MS


def _unnumbered(one: Frame, sent: Frame, last: Frame, named: bool) -> bool:
    """Same content, and the same unit: of another it is another result."""
    if one is last and (_nobody_knew(sent, last) or (_is_first(sent, last) and one.unit == sent.unit)):
        return True
    known = named or bool(sent.unit)
    return one.unit == sent.unit and _span_ms(one, sent) <= (UNNUMBERED_MS if known else AT_ONCE_MS)


def _is_first(sent: Frame, last: Frame) -> bool:
    """Nothing of this rig was recorded since the agent started."""
    return last.start != sent.start


def _nobody_knew(sent: Frame, last: Frame) -> bool:
    """It is the first since the start, and no unit was scanned since a power cut."""
    return _is_first(sent, last) and not sent.unit


def _span_ms(one: Frame, other: Frame) -> int:
    """By the monotonic clock; across two boots by the wall clock, unless it went back."""
    if one.boot == other.boot:
        return other.mono_ms - one.mono_ms
    return max(0, other.seen_ms - one.seen_ms)
