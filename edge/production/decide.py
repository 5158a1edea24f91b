"""The core's two questions: what must be known to decide an observation, and what it means."""

from collections.abc import Callable, Mapping

from edge.observation import (
    AGENT,
    CLOCK,
    COMMAND,
    DEVICE,
    ORDER,
    OVERFLOWED,
    TICK,
    WRITE,
    Observation,
    Outcome,
    TestResult,
    Verdict,
    WorkOrder,
)
from edge.production.badges import end_badge
from edge.production.baselines import Counter, ReadAs
from edge.production.clocks import clock, clock_needs
from edge.production.corrections import back_needs, undo_needs
from edge.production.counts import NO_VALUE, count, readable_again, shown, unreadable
from edge.production.cycles import is_readable, machine_state, silence
from edge.production.devices import device, device_needs
from edge.production.draft import NEW_STATION, Decision, Draft
from edge.production.line import CounterAt, Line, StationSpec
from edge.production.losses import Loss
from edge.production.modes import machine_mode
from edge.production.nouns import forget
from edge.production.orders import card_needs, names_of
from edge.production.planning import receive
from edge.production.presence import SOURCE, agent, source
from edge.production.quality import rig_key, test_result, unit_of
from edge.production.scanning import Label, read_label
from edge.production.scans import scan
from edge.production.slots import slots
from edge.production.state import LINE, Job, JobId, Row, Station, job_key, order_key, run_key
from edge.production.supervising import command, command_needs
from edge.production.units import unit_needs
from edge.production.writes import write, write_needs

__all__ = ["Decision", "decide", "needs"]

Rows = Mapping[str, Row | None]


def needs(line: Line, observation: Observation, rows: Rows) -> tuple[str, ...]:
    """Keys of the rows to decide it with. Ask again with those loaded, until none is missing."""
    signal = observation.signal
    if (place := line.counters.get(signal)) is not None:
        return _counter_needs(place, rows)
    if (station := line.states.get(signal)) is not None:
        return (station.key, station.stops_key)
    if (station := line.modes.get(signal)) is not None:
        return (station.key,)
    if signal == TICK:
        return line.tick_needs
    if (stations := line.guns.get(signal)) is not None:
        return _scan_needs(line, stations, observation, rows)
    if (stations := line.rigs.get(signal)) is not None:
        return _rig_needs(line, stations[0], observation, rows)
    if signal == ORDER:
        return _order_needs(observation, rows)
    if (needed := _NEEDED.get(signal)) is not None:
        return needed(line, observation, rows)
    if signal == AGENT or signal.startswith(SOURCE):
        return (LINE, *(one.counter.key for one in line.counters.values()))
    return ()


_NEEDED: dict[str, Callable[[Line, Observation, Rows], tuple[str, ...]]] = {
    COMMAND: command_needs,
    CLOCK: clock_needs,
    WRITE: write_needs,
    DEVICE: device_needs,
}
"""What words of the line need, by their signal."""


def _counter_needs(place: CounterAt, rows: Rows) -> tuple[str, ...]:
    """A reading that the device took before the context changed is of a run that may have ended."""
    row, before = rows.get(place.counter.key), rows.get(place.counter.read_as_key)
    if isinstance(before, ReadAs) and before.key != place.counter.key:
        return (*place.needs, before.key)
    if not isinstance(row, Counter):
        return place.needs
    boundary = row.suspect.boundary if row.suspect else None
    known = (*boundary.before,) if boundary else ()
    if row.earlier is not None:
        known = (*known, row.earlier.context, *row.earlier.others)
    owners = [context for context in known if context.order]
    keys = [run_key(context.run or "") for context in owners]
    jobs = [job_key(context.order or "", context.operation) for context in owners]
    return (*place.needs, *keys, *jobs)


def _scan_needs(
    line: Line, stations: tuple[StationSpec, ...], observation: Observation, rows: Rows
) -> tuple[str, ...]:
    label = read_label(observation.value, line.labels) if isinstance(observation.value, str) else ""
    keys = [LINE, *_card_needs(line, label, rows)]
    jobs: list[JobId | None] = []
    for spec in stations:
        keys += [spec.key, *(counter.key for counter in spec.counters)]
        keys += _label_needs(line, spec, label, observation, rows)
        row = rows.get(spec.key)
        if isinstance(row, Station):
            jobs += [row.last_job, *(slot.run.job for slot in slots(row))]
    known = [job for job in jobs if job]
    return (*keys, *(job_key(*job) for job in known), *(order_key(order) for order, _ in known))


