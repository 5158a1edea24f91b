"""Cycle times, and what the machine does: read from it, or concluded from its parts."""

import re
from functools import reduce

from msgspec.structs import replace

from edge.observation import Observation, Quality
from edge.production.baselines import Counter
from edge.production.context import Context, Kind
from edge.production.draft import Draft
from edge.production.edges import Edge, cycle_ms, edge_of, span_ms, span_s
from edge.production.events import Changeover, Cycle, MachineState
from edge.production.line import StationSpec
from edge.production.state import Station
from edge.production.stops import begin_stop, end_stop

_WHOLE = re.compile(r"-?[0-9]{1,18}")
EXECUTE = "Execute"
STOPPED = "Stopped"
UNDEFINED = "Undefined"
"""The machine reads a number that the line's map does not name."""

PACKML = {
    1: "Clearing", 2: STOPPED, 3: "Starting", 4: "Idle", 5: "Suspended", 6: EXECUTE, 7: "Stopping",
    8: "Aborting", 9: "Aborted", 10: "Holding", 11: "Held", 12: "Unholding", 13: "Suspending",
    14: "Unsuspending", 15: "Resetting", 16: "Completing", 17: "Complete",
}  # fmt: skip
"""State numbers of ISA-TR88.00.02 (PackML), as OPC 30050 publishes them."""

MACHINERY = {0: "NotAvailable", 1: "OutOfService", 2: STOPPED, 3: EXECUTE}
"""Item states of OPC 40001-1, 12.2, by their StateNumber; NotExecuting is a stop, Executing is Execute."""


def part_finished(
    draft: Draft, station: StationSpec, row: Station, parts: int, *, assigned: bool = True
) -> Station:
    """A counter that ends cycles went up while it was in sight; returns the station after it.

    `assigned`: the part is known to be of the job that runs.
    """
    if station.state_signal is None and row.state != EXECUTE:
        row = _enter(draft, station, row, EXECUTE, None)
    edge, before = edge_of(draft.observation), row.edge
    if row.recovered is not None:
        row = replace(row, recovered=None)
    if row.left is not None and assigned:
        row = _changed_over(draft, station, row, edge)
    lasted_ms = cycle_ms(before, edge)
    if before is None or lasted_ms is None or row.state not in (EXECUTE, None):
        return replace(row, edge=edge, last_part=edge)
    if lasted_ms == 0:
        return replace(row, edge=replace(before, owed=before.owed + parts), last_part=edge)
    parts += before.owed
    cycle_s = lasted_ms / 1000 / parts
    context = row.context
    if row.others:
        context = reduce(Context.common, (context, *(slot.context for slot in row.others)))
    if row.run is None and row.loose is not None:  # it goes with the part, whoever gets that
        context = replace(context, run=row.loose.id)
    draft.say(Cycle(round(cycle_s, 4), parts), station.name, context)
    run = row.run and replace(
        row.run, cycles=row.run.cycles + parts, cycles_s=round(row.run.cycles_s + lasted_ms / 1000, 3)
    )
    return replace(row, edge=edge, last_part=edge, last_cycle_s=round(cycle_s, 4), run=run)


def finished_before(row: Station, now: Observation, owner: Context) -> Station:
    """A part of the job before, read late: it ends no cycle, and the changeover begins with it."""
    left = row.left
    if left is not None and left.job == (owner.order, owner.operation):
        left = replace(left, last=edge_of(now))
    return replace(row, edge=None, left=left)


def _changed_over(draft: Draft, station: StationSpec, row: Station, edge: Edge) -> Station:
    """The first part of a production: from the last part of another job to here it was a changeover."""
    left, run = row.left, row.run
    if left is None or run is None or run.kind != Kind.PRODUCTION:
        return row
    if run.job != left.job:
        draft.say(Changeover(*left.job, span_s(left.last, edge)), station.name, row.context)
    return replace(row, left=None)


def machine_state(draft: Draft, station: StationSpec) -> None:
    """Decide one reading of a station's state signal; its quality is not bad."""
    code = code_of(draft.observation)
    name = station.state_map.get(code, UNDEFINED)
    row = draft.station(station)
    if name != row.state:
        number = int(code) if _WHOLE.fullmatch(code) else None
        draft.put(station.key, _enter(draft, station, row, name, number))


def code_of(now: Observation) -> str:
    """A state or a mode as a line's map names it."""
    value = now.value
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value)


def silence(draft: Draft, station: StationSpec) -> None:
    """Time went by: a station without a state signal stops when no part comes any more.

    The stop began with the last part; it is said when it is long enough to be one.
    """
    row, now = draft.station(station), draft.observation
    if row.state != EXECUTE:
        return
    boot, mono_ms = (row.edge.boot, row.edge.mono_ms) if row.edge else (row.state_boot, row.state_mono_ms)
    quiet = boot != now.boot or now.mono_ms - mono_ms > station.stop_after_ms
    if quiet and _is_known(draft, station, row):
        draft.put(station.key, _enter(draft, station, row, STOPPED, None, since=row.edge or _recovered(row)))


def _is_known(draft: Draft, station: StationSpec, row: Station) -> bool:
    """That no part came. A lost connection is as silent as a machine that stands still, and so is a counter
    that nobody has read."""
    boot = draft.observation.boot
    parts = [one.mono_ms for one in (row.edge, row.last_part, row.recovered) if one and one.boot == boot]
    quiet_ms = max(parts) + station.stop_after_ms if parts else 0
    for spec in station.counters:
        read = draft.get(spec.key, Counter) if draft.line.counters[spec.signal].ends_cycle else None
        if read is None:
            continue
        if read.stale or (spec.is_sampled and (read.boot != boot or read.mono_ms < quiet_ms)):
            return False
    return True


def _recovered(row: Station) -> Edge | None:
    """Where parts came in a reading, and none since: that reading, if it is of what runs now."""
    last = row.recovered
    return last if last is not None and row.changed_ms <= last.at_ms else None


def _enter(
    draft: Draft, station: StationSpec, row: Station, name: str, code: int | None, since: Edge | None = None
) -> Station:
    begin = since or edge_of(draft.observation)
    before = Edge(row.state_at_ms, row.state_mono_ms, row.state_boot, row.state_by_source)
    lasted_ms = span_ms(before if row.state is not None else None, begin)
    lasted_s = None if lasted_ms is None else round(max(0, lasted_ms) / 1000, 3)
    # A cycle lies inside one interval of executing: what was finished before a stop begins none.
    edge = row.edge if name == EXECUTE and row.state is None else None
    draft.say(MachineState(name, row.state, lasted_s, code), station.name, row.context, at_ms=begin.at_ms)
    if name == EXECUTE:
        end_stop(draft, station, begin)
    else:
        begin_stop(draft, station, row, name, begin)
    return replace(
        row, state=name, state_at_ms=begin.at_ms, state_mono_ms=begin.mono_ms, state_boot=begin.boot,
        state_by_source=begin.by_source, edge=edge,
    )  # fmt: skip


def is_readable(now: Observation) -> bool:
    """A state is a number or a word, of a quality that is not bad."""
    return now.quality is not Quality.BAD and isinstance(now.value, bool | int | float | str)
