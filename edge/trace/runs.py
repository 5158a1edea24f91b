"""The runs of a line as a table: to find the name of one."""

from collections.abc import Iterable
from datetime import tzinfo

from msgspec import Struct

from edge.production.state import Run
from edge.trace.text import columns, job_words, moment, plain, product


class RunView(Struct, frozen=True):
    """One run; quantities are parts, times UTC ms."""

    run: str
    station: str
    kind: str
    order: str | None
    operation: int | None
    item: str | None
    revision: str | None
    from_ms: int
    to_ms: int | None
    """None: it is on."""
    quantity: int
    """The target of the order."""
    produced: int
    good: int
    scrap: int
    rework: int
    people: tuple[str, ...]
    batches: tuple[str, ...]


def run_view(run: Run) -> RunView:
    made = run.totals
    return RunView(
        run.id, run.station, run.kind, run.order, run.operation, run.item, run.revision, run.started_ms,
        run.ended_ms, run.quantity, made.produced, made.good_parts, made.scrap_parts, made.rework,
        run.people, run.lots,
    )  # fmt: skip


def listed(views: Iterable[RunView], zone: tzinfo) -> list[str]:
    """One line a run, the columns below each other."""
    head = ("RUN", "STATION", "JOB", "PRODUCT", "KIND", "FROM", "TO", "GOOD", "SCRAP", "BY")
    return columns([head, *(_row(view, zone) for view in views)])


def _row(view: RunView, zone: tzinfo) -> tuple[str, ...]:
    cells = (
        view.run, view.station, job_words(view.order, view.operation), product(view.item, view.revision),
        view.kind, moment(view.from_ms, zone), moment(view.to_ms, zone) or "now", view.good, view.scrap,
        ", ".join(view.people),
    )  # fmt: skip
    return tuple(map(plain, cells))
