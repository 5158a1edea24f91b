"""What the line is doing now, read from the journal: for the board, the terminal and MQTT."""

from collections.abc import Mapping

from msgspec import Struct, json

from edge.journal import JournalReader
from edge.production.line import Line
from edge.production.state import Job, Station, Totals, job_key

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
    good: int
    scrap: int
    unassigned: int
    """Parts counted here that belong to no order."""
    state: str | None
    state_since_ms: int | None
    last_cycle_s: float | None
    mean_cycle_s: float | None
    """Over the run that is on."""
    ideal_cycle_s: float
    said: str
    """What the last scan did, in words."""
    unreadable: Mapping[str, str]
    """Signals that cannot be read, with the reason."""


def station_views(reader: JournalReader, line: Line) -> list[StationView]:
    """Every station of the line, in the order of its configuration."""
    rows = {key: row for key, row in reader.rows("station/") if isinstance(row, Station)}
    return [_view(spec.name, spec.ideal_cycle_ms, rows.get(spec.key) or Station()) for spec in line.stations]


def _view(name: str, ideal_ms: int, row: Station) -> StationView:
    context, run = row.context, row.run
    totals = run.order_totals if run else Totals()
    return StationView(
        name, context.order, context.operation, context.item, context.revision, context.batch,
        context.operator, run.quantity if run else None, totals.good_parts, totals.scrap_parts,
        row.unassigned.good_parts + row.unassigned.scrap_parts, row.state, row.state_at_ms or None,
        row.last_cycle_s, round(run.cycles_s / run.cycles, 4) if run and run.cycles else None,
        ideal_ms / 1000, row.said, row.bad_signals,
    )  # fmt: skip


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
        if row.run is not None:
            running[station, job_key(row.run.order, row.run.operation)] = row.run.order_totals
    for key, job in jobs.items():
        for station in {*job.totals, *(where for where, which in running if which == key)}:
            made = running.get((station, key)) or job.totals.get(station, Totals())
            totals[station, job.order] = totals.get((station, job.order), Totals()).and_(made)
    return totals


def current_states(reader: JournalReader, line: Line) -> dict[str, bytes]:
    """The retained states of MQTT: JSON by `station/job` and `station/machine`."""
    states: dict[str, bytes] = {}
    for view in station_views(reader, line):
        states[f"{view.station}/job"] = json.encode({
            "order": view.order, "operation": view.operation, "item": view.item, "revision": view.revision,
            "batch": view.batch, "operator": view.operator, "quantity": view.quantity,
            "good": view.good, "scrap": view.scrap,
        })  # fmt: skip
        machine = {"state": view.state, "since_ms": view.state_since_ms}
        states[f"{view.station}/machine"] = json.encode(machine)
    return states
