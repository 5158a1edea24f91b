"""What the board shows: facts for a program, and beside them the words that the page places.

Words are made here and nowhere else, so the first page and every update say the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from math import ceil
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct, structs

from edge import __version__
from edge.board import words
from edge.board.screen import Screen, ScreenNow, named, screen_now
from edge.board.words import NONE, Kind
from edge.config import LineConfig, SourceConfig
from edge.production.line import StationSpec
from edge.production.reasons import DOWNTIME
from edge.production.state import Station
from edge.readmodel import StationView, station_view
from edge.sink_words import backlog, held
from edge.status import AgentStatus, SinkStatus, SourceStatus
from edge.tally import ailing

SILENT_S = 10.0
"""A source that is polled and gives no value for so long is silent, though it is connected."""
SILENT_SAMPLES = 3
"""A signal that is sampled less often has so many samples' time."""

Trust = Literal["good", "wait", "bad", "unknown"]
"""Whether a source or a sink does its work; unknown while the agent is away."""

_TRUST: dict[str, Trust] = {"connected": "good", "connecting": "wait"}


class StationWords(Struct, frozen=True):
    """The texts of one station's card."""

    job: str
    product: str
    count: str
    target: str
    counted: str
    """What the big number is; empty without an order."""
    size: int
    """Characters of the big line, those of the smaller target as 0.42; sets the size of its letters."""
    scrap: str
    unassigned: str
    """Empty when there are none."""
    held: str
    """Parts that nobody would believe; empty when there are none."""
    state: str
    last: str
    mean: str
    ideal: str
    said: str
    trouble: str
    """Why the card cannot be believed; empty when it can."""


class StationNow(StationView, frozen=True, kw_only=True):
    """One station. Durations are seconds at the moment of the snapshot."""

    kind: Kind
    state_s: float | None
    """How long the state has lasted; None where it is not certain that it still does."""
    trouble: str
    """Why these figures may be old; empty when they are fresh."""
    trouble_s: float | None
    """How old they are; None where nobody knows."""
    words: StationWords
    screen: ScreenNow


class SourceNow(Struct, frozen=True):
    """One source."""

    name: str
    trust: Trust
    state: str
    """`connecting`, `connected`, `silent`, `lost`, `broken`, or `unknown` while the agent is away."""
    reason: str
    silent_s: float | None
    """Since its last value; None: none since the agent started."""


class SinkNow(Struct, frozen=True):
    """One sink; counts are events, None while the agent is away."""

    name: str
    trust: Trust
    state: str
    reason: str
    delivered: int | None
    pending: int | None
    counts: str


class AgentNow(Struct, frozen=True):
    """The agent. Away: it does not answer, so what is shown is what it committed last."""

    state: Literal["live", "away"]
    seconds: float | None
    """Since it was last heard; where this board never heard it, since its last event."""
    words: str


class Snapshot(Struct, frozen=True):
    """The whole line at one moment."""

    page: str
    """Changes when the page itself must be loaded again: other stations, another version."""
    line: str
    at_ms: int
    clock: str
    """The same moment in the line's time zone."""
    seq: int
    """The newest event that is counted in."""
    journal: str
    """Why the journal cannot be read, or that it is filling; empty where all is well."""
    agent: AgentNow
    stations: Sequence[StationNow]
    sources: Sequence[SourceNow]
    sinks: Sequence[SinkNow]


@dataclass(frozen=True, slots=True)
class Committed:
    """What was read from the journal."""

    views: Sequence[StationView]
    seq: int = 0
    event_ms: int | None = None
    """UTC of the newest event."""
    fault: str = ""
    """Why this is not from the journal of now."""
    age_s: float | None = None
    """With a fault: since the journal could be read; None: it never could."""
    screens: Sequence[Screen] = ()
    """Of each station; empty: nothing of any."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on both clocks."""

    wall_ms: int
    """UTC since 1970."""
    mono_ms: int = 0
    boot: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of the agent. `status` is None while it is away."""

    status: AgentStatus | None = None
    away_s: float | None = None
    """Since it was heard last; None: never."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Why figures may be old."""

    words: str = ""
    seconds: float | None = None


def nothing_yet(config: LineConfig) -> Committed:
    """Every station as it is before any agent ran."""
    return Committed([station_view(spec, Station(), {}) for spec in config.line.stations])


def snapshot(config: LineConfig, committed: Committed, heard: Heard, now: Moment) -> Snapshot:
    """The line at this moment."""
    now_ms = now.wall_ms
    agent = _agent(committed, heard, now_ms)
    sources = [_source(config, one, heard.status) for one in config.sources.values()]
    general = _general_doubt(committed, agent)
    screens = committed.screens or [Screen() for _ in committed.views]
    stations = [
        _station(
            spec, view, general or _doubt(config, view, sources), now_ms,
            screen_now(screen, now_ms, now.mono_ms, now.boot), config.line.reasons.get(DOWNTIME, {}),
        )
        for spec, view, screen in zip(config.line.stations, committed.views, screens, strict=True)
    ]  # fmt: skip
    sinks = [_sink(name, heard.status) for name in config.sinks]
    return Snapshot(
        page_id(config), config.line.name, now_ms, _clock(config, now_ms), committed.seq,
        committed.fault or _alarm(heard),
        agent, stations, sources, sinks,
    )  # fmt: skip


def _alarm(heard: Heard) -> str:
    room = heard.status.room if heard.status is not None else None
    return room.alarm if room is not None else ""


def page_id(config: LineConfig) -> str:
    """Two boards with the same id can use the same page."""
    names = [__version__, config.line.name, *(one.name for one in config.line.stations)]
    names += ["/", *config.sources, "/", *config.sinks]
    return sha256("\n".join(names).encode()).hexdigest()[:12]


