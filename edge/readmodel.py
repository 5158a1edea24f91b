"""What the line is doing now, read from the journal: for the board, the terminal and MQTT."""

from collections.abc import Iterator, Mapping

from msgspec import Struct, json

from edge.journal import JournalReader
from edge.observation import WorkOrder
from edge.production.beside import Stops
from edge.production.line import Line, StationSpec
from edge.production.orders import job_name
from edge.production.slots import slots
from edge.production.state import LINE, Job, LineRow, Slot, Station, job_key
from edge.production.tools import tools_in_use
from edge.production.totals import Totals

UNASSIGNED = "UNASSIGNED"
"""The name under which parts without an order are shown."""


class StationView(Struct, frozen=True):
    """One station. Quantities are parts of the active order at this station; times UTC ms."""

    station: str
    order: str | None
    operation: int | None
    item: str | None
    revision: str | None
    batch: str | None
    operator: str | None
    quantity: int | None
    """The order's target."""
    run_kind: str | None
    """Of the run that is on: see `context.Kind`."""
    good: int
    """Never below 0 here: a reject may be counted a moment before its part is."""
    scrap: int
    rework: int
    """Parts that wait for rework: neither good nor scrap."""
    over: int
    """Good parts beyond the target."""
    also: tuple[str, ...]
    """The other jobs that share the station, with what they have made, in words."""
    unassigned: int
    """Parts counted here that belong to no order."""
    held: int
    """Parts that readings claim and that nobody would believe; not counted until a person decides."""
    paused: str | None
    """The job that was interrupted here, while no other runs."""
    state: str | None
    state_since_ms: int | None
    last_cycle_s: float | None
    mean_cycle_s: float | None
    """Over the run that is on."""
    ideal_cycle_s: float
    said: str
    """What the last scan did, in words."""
    said_verdict: str | None
    live: bool
    """False while a source of this station is lost, or one of its signals cannot be read."""
    unreadable: Mapping[str, str]
    """Signals that cannot be read, with the reason."""
    tools: tuple[str, ...] = ()
    """In use at the station."""
    stop_reason: str = ""
    """Why it stands, as a person said; empty where it does not, or nobody did."""
    mode: str | None = None
    """What the machine is set up to do; None where it does not say."""
    claims: tuple[str, ...] = ()
    """What the newest readings were whose parts are held, and what accepting and dismissing them books."""
    went_back: bool = False
    """A counter did, and its parts are held: accepting them is right only where it began at zero."""


def station_views(reader: JournalReader, line: Line) -> list[StationView]:
    """Every station of the line, in the order of its configuration."""
    rows = {key: row for key, row in reader.rows("station/") if isinstance(row, Station)}
    found = dict(reader.rows(LINE)).get(LINE)
    lost = found.lost if isinstance(found, LineRow) else {}
    stops = {key: row for key, row in reader.rows("stops/") if isinstance(row, Stops)}
    return [
        station_view(spec, rows.get(spec.key) or Station(), lost, stops.get(spec.stops_key) or Stops())
        for spec in line.stations
    ]


NO_STOPS = Stops()


def station_view(
    spec: StationSpec, row: Station, lost: Mapping[str, int], stops: Stops = NO_STOPS
) -> StationView:
    """One station; `lost` names the sources that are out of reach."""
    context, run = row.context, row.run
    totals = run.order_totals if run else Totals()
    return StationView(
        spec.name, context.order, context.operation, context.item, context.revision, context.batch,
        context.operator, run.quantity if run else None, run.kind if run else None,
        max(0, totals.good_parts), totals.scrap_parts, totals.rework,
        max(0, totals.good_parts - run.quantity) if run else 0, tuple(map(_shared, row.others)),
        row.unassigned.good_parts + row.unassigned.scrap_parts, row.held,
        job_name(*row.last_job) if row.last_job and not run else None,
        row.state, row.state_at_ms or None,
        row.last_cycle_s, round(run.cycles_s / run.cycles, 4) if run and run.cycles else None,
        spec.ideal_cycle_ms / 1000, row.said, row.said_verdict,
        not row.bad_signals and not any(name in lost for name in spec.sources), row.bad_signals,
        tools_in_use(row), next((stop.reason for stop in stops.recent[-1:] if stop.end is None), ""),
        row.mode, tuple(claim.words for claim in row.claims), any(claim.is_back for claim in row.claims),
    )  # fmt: skip


def _shared(slot: Slot) -> str:
    run = slot.run
    return (
        f"{job_name(run.order or '', run.operation)} {max(0, run.order_totals.good_parts)} of {run.quantity}"
    )