def _label_needs(
    line: Line, spec: StationSpec, label: Label | str, now: Observation, rows: Rows
) -> tuple[str, ...]:
    """What a label is about beside its station and its jobs."""
    if isinstance(label, str):
        return ()
    if label.letter == "S":
        return unit_needs(line, label.body, rows)
    if label.letter == "D":
        return (spec.stops_key,)
    row = rows.get(spec.key)
    noun = row.noun if isinstance(row, Station) else None
    unit = unit_needs(line, noun.body, rows) if noun is not None and noun.letter == "S" else ()
    return (*unit, *(_correction_needs(line, spec, label.body, now, rows) if label.letter == "C" else ()))


def _correction_needs(
    line: Line, spec: StationSpec, command: str, now: Observation, rows: Rows
) -> tuple[str, ...]:
    if command == "UNDO":
        return undo_needs(line, spec, rows, now)
    if command.startswith("BACK") and command[4:].isdigit() and len(command) < 8:
        return back_needs(spec, rows, now, int(command[4:]))
    return ()


def _rig_needs(line: Line, spec: StationSpec, now: Observation, rows: Rows) -> tuple[str, ...]:
    keys = (spec.key, rig_key(now.signal), LINE)
    row = rows.get(spec.key)
    if not isinstance(now.value, TestResult):
        return keys
    unit, _ = unit_of(line, row if isinstance(row, Station) else NEW_STATION, now)
    return (*keys, *unit_needs(line, unit, rows))


def _order_needs(observation: Observation, rows: Rows) -> tuple[str, ...]:
    order = observation.value
    if not isinstance(order, WorkOrder):
        return ()
    known = rows.get(order_key(order.id))
    operations = (known.operations or (None,)) if isinstance(known, WorkOrder) else ()
    jobs = [job_key(order.id, operation) for operation in operations]
    found = [job for key in jobs if isinstance(job := rows.get(key), Job)]
    stations = [f"station/{name}" for job in found for name in job.stations]
    cards = [order_key(f"{order.id}-{operation}") for operation in order.operations]
    return (*map(order_key, names_of(order.id)), *cards, *jobs, *stations)


def _card_needs(line: Line, label: Label | str, rows: Rows) -> tuple[str, ...]:
    """Of a job card: the orders it can mean, then the jobs that those have."""
    return () if isinstance(label, str) or label.letter != "J" else card_needs(line, label.body, rows)


def decide(line: Line, rows: Rows, observation: Observation) -> Decision:
    """What the observation means. Pure: the same rows and observation give the same decision."""
    draft, signal = Draft(line, rows, observation), observation.signal
    if (place := line.counters.get(signal)) is not None:
        count(draft, place)
    elif (station := line.states.get(signal)) is not None:
        _read(draft, station, "state", machine_state)
    elif (station := line.modes.get(signal)) is not None:
        _read(draft, station, "mode", machine_mode)
    elif (stations := line.guns.get(signal)) is not None:
        scan(draft, signal, stations)
    elif (stations := line.rigs.get(signal)) is not None:
        test_result(draft, signal, stations)
    elif (meaning := _OF_THE_LINE.get(signal)) is not None:
        meaning(draft)
    elif signal.startswith(SOURCE):
        source(draft, signal.removeprefix(SOURCE))
    else:
        draft.outcome = Outcome(Verdict.REFUSED, f"no station of this line names {signal}")
    return draft.decision()


def _tick(draft: Draft) -> None:
    for station in draft.line.stations:
        if station.state_signal is None:
            silence(draft, station)
        if station.gun is not None:
            forget(draft, station)
            end_badge(draft, station)


_OF_THE_LINE: dict[str, Callable[[Draft], None]] = {
    TICK: _tick,
    AGENT: agent,
    ORDER: receive,
    COMMAND: command,
    CLOCK: clock,
    WRITE: write,
    DEVICE: device,
}
"""What belongs to no station, by its signal."""


def _read(
    draft: Draft, station: StationSpec, what: str, meaning: Callable[[Draft, StationSpec], None]
) -> None:
    """A state or a mode."""
    now = draft.observation
    if is_readable(now):
        readable_again(draft, station, now.signal)
        if now.detail == OVERFLOWED:  # a counter has it all, a state that came and went is gone
            row = draft.station(station)
            since_ms = row.state_at_ms or now.at_ms
            draft.say(Loss("queue-overflow", now.signal, since_ms, now.at_ms), station.name, row.context)
        meaning(draft, station)
    else:
        why = now.detail or f"{shown(now.value)} is no {what}"
        unreadable(draft, station, now.signal, why, "" if now.detail else NO_VALUE)
