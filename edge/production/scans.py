"""A gun read a label: do what it asks, or say why not, and record it either way."""

from collections.abc import Callable

from msgspec.structs import replace

from edge.observation import Outcome, Quality, Verdict
from edge.production.draft import Draft
from edge.production.events import Scan
from edge.production.line import StationSpec
from edge.production.orders import (
    ENDED,
    INTERRUPTED,
    RefusedError,
    change_context,
    job_name,
    known_job,
    split_job,
    start_job,
    stop_job,
)
from edge.production.quality import book_scrap
from edge.production.scanning import LETTERS, Label, read_label
from edge.production.state import LastScan, Noun

REPEAT_MS = 1_500
"""The same label again within this time is a double trigger."""
NOUN_MS = 30_000
"""A label that waits for another is forgotten after this time."""

Stations = tuple[StationSpec, ...]


def scan(draft: Draft, gun: str, stations: Stations) -> None:
    """Decide one label. All stations that name the gun hear it."""
    text = draft.observation.value if isinstance(draft.observation.value, str) else ""
    label = _readable(draft, text)
    if isinstance(label, str):
        _record(draft, gun, stations, text, None, Outcome(Verdict.REFUSED, label))
    elif _is_repeat(draft, stations[0], text):
        words = "the same label twice: counted once"
        _record(draft, gun, stations, text, label, Outcome(Verdict.DUPLICATE, words))
    else:
        _obey(draft, gun, stations, text, label)


def _readable(draft: Draft, text: str) -> Label | str:
    if draft.observation.quality is Quality.BAD or not text:
        return draft.observation.detail or "nothing readable"
    return read_label(text)


def _is_repeat(draft: Draft, station: StationSpec, text: str) -> bool:
    last, now = draft.station(station).last_scan, draft.observation
    return (
        last is not None
        and last.label == text
        and last.boot == now.boot
        and now.mono_ms - last.mono_ms < REPEAT_MS
    )


def _obey(draft: Draft, gun: str, stations: Stations, text: str, label: Label) -> None:
    try:
        words = _MEANINGS.get(label.letter, _not_in_use)(draft, stations, label)
    except RefusedError as refusal:
        draft.undo()
        _record(draft, gun, stations, text, label, Outcome(Verdict.REFUSED, str(refusal)))
        return
    now = draft.observation
    for station in stations:
        row = draft.station(station)
        draft.put(station.key, replace(row, last_scan=LastScan(text, now.mono_ms, now.boot)))
    _record(draft, gun, stations, text, label, Outcome(Verdict.ACCEPTED, words))


def _record(
    draft: Draft, gun: str, stations: Stations, text: str, label: Label | None, outcome: Outcome
) -> None:
    now_ms = draft.observation.seen_ms
    for station in stations:
        row = draft.station(station)
        said = replace(row, said=outcome.words, said_verdict=outcome.verdict, said_at_ms=now_ms)
        draft.put(station.key, said)
    kind = label.letter if label else None
    context = draft.station(stations[0]).context
    draft.say(Scan(text, gun, outcome.verdict, outcome.words, kind), stations[0].name, context)
    draft.outcome = outcome


def _badge(draft: Draft, stations: Stations, label: Label) -> str:
    for station in stations:
        change_context(draft, station, replace(draft.station(station).context, operator=label.body))
    return f"{label.body} is at {_names(stations)}"


def _job(draft: Draft, stations: Stations, label: Label) -> str:
    order, operation = split_job(draft, label.body)
    return "; ".join([start_job(draft, station, order, operation) for station in stations])


def _lot(draft: Draft, stations: Stations, label: Label) -> str:
    for station in stations:
        change_context(draft, station, replace(draft.station(station).context, batch=label.body))
    return f"batch {label.body} at {_names(stations)}"


def _scrap_reason(draft: Draft, stations: Stations, label: Label) -> str:
    station, now = _where_parts_are_made(draft, stations), draft.observation
    noun = Noun(label.letter, label.body, now.mono_ms, now.boot)
    draft.put(station.key, replace(draft.station(station), noun=noun))
    return f"scrap at {station.name}, {label.body}: scan how many"


def _where_parts_are_made(draft: Draft, stations: Stations) -> StationSpec:
    """The station that scrap is booked at. Raises RefusedError where a gun cannot tell which."""
    counting = [station for station in stations if station.counters]
    running = [station for station in counting if draft.station(station).run is not None]
    if len(running) > 1:
        raise RefusedError(f"at which station? This gun speaks for {_names(tuple(running))}")
    return (running or counting or list(stations))[0]


def _quantity(draft: Draft, stations: Stations, label: Label) -> str:
    station, now = _where_parts_are_made(draft, stations), draft.observation
    row = draft.station(station)
    noun = row.noun
    if noun is None or noun.boot != now.boot or now.mono_ms - noun.mono_ms > NOUN_MS:
        raise RefusedError("a quantity of what? Scan the reason first")
    if not label.body.isdigit() or not 0 < int(label.body) < 10_000:
        raise RefusedError(f"{label.body} is no quantity between 1 and 9999")
    draft.put(station.key, replace(row, noun=None))
    return book_scrap(draft, station, noun.body, int(label.body))


def _command(draft: Draft, stations: Stations, label: Label) -> str:
    command = _COMMANDS.get(label.body)
    if command is None:
        raise RefusedError(f"the command {label.body} is not in use on this line")
    return "; ".join([command(draft, station) for station in stations])


def _pause(draft: Draft, station: StationSpec) -> str:
    return stop_job(draft, station, INTERRUPTED)


def _resume(draft: Draft, station: StationSpec) -> str:
    row = draft.station(station)
    if row.run is not None:
        raise RefusedError(f"{job_name(row.run.order, row.run.operation)} is running already")
    if row.last_job is None:
        raise RefusedError("which job? Scan its card")
    return start_job(draft, station, *known_job(draft, *row.last_job))


def _done(draft: Draft, station: StationSpec) -> str:
    return stop_job(draft, station, ENDED)


def _logout(draft: Draft, station: StationSpec) -> str:
    row = draft.station(station)
    who = row.context.operator
    if who is None:
        raise RefusedError(f"nobody is badged in at {station.name}")
    change_context(draft, station, replace(row.context, operator=None))
    return f"{who} has left {station.name}"


def _not_in_use(draft: Draft, stations: Stations, label: Label) -> str:
    raise RefusedError(f"a {LETTERS[label.letter]} means nothing at {_names(stations)}")


def _names(stations: Stations) -> str:
    return ", ".join(station.name for station in stations)


_MEANINGS: dict[str, Callable[[Draft, Stations, Label], str]] = {
    "E": _badge, "J": _job, "L": _lot, "X": _scrap_reason, "Q": _quantity, "C": _command,
}  # fmt: skip

_COMMANDS: dict[str, Callable[[Draft, StationSpec], str]] = {
    "START": _resume, "RESUME": _resume, "PAUSE": _pause, "DONE": _done, "LOGOUT": _logout,
}  # fmt: skip
