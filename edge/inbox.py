"""Parts that were counted and belong to no order: where and when they were made, and whose they may be."""

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, field

from edge.journal import JournalReader
from edge.journal.reader import iso
from edge.production.counting import Kind as Reading
from edge.production.line import Line
from edge.production.orders import job_name
from edge.production.slots import slots
from edge.production.state import JobId, Run, Station
from edge.production.totals import Totals
from edge.results import job_results

FAR_MS = 30 * 60_000
"""A job that ended so long before the parts, or began so long after them, is none that made them."""
NEAR = 200
"""Events that are looked through for the first of a run."""
AROUND_MS = 10_000

NO_ORDER = "no_order"
STRADDLE = "straddle"
GAP = "gap"
CORRECTION = "correction"
WORDS = {
    NO_ORDER: "no order was on",
    STRADDLE: "a card was scanned while they were made",
    GAP: "they were made while the counter was out of sight",
    CORRECTION: "a correction took them from an order",
}


class Unassigned(Struct, frozen=True):
    """Some parts of no order, with a proposal."""

    run: str
    """What they are corrected by: `u8`."""
    station: str
    since: str = field(name="from")
    """ISO 8601, UTC: the first of them."""
    until: str = field(name="to")
    """The last of them."""
    produced: int
    good: int
    scrap: int
    why: str
    """`no_order`, `straddle`, `gap` or `correction`."""
    why_words: str
    owner: str | None
    """The job, as on its card, that they probably belong to; None where it would be a guess."""
    because: str
    """Why it is proposed, or why none is."""
    open: bool
    """Parts that are made now may still come to it."""


class Want(Struct, frozen=True):
    """A job, as far as it matters here."""

    quantity: int
    good: int

    @property
    def lacks(self) -> int:
        return max(0, self.quantity - self.good)


def inbox(reader: JournalReader, line: Line) -> list[Unassigned]:
    """Every run of unassigned parts that has some, the oldest first."""
    stations = [row for _, row in reader.rows("station/") if isinstance(row, Station)]
    runs = [row for _, row in reader.rows("run/") if isinstance(row, Run)]
    if not any(has_parts(run.totals) for run in _loose(stations, runs)):
        return []
    wants = {(one.order, one.operation): Want(one.quantity, one.good) for one in job_results(reader, line)}
    return list_inbox(stations, runs, wants, lambda run: begins_with_gap(reader, run))


def list_inbox(
    stations: Iterable[Station], runs: Iterable[Run], wants: Mapping[JobId, Want],
    is_gap: Callable[[Run], bool],
) -> list[Unassigned]:  # fmt: skip
    """The same of rows. `stations` were read before `runs`: what ended between is in both, and once here."""
    stations, runs = list(stations), list(runs)
    on = [slot.run for row in stations for slot in slots(row)]
    neighbours = [run for run in {one.id: one for one in (*on, *runs)}.values() if run.job and run.boot]
    found = [run for run in _loose(stations, runs) if has_parts(run.totals)]
    found.sort(key=lambda run: (run.started_ms, run.id))
    return [_entry(run, neighbours, wants, is_gap) for run in found]


def has_parts(totals: Totals) -> bool:
    """What was given away leaves zeros behind."""
    return bool(totals.produced or totals.scrap_parts or totals.rework)


def _loose(stations: Iterable[Station], runs: Iterable[Run]) -> list[Run]:
    """Runs of unassigned parts, once each; the row of one that has ended is the newer one."""
    found = {row.loose.id: row.loose for row in stations if row.loose is not None}
    found |= {run.id: run for run in runs if run.job is None}
    return list(found.values())


def _entry(
    run: Run, neighbours: Iterable[Run], wants: Mapping[JobId, Want], is_gap: Callable[[Run], bool]
) -> Unassigned:
    here = [one for one in neighbours if one.station == run.station]
    on = [one for one in here if one.started_ms <= run.started_ms < _end(one)]
    why = _why(run, on, is_gap)
    owner, because = _propose(run, here, on, wants)
    return Unassigned(
        run.id, run.station, iso(run.started_ms), iso(_until(run)), run.totals.produced,
        run.totals.good_parts, run.totals.scrap_parts, why, WORDS[why],
        None if owner is None else job_name(*owner), because,
        run.ended_ms is None and all(one.ended_ms is not None for one in here),
    )  # fmt: skip


