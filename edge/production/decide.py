"""The core's two questions: what must be known to decide an observation, and what it means."""

from collections.abc import Callable, Mapping

from edge.observation import AGENT, ORDER, TICK, Observation, Outcome, Verdict, WorkOrder
from edge.production.counts import count, readable_again, shown, unreadable
from edge.production.cycles import is_readable, machine_state, silence
from edge.production.draft import Decision, Draft
from edge.production.line import Line, StationSpec
from edge.production.orders import names_of
from edge.production.planning import receive
from edge.production.presence import SOURCE, agent, source
from edge.production.quality import rig_key, test_result
from edge.production.scanning import read_label
from edge.production.scans import scan
from edge.production.state import LINE, Job, Row, Station, job_key, order_key

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
    if signal == ORDER:
        return _order_needs(observation, rows)
    if signal == AGENT or signal.startswith(SOURCE):
        return (LINE, *(one.counter.key for one in line.counters.values()))
    return ()


def _scan_needs(
    line: Line, stations: tuple[StationSpec, ...], observation: Observation, rows: Rows
) -> tuple[str, ...]:
    keys = [LINE, *_card_needs(line, observation, rows)]
    jobs: list[tuple[str, int | None] | None] = []
    for spec in stations:
        keys += [spec.key, *(counter.key for counter in spec.counters)]
        row = rows.get(spec.key)
        if isinstance(row, Station):
            jobs += [row.last_job, (row.run.order, row.run.operation) if row.run else None]
    known = [job for job in jobs if job]
    return (*keys, *(job_key(*job) for job in known), *(order_key(order) for order, _ in known))


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


def _card_needs(line: Line, observation: Observation, rows: Rows) -> tuple[str, ...]:
    """Of a job card: the orders it can mean, then the jobs that those have."""
    label = read_label(observation.value) if isinstance(observation.value, str) else ""
    if isinstance(label, str) or label.letter != "J":
        return ()
    keys = []
    for name in names_of(label.body):
        keys.append(order_key(name))
        order = line.orders.get(name) or rows.get(order_key(name))
        if isinstance(order, WorkOrder):
            keys += [job_key(name, operation) for operation in order.operations or (None,)]
    return tuple(keys)


def decide(line: Line, rows: Rows, observation: Observation) -> Decision:
    """What the observation means. Pure: the same rows and observation give the same decision."""
    draft, signal = Draft(line, rows, observation), observation.signal
    if (place := line.counters.get(signal)) is not None:
        count(draft, place)
    elif (station := line.states.get(signal)) is not None:
        _state(draft, station)
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


_OF_THE_LINE: dict[str, Callable[[Draft], None]] = {TICK: _tick, AGENT: agent, ORDER: receive}
"""What belongs to no station, by its signal."""


def _state(draft: Draft, station: StationSpec) -> None:
    now = draft.observation
    if is_readable(now):
        readable_again(draft, station, now.signal)
        machine_state(draft, station)
    else:
        unreadable(draft, station, now.signal, now.detail or f"{shown(now.value)} is no state")