def _clock(config: LineConfig, now_ms: int) -> str:
    return f"{datetime.fromtimestamp(now_ms / 1000, ZoneInfo(config.timezone)):%H:%M:%S}"


# --- whether it can be believed -----------------------------------------------------------------


def _agent(committed: Committed, heard: Heard, now_ms: int) -> AgentNow:
    if heard.status is not None:
        return AgentNow("live", 0.0, "live")
    if heard.away_s is not None:
        return AgentNow("away", heard.away_s, "The agent is away. This is what it last committed.")
    if committed.event_ms is None:
        return AgentNow("away", None, "The agent is away.")
    since_s = max(0.0, (now_ms - committed.event_ms) / 1000)
    return AgentNow("away", since_s, "The agent is away. Its last event is old.")


def _general_doubt(committed: Committed, agent: AgentNow) -> _Doubt | None:
    """What makes every station doubtful."""
    if committed.fault:
        never = committed.age_s is None
        return _Doubt("waiting for the journal" if never else "the journal cannot be read", committed.age_s)
    if agent.state == "away":
        return _Doubt("the agent is away", agent.seconds)
    return None


def _doubt(config: LineConfig, view: StationView, sources: Sequence[SourceNow]) -> _Doubt:
    """What makes this station doubtful: a signal that cannot be read, a source that gives none."""
    for signal, why in view.unreadable.items():
        return _Doubt(f"{signal} cannot be read: {why}")
    for source in sources:
        if source.trust != "good" and view.station in _stations_of(config.sources[source.name]):
            return _Doubt(f"{source.name} is {source.state}", source.silent_s)
    return _Doubt()


def _stations_of(source: SourceConfig) -> set[str]:
    return {signal.name.rpartition(".")[0] for signal in source.signals}


# --- its parts ----------------------------------------------------------------------------------


def _station(
    spec: StationSpec, view: StationView, doubt: _Doubt, now_ms: int, screen: ScreenNow,
    why: Mapping[str, str],
) -> StationNow:  # fmt: skip
    state_s = None
    if view.state_since_ms is not None and not doubt.words:
        state_s = max(0.0, (now_ms - view.state_since_ms) / 1000)
    return StationNow(
        **structs.asdict(view), kind=words.kind_of(view.state), state_s=state_s, trouble=doubt.words,
        trouble_s=doubt.seconds, words=_words(spec, view, doubt, why), screen=screen,
    )  # fmt: skip


def _words(spec: StationSpec, view: StationView, doubt: _Doubt, why: Mapping[str, str]) -> StationWords:
    """`why`: the line's downtime reasons, by their codes."""
    counts = bool(spec.counters or view.good or view.scrap) and view.order is not None
    count = words.parts(max(0, view.good)) if counts else NONE
    target = words.parts(view.quantity) if view.quantity is not None else ""
    counted = "good" if counts else "" if spec.counters else "counts no parts"
    job = words.job(view.order, view.operation, view.run_kind, view.also)
    return StationWords(
        f"{view.paused} paused" if view.paused else job,
        words.product(view.item, view.revision, view.batch, view.operator, view.tools),
        count, target, counted, len(count) + (ceil(0.42 * (len(target) + 2)) if target else 0),
        words.scrap(view.scrap, view.rework), words.parts(view.unassigned) if view.unassigned else "",
        words.held(view.held, view.went_back),
        words.state(view.state, why.get(view.stop_reason) or view.stop_reason),
        words.cycle(view.last_cycle_s), words.cycle(view.mean_cycle_s),
        words.cycle(view.ideal_cycle_s), words.said(named(view.said), view.said_verdict), doubt.words,
    )  # fmt: skip


def _source(config: LineConfig, source: SourceConfig, status: AgentStatus | None) -> SourceNow:
    if status is None:
        return SourceNow(source.name, "unknown", "unknown", "", None)
    said = status.sources.get(source.name)
    if said is None:
        return SourceNow(source.name, "unknown", "not started", "the agent runs another file", None)
    said = _silent(source, said)
    reason = said.reason or ailing(said.parts)
    return SourceNow(source.name, _TRUST.get(said.state, "bad"), said.state, reason, said.silent_s)


def _silent(source: SourceConfig, said: SourceStatus) -> SourceStatus:
    """A source that is polled is healthy when its data are fresh; a scanner may be silent for hours."""
    if said.state != "connected" or not source.signals:
        return said
    slowest_s = max(signal.every.total_seconds() for signal in source.signals)
    silent_s = said.seconds if said.silent_s is None else said.silent_s
    if silent_s <= max(SILENT_S, SILENT_SAMPLES * slowest_s):
        return said
    return SourceStatus("silent", "connected, but no value arrives", said.seconds, said.silent_s)


def _sink(name: str, status: AgentStatus | None) -> SinkNow:
    if status is None:
        return SinkNow(name, "unknown", "unknown", "", None, None, "")
    said = status.sinks.get(name)
    if said is None:
        return SinkNow(name, "unknown", "not started", "the agent runs another file", None, None, "")
    trust = _TRUST.get(said.state, "bad")
    return SinkNow(name, trust, said.state, said.reason, said.delivered, said.pending, _counts(said))


def _counts(said: SinkStatus) -> str:
    rejected = f", {words.parts(said.rejected)} rejected for ever" if said.rejected else ""
    late = held(said) or backlog(said)
    waits = f" ({late})" if late else ""
    return f"{words.parts(said.delivered)} delivered, {words.parts(said.pending)} pending{waits}{rejected}"