def _end(run: Run) -> float:
    return float("inf") if run.ended_ms is None else run.ended_ms


def _until(run: Run) -> int:
    return run.last_ms or run.ended_ms or run.started_ms


# --- why they are of no order -----------------------------------------------------------------------


def _why(run: Run, on: Iterable[Run], is_gap: Callable[[Run], bool]) -> str:
    if not run.last_ms:  # no counter counted into it
        return CORRECTION
    if is_gap(run):
        return GAP
    return STRADDLE if run.straddles or any(on) else NO_ORDER


def begins_with_gap(reader: JournalReader, run: Run) -> bool:
    """Whether its first parts were made while nobody looked: so its first count says."""
    first = _seek(reader, run.started_ms - AROUND_MS)
    counts = (
        one for one in reader.events(first, reader.head(), NEAR)
        if one.type == "count" and one.context.get("run") == run.id and one.at_ms == run.started_ms
    )  # fmt: skip
    count = next(counts, None)
    return count is not None and count.data.get("quality") in (Reading.GAP, Reading.UNCERTAIN)


def _seek(reader: JournalReader, at_ms: int) -> int:
    """The first event of a time or later, as far as the clocks went forward."""
    low, high = 1, reader.head()
    while low < high:
        middle = (low + high) // 2
        there = reader.events(middle, high, 1)
        low, high = (middle + 1, high) if not there or there[0].at_ms < at_ms else (low, middle)
    return low


# --- whose they may be ------------------------------------------------------------------------------

_NOBODY = "no job has run here before or after them"
_TAKEN = "somebody decided that they are of no order"


def _propose(
    run: Run, here: Iterable[Run], on: Iterable[Run], wants: Mapping[JobId, Want]
) -> tuple[JobId | None, str]:
    """The job, or none, and the reason in words."""
    at_once = {one.job: job_name(*one.job) for one in on if one.job}
    if len(at_once) > 1:
        return None, f"several jobs ran here at once: {', '.join(at_once.values())}"
    jobs = [job for job in (run.previous, run.next) if job is not None]
    if not jobs:
        return None, _NOBODY if run.last_ms else _TAKEN
    gone = [job_name(*job) for job in jobs if job not in wants]
    if gone:
        return None, f"{gone[0]} is no longer an order of this line"
    far = {job: words for job in jobs if (words := _far(run, job, here))}
    near = list(dict.fromkeys(job for job in jobs if job not in far))
    if not near:
        return None, f"nothing ran here near them: {', '.join(far.values())}"
    if len(near) == 1:
        return near[0], _alone(run, near[0], far)
    return _between(near, wants)


def _far(run: Run, job: JobId, here: Iterable[Run]) -> str:
    """In words how far off the job was; empty where it was near."""
    mine = [one for one in here if one.job == job]
    spans = [(run.started_ms - _end(one), "ended", "before") for one in mine if _is_before(one, run)]
    spans += [(one.started_ms - _until(run), "began", "after") for one in mine if not _is_before(one, run)]
    nearest, way, side = min(spans, default=(0, "", ""))
    return f"{job_name(*job)} {way} {_span(nearest)} {side} them" if nearest > FAR_MS else ""


def _is_before(one: Run, run: Run) -> bool:
    return one.started_ms <= run.started_ms


def _span(span_ms: float) -> str:
    minutes = round(span_ms / 60_000)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def _alone(run: Run, job: JobId, far: Mapping[JobId, str]) -> str:
    name = job_name(*job)
    if run.previous == run.next:
        return f"{name} ran before and after them"
    if far:
        return f"{name} is the one near them; {', '.join(far.values())}"
    if run.previous == job:
        return f"{name} ran before them, and nothing since"
    return f"{name} ran after them, and nothing before"


def _between(near: list[JobId], wants: Mapping[JobId, Want]) -> tuple[JobId | None, str]:
    """Of two jobs the one that has not got all of its parts."""
    told = ", ".join(_told(job, wants[job]) for job in near)
    lacking = [job for job in near if wants[job].lacks]
    if len(lacking) == 1:
        return lacking[0], f"between two jobs: {told}"
    return None, f"between two jobs, and either may be right: {told}"


def _told(job: JobId, want: Want) -> str:
    name = job_name(*job)
    return f"{name} still lacks {want.lacks} parts" if want.lacks else f"{name} has its {want.quantity}"