def order_totals(reader: JournalReader) -> dict[tuple[str, str], Totals]:
    """Parts by station and order, over all runs; those of no order under UNASSIGNED."""
    jobs = {key: row for key, row in reader.rows("job/") if isinstance(row, Job)}
    totals: dict[tuple[str, str], Totals] = {}
    running: dict[tuple[str, str], Totals] = {}
    for key, row in reader.rows("station/"):
        if not isinstance(row, Station):
            continue
        station = key.removeprefix("station/")
        totals[station, UNASSIGNED] = row.unassigned
        for run in (slot.run for slot in slots(row)):
            running[station, job_key(run.order or "", run.operation)] = run.order_totals
    for key, job in jobs.items():
        for station in {*job.totals, *(where for where, which in running if which == key)}:
            made = running.get((station, key)) or job.totals.get(station, Totals())
            totals[station, job.order] = totals.get((station, job.order), Totals()).and_(made)
    return totals


class StationCount(Struct, frozen=True):
    """What one station made of an operation, over all its runs; parts."""

    station: str
    good: int
    scrap: int
    running: bool


class OperationView(Struct, frozen=True):
    """One job of an order."""

    operation: int | None
    """None: the order as a whole is the job."""
    state: str
    """Of the job (OPC 10031-4)."""
    stations: tuple[StationCount, ...]
    """Those that have made any of it, by name."""


class OrderView(Struct, frozen=True):
    """One order and what has been made of it."""

    id: str
    item: str
    revision: str | None
    batch: str | None
    quantity: int
    """Parts; the target of each operation."""
    operations: tuple[OperationView, ...]


def order_views(reader: JournalReader, line: Line) -> list[OrderView]:
    """Every order by its id: those of the line's file, and those that came in."""
    return _order_views(reader, line, "")


def written_orders(line: Line) -> list[OrderView]:
    """Those of the line's file, before anything has been made of them."""
    return [_order_view(line.orders[name], {}, {}) for name in sorted(line.orders)]


def order_view(reader: JournalReader, line: Line, order: str) -> OrderView | None:
    """One of them; None where the line has no such order."""
    return next((view for view in _order_views(reader, line, order) if view.id == order), None)


def _order_views(reader: JournalReader, line: Line, prefix: str) -> list[OrderView]:
    """Those whose id begins so. Stations are read first: a run that ends while this reads is not missed."""
    running = {
        (job_key(run.order or "", run.operation), run.station): run.order_totals
        for _, row in reader.rows("station/")
        if isinstance(row, Station)
        for run in (slot.run for slot in slots(row))
    }
    jobs: dict[str, dict[str, Job]] = {}
    for key, job in reader.rows(f"job/{prefix}"):
        if isinstance(job, Job):
            jobs.setdefault(job.order, {})[key] = job
    orders = {row.id: row for _, row in reader.rows(f"order/{prefix}") if isinstance(row, WorkOrder)}
    orders |= line.orders
    return [_order_view(orders[name], jobs.get(name, {}), running) for name in sorted(orders)]


def _order_view(
    order: WorkOrder, jobs: Mapping[str, Job], running: Mapping[tuple[str, str], Totals]
) -> OrderView:
    known = {job_key(order.id, operation): operation for operation in order.operations or (None,)}
    known |= {key: job.operation for key, job in jobs.items() if key not in known}
    views = [
        OperationView(operation, job.state, tuple(_station_counts(key, job, running)))
        for key, operation in known.items()
        for job in (jobs.get(key) or Job(order.id, operation),)
    ]
    return OrderView(order.id, order.item, order.revision, order.batch, order.quantity, tuple(views))


def _station_counts(key: str, job: Job, running: Mapping[tuple[str, str], Totals]) -> Iterator[StationCount]:
    """What a run that is on has made holds what the runs before it made."""
    on = {station for which, station in running if which == key}
    for station in sorted({*job.totals, *on}):
        made = running[key, station] if station in on else job.totals[station]
        yield StationCount(station, made.good_parts, made.scrap_parts, station in on)


def current_states(reader: JournalReader, line: Line) -> dict[str, bytes]:
    """The retained states of MQTT: JSON by `station/job` and `station/machine`."""
    states: dict[str, bytes] = {}
    for view in station_views(reader, line):
        states[f"{view.station}/job"] = json.encode({
            "order": view.order, "operation": view.operation, "item": view.item, "revision": view.revision,
            "batch": view.batch, "operator": view.operator, "quantity": view.quantity,
            "kind": view.run_kind, "good": view.good, "scrap": view.scrap, "rework": view.rework,
            "over": view.over, "also": view.also, "unassigned": view.unassigned, "held": view.held,
            "paused": view.paused, "live": view.live, "tools": view.tools,
        })  # fmt: skip
        machine = {
            "state": view.state, "since_ms": view.state_since_ms, "live": view.live,
            "reason": view.stop_reason, "mode": view.mode,
        }  # fmt: skip
        states[f"{view.station}/machine"] = json.encode(machine)
    return states
