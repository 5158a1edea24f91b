"""What has become of each job until now, read from the journal: of those that run or have ended."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from edge.journal import JournalReader
from edge.observation import WorkOrder
from edge.production.events import Result
from edge.production.line import Line
from edge.production.runs import result_of
from edge.production.slots import slots
from edge.production.state import Job, Run, Station, job_key
from edge.resultform import JobResult, job_result

FoundT = TypeVar("FoundT")

TRIES = 20


def results(reader: JournalReader, line: Line, order: str | None = None) -> list[JobResult]:
    """Of every operation of one order, or of all orders, by their ids. Empty where there is no such order."""
    return [job_result(one) for one in job_results(reader, line, order)]


def job_results(reader: JournalReader, line: Line, order: str | None = None) -> list[Result]:
    """The same, as the events have it."""
    on, (orders, jobs) = settled(reader, lambda: _read(reader, line, order or ""))
    found = [orders[name] for name in sorted(orders) if order in (None, name)]
    return [result for one in found for result in _of_order(one, jobs.get(one.id, {}), on)]


def running(reader: JournalReader) -> list[Run]:
    """Every run that is on, as far as it has got."""
    rows = [row for _, row in reader.rows("station/") if isinstance(row, Station)]
    return [slot.run for row in rows for slot in slots(row)]


def settled(reader: JournalReader, read: Callable[[], FoundT]) -> tuple[list[Run], FoundT]:
    """The runs that are on, and what `read` finds of those that are not, as of one moment.

    A run that ends, or is corrected, while this reads would be in both or in neither: then all is read again.
    That many times in a row it does not happen.
    """
    before = _marks(running(reader))
    for _ in range(TRIES):
        found = read()
        on = running(reader)
        after = _marks(on)
        if after == before:
            break
        before = after
    return on, found


def _marks(on: list[Run]) -> list[object]:
    """What changes when a run begins or ends, or when what came before it does."""
    return [(run.id, run.before) for run in on]


Jobs = dict[str, Job]
"""By their keys."""


def _read(reader: JournalReader, line: Line, prefix: str) -> tuple[dict[str, WorkOrder], dict[str, Jobs]]:
    """Orders whose id begins so, and the jobs of each."""
    jobs: dict[str, Jobs] = {}
    for key, row in reader.rows(f"job/{prefix}"):
        if isinstance(row, Job):
            jobs.setdefault(row.order, {})[key] = row
    orders = {row.id: row for _, row in reader.rows(f"order/{prefix}") if isinstance(row, WorkOrder)}
    return orders | dict(line.orders), jobs


def _of_order(order: WorkOrder, jobs: Jobs, on: list[Run]) -> Iterator[Result]:
    """Its operations as planned; then those that it had once, of which some was made."""
    keys = {job_key(order.id, operation): operation for operation in order.operations or (None,)}
    keys |= {key: job.operation for key, job in jobs.items() if key not in keys}
    for key, operation in keys.items():
        job = jobs.get(key) or Job(order.id, operation)
        mine = [run for run in on if run.job == (order.id, operation)]
        yield result_of(job, order.item, order.quantity, mine)
