"""Stops of a machine, and the reasons that people give for them."""

from collections.abc import Sequence

from msgspec.structs import replace

from edge.production.beside import ReasonTaken, Stop, Stops
from edge.production.draft import Draft
from edge.production.edges import Edge, span_ms
from edge.production.events import Downtime
from edge.production.line import StationSpec
from edge.production.orders import RefusedError
from edge.production.places import Stations, which
from edge.production.reasons import DOWNTIME, explained
from edge.production.state import Station
from edge.production.takings import remember

MOST_STOPS = 20
"""That a station remembers; the oldest of more can be given no reason any more."""


def begin_stop(draft: Draft, spec: StationSpec, row: Station, state: str, begin: Edge) -> None:
    """The machine left Execute; where it stands already, it is one stop."""
    stops = _stops(draft, spec)
    if stops.recent and stops.recent[-1].end is None:
        return
    stop = Stop(stops.number + 1, state, begin, row.context)
    _put(draft, spec, replace(stops, number=stop.number, recent=(*stops.recent, stop)))


def end_stop(draft: Draft, spec: StationSpec, end: Edge) -> None:
    """It executes again. A stop that was short, and has no reason, needs none."""
    stops = _stops(draft, spec)
    if not stops.recent or stops.recent[-1].end is not None:
        return
    stop = replace(stops.recent[-1], end=end)
    lasted_s = _lasted_s(stop)
    if stop.reason:
        _say(draft, spec, stop, stop.reason, stop.by)
    elif lasted_s is not None and lasted_s * 1000 < spec.stop_after_ms:
        _put(draft, spec, replace(stops, recent=stops.recent[:-1]))
        return
    _put(draft, spec, replace(stops, recent=(*stops.recent[:-1], stop)))


def give_reason(draft: Draft, stations: Stations, code: str) -> str:
    """A downtime reason was scanned: it is that of the stop that is on, else of the last one without a
    reason, else of the last one. May refuse."""
    words = explained(draft.line, DOWNTIME, code)
    spec = _where(draft, stations)
    stops = _stops(draft, spec)
    stop = _meant(stops.recent)
    if stop is None:
        raise RefusedError(f"{spec.name} has not stopped: there is nothing to give a reason for")
    if stop.reason == code:
        raise RefusedError(f"{code} is the reason already, {_which(draft, spec, stop)}")
    after = _with_reason(draft, spec, stop, code, draft.station(spec).context.operator or "")
    remember(draft, spec, f"D {code}", ReasonTaken(stop.number, stop.reason, stop.by))
    instead = f", instead of {stop.reason}" if stop.reason else ""
    return f"{words}: {_which(draft, spec, after)}{instead}{_open(_stops(draft, spec).recent)}"


def take_reason_back(draft: Draft, spec: StationSpec, taken: ReasonTaken) -> str:
    """The stop has the reason that it had before. May refuse."""
    stop = next((one for one in _stops(draft, spec).recent if one.number == taken.stop), None)
    if stop is None:
        raise RefusedError("that stop was too long ago: ask your supervisor")
    reason = stop.reason
    stop = _with_reason(draft, spec, stop, taken.before, taken.by)
    return f"{reason} taken back, {_which(draft, spec, stop)}"


def _with_reason(draft: Draft, spec: StationSpec, stop: Stop, reason: str, by: str) -> Stop:
    """What was said of it is taken back, and said anew."""
    if stop.reason:
        _say(draft, spec, stop, stop.reason, stop.by, taken_back=True)
    after = replace(stop, reason=reason, by=by)
    if reason:
        _say(draft, spec, after, reason, by)
    stops = _stops(draft, spec)
    recent = tuple(after if one.number == stop.number else one for one in stops.recent)
    _put(draft, spec, replace(stops, recent=recent))
    return after


def _where(draft: Draft, stations: Stations) -> StationSpec:
    """Where a machine stands; else where one stood. Raises RefusedError where a gun cannot tell which."""
    known = [(spec, recent) for spec in stations if (recent := _stops(draft, spec).recent)]
    standing = [spec for spec, recent in known if recent[-1].end is None]
    found = standing or [spec for spec, _ in known] or [stations[0]]
    if len(found) > 1:
        raise which(tuple(found))
    return found[0]


def _meant(recent: Sequence[Stop]) -> Stop | None:
    if not recent or recent[-1].end is None:
        return recent[-1] if recent else None
    return next((stop for stop in reversed(recent) if not stop.reason), recent[-1])


def _open(recent: Sequence[Stop]) -> str:
    """How many stops still want a reason."""
    open_ = sum(not stop.reason for stop in recent)
    return f"; {open_} more without a reason" if open_ else ""


def _which(draft: Draft, spec: StationSpec, stop: Stop) -> str:
    """`press stands since 09:12`, `press stood from 09:12 to 09:26`."""
    hour = draft.line.hour
    if stop.end is None:
        return f"{spec.name} stands since {hour(stop.begin.at_ms)}"
    return f"{spec.name} stood from {hour(stop.begin.at_ms)} to {hour(stop.end.at_ms)}"


def _lasted_s(stop: Stop) -> float | None:
    lasted_ms = None if stop.end is None else span_ms(stop.begin, stop.end)
    return None if lasted_ms is None else round(max(0, lasted_ms) / 1000, 3)


def _say(
    draft: Draft, spec: StationSpec, stop: Stop, reason: str, by: str, *, taken_back: bool = False
) -> None:
    lasted_s = _lasted_s(stop)
    if lasted_s is not None and taken_back:
        lasted_s = -lasted_s
    begin_ms, end_ms = stop.begin.at_ms, None if stop.end is None else stop.end.at_ms
    said = Downtime(reason, stop.state, begin_ms, end_ms, lasted_s, by, taken_back)
    draft.say(said, spec.name, stop.context, at_ms=begin_ms)


def _stops(draft: Draft, spec: StationSpec) -> Stops:
    return draft.get(spec.stops_key, Stops) or Stops()


def _put(draft: Draft, spec: StationSpec, stops: Stops) -> None:
    """The one that is on is kept beside the newest: it may turn out to be too short to be any."""
    most = MOST_STOPS + (bool(stops.recent) and stops.recent[-1].end is None)
    draft.put(spec.stops_key, replace(stops, recent=stops.recent[-most:]))
