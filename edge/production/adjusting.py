"""A supervisor says how many: parts that no counter saw, or that one claimed and nobody would believe."""

from collections.abc import Mapping

from msgspec.structs import replace

from edge.observation import Adjust, SettleHeld
from edge.production.context import Context, Kind
from edge.production.draft import Draft
from edge.production.events import Adjustment, Flag
from edge.production.line import Line, StationSpec
from edge.production.orders import FINAL, RefusedError
from edge.production.runs import say_result, shift, totals_of
from edge.production.slots import slot_of, slots
from edge.production.state import Job, Row, Run, Station, job_key, run_key
from edge.production.totals import Totals

Rows = Mapping[str, Row | None]

MOST = 1_000_000_000
_ADJUSTED = (Kind.PRODUCTION, Kind.UNASSIGNED)


def run_needs(line: Line, name: str | None, rows: Rows) -> tuple[str, ...]:
    """A run, the station it was at, and its job."""
    keys = [station.key for station in line.stations]
    if name is None:
        return tuple(keys)
    keys.append(run_key(name))
    found = find_run(line, name, rows)
    if found is not None and found.order is not None:
        keys += [job_key(found.order, found.operation)]
    return tuple(keys)


def find_run(line: Line, name: str, rows: Rows) -> Run | None:
    """A run by its name: one that is on, one that has ended, or unassigned parts."""
    for station in line.stations:
        row = rows.get(station.key)
        if isinstance(row, Station):
            there = [slot.run for slot in slots(row)] + ([row.loose] if row.loose else [])
            for run in there:
                if run.id == name:
                    return run
    ended = rows.get(run_key(name))
    return ended if isinstance(ended, Run) else None


def signed(by: str, reason: str) -> None:
    """Raises RefusedError where a command does not say who and why."""
    for what, text in (("who asks for it", by), ("the reason", reason)):
        if not 0 < len(text) <= 200 or not text.isprintable():
            raise RefusedError(f"{what} must be said: 1 to 200 printable characters")


def adjust(draft: Draft, asked: Adjust) -> str:
    """Add parts to a run, or take some away. May refuse."""
    signed(asked.by, asked.reason)
    if not (asked.good or asked.scrap) or max(abs(asked.good), abs(asked.scrap)) > MOST:
        raise RefusedError("say how many good or scrap parts to add, or to take away")
    run, spec = _run_and_station(draft, asked.run)
    _add(draft, spec, run, asked)
    return f"{run.id}: {asked.good:+} good, {asked.scrap:+} scrap"


def settle_held(draft: Draft, asked: SettleHeld) -> str:
    """The held parts of a station are a run's, or never were. May refuse."""
    signed(asked.by, asked.reason)
    spec = draft.line.named.get(asked.station)
    if spec is None:
        raise RefusedError(f"there is no station {asked.station}")
    row = draft.station(spec)
    if not row.held:
        raise RefusedError(f"no parts are held at {spec.name}")
    draft.put(spec.key, replace(row, held=0, claims=()))
    if asked.run is None:
        draft.say(Flag("held_dismissed", row.held, f"{asked.by}: {asked.reason}"), spec.name)
        return f"{row.held} held parts of {spec.name} were none"
    run, there = _run_and_station(draft, asked.run)
    if there is not spec:
        raise RefusedError(f"{run.id} is a run of {there.name}, not of {spec.name}")
    _add(draft, spec, run, Adjust(asked.by, asked.reason, run.id, row.held))
    return f"{row.held} held parts of {spec.name} are {run.id}'s"


def _run_and_station(draft: Draft, name: str) -> tuple[Run, StationSpec]:
    run = find_run(draft.line, name, draft.rows())
    if run is None:
        raise RefusedError(f"there is no run {name}")
    if run.kind not in _ADJUSTED:
        raise RefusedError(f"{name} is a {run.kind} run: its parts are none of an order's quantity")
    spec = draft.line.named.get(run.station)
    if spec is None:
        raise RefusedError(f"station {run.station} is no longer of this line")
    return run, spec


def _add(draft: Draft, spec: StationSpec, run: Run, asked: Adjust) -> None:
    owner = _owner(draft, spec, run)
    shift(draft, spec, owner, Totals(added=asked.good + asked.scrap, booked=asked.scrap))
    figures = totals_of(draft, spec, owner)
    if run.order is not None and (figures.good_parts < 0 or figures.scrap_parts < 0):
        raise RefusedError(f"{run.id} has not so many parts to take away")
    draft.say(
        Adjustment(
            asked.good, asked.scrap, asked.by, asked.reason, figures.good_parts, figures.scrap_parts,
            figures.rework,
        ),
        spec.name, owner,
    )  # fmt: skip
    job = draft.get(job_key(run.order, run.operation), Job) if run.order else None
    if job is not None and job.state in FINAL:
        say_result(draft, job, run.item or "", run.quantity)


def _owner(draft: Draft, spec: StationSpec, run: Run) -> Context:
    slot = slot_of(draft.station(spec), run.job) if run.job else None
    if slot is not None and slot.run.id == run.id:
        return slot.context
    return Context(
        run.order, run.operation, run.id, run.item, run.revision, run.lots[-1] if run.lots else None
    )
