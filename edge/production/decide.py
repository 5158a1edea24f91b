"""The core's two questions: what must be known to decide an observation, and what it means."""

from collections.abc import Mapping

from edge.observation import AGENT, TICK, Observation, Outcome, Verdict
from edge.production.counts import count, readable_again, unreadable
from edge.production.cycles import is_readable, machine_state, silence
from edge.production.draft import Decision, Draft
from edge.production.line import Line, StationSpec
from edge.production.presence import SOURCE, agent, source
from edge.production.quality import rig_key, test_result
from edge.production.scanning import read_label
from edge.production.scans import scan
from edge.production.state import LINE, Row, Station, job_key

__all__ = ["Decision", "decide", "needs"]

Rows = Mapping[str, Row | None]


def needs(line: Line, observation: Observation, rows: Rows) -> tuple[str, ...]:
    """Keys of the rows to decide it with. Ask again with those loaded, until none is missing."""
    signal = observation.signal
    if (place := line.counters.get(signal)) is not None:
        return place.needs
    if (station := line.states.get(signal)) is not None:
        return (station.key,)
    if signal == TICK:
        return line.tick_needs
    if (stations := line.guns.get(signal)) is not None:
        return _scan_needs(line, stations, observation, rows)
    if (stations := line.rigs.get(signal)) is not None:
        return (stations[0].key, rig_key(signal))
    if signal == AGENT or signal.startswith(SOURCE):
        return (LINE, *(one.counter.key for one in line.counters.values()))
    return ()


def _scan_needs(
    line: Line, stations: tuple[StationSpec, ...], observation: Observation, rows: Rows
) -> tuple[str, ...]:
    keys = [LINE]
    jobs = [_scanned_job(line, observation)]
    for spec in stations:
        keys += [spec.key, *(counter.key for counter in spec.counters)]
        row = rows.get(spec.key)
        if isinstance(row, Station):
            jobs += [row.last_job, (row.run.order, row.run.operation) if row.run else None]
    return (*keys, *(job_key(*job) for job in jobs if job))


def _scanned_job(line: Line, observation: Observation) -> tuple[str, int | None] | None:
    label = read_label(observation.value) if isinstance(observation.value, str) else ""
    if isinstance(label, str) or label.letter != "J":
        return None
    if (order := line.orders.get(label.body)) is not None:
        return label.body, order.operations[0] if order.operations else None
    name, _, operation = label.body.rpartition("-")
    return (name, int(operation)) if operation.isdigit() else None


def decide(line: Line, rows: Rows, observation: Observation) -> Decision:
    """What the observation means. Pure: the same rows and observation give the same decision."""
    draft, signal = Draft(line, rows, observation), observation.signal
    if (place := line.counters.get(signal)) is not None:
        count(draft, place)
    elif (station := line.states.get(signal)) is not None:
        _state(draft, station)
    elif signal == TICK:
        for one in line.stations:
            if one.state_signal is None:
                silence(draft, one)
    elif (stations := line.guns.get(signal)) is not None:
        scan(draft, signal, stations)
    elif (stations := line.rigs.get(signal)) is not None:
        test_result(draft, signal, stations)
    elif signal == AGENT:
        agent(draft)
    elif signal.startswith(SOURCE):
        source(draft, signal.removeprefix(SOURCE))
    else:
        draft.outcome = Outcome(Verdict.REFUSED, f"no station of this line names {signal}")
    return draft.decision()


def _state(draft: Draft, station: StationSpec) -> None:
    now = draft.observation
    if is_readable(now):
        readable_again(draft, station, now.signal)
        machine_state(draft, station)
    else:
        unreadable(draft, station, now.signal, now.detail or f"{now.value!r} is no state")
