"""The demo in the terminal: stations, sources and sinks as they are now."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge.demo.result import DemoResult
from edge.readmodel import StationView
from edge.status import AgentStatus

_DASH = "–"


def live_view(
    views: Sequence[StationView], status: AgentStatus | None, lines: Sequence[str]
) -> RenderableType:
    """One screen; every text of the line is data, never markup."""
    return Group(_stations(views), _far_ends(status), *(Text(line, style="dim") for line in lines))


def _stations(views: Sequence[StationView]) -> Table:
    table = Table(expand=True)
    for name in ("station", "order", "batch", "operator", "good / target", "scrap", "last", "mean", "state"):
        table.add_column(
            name, justify="right" if name in ("good / target", "scrap", "last", "mean") else "left"
        )
    for view in views:
        order = view.order and f"{view.order}-{view.operation}"
        target = f"{view.good} / {view.quantity}" if view.quantity else _DASH
        cells = (
            view.station, order, view.batch, view.operator, target, str(view.scrap),
            _seconds(view.last_cycle_s), _seconds(view.mean_cycle_s), view.state,
        )  # fmt: skip
        table.add_row(*(Text(cell or _DASH) for cell in cells))
    return table


def _seconds(value: float | None) -> str:
    return _DASH if value is None else f"{value:.2f} s"


def _far_ends(status: AgentStatus | None) -> RenderableType:
    if status is None:
        return Text("the agent does not answer; it is started again", style="bold yellow")
    table = Table(expand=True, show_header=False, box=None)
    sources = "   ".join(f"{name}: {one.state}" for name, one in status.sources.items())
    sinks = "   ".join(
        f"{name}: {one.delivered} delivered, {one.pending} waiting" for name, one in status.sinks.items()
    )
    table.add_row(Text("sources"), Text(sources))
    table.add_row(Text("sinks"), Text(sinks))
    return table


def one_line(views: Sequence[StationView], status: AgentStatus | None) -> str:
    """The same for a log."""
    stations = ", ".join(
        f"{view.station} {view.order or 'no order'} {view.good}+{view.scrap}" for view in views
    )
    waiting = sum(one.pending for one in status.sinks.values()) if status else 0
    return f"{stations}; {waiting} events waiting" if status else f"{stations}; the agent is away"


def final_view(result: DemoResult) -> RenderableType:
    """Made against counted, and the verdict."""
    table = Table(title="made against counted", title_justify="left")
    for name in ("", "made", "counted"):
        table.add_column(name, justify="left" if not name else "right")
    for name, both in {**result.stations, **result.orders}.items():
        cells = [f"{one.good} good, {one.scrap} scrap" for one in (both.made, both.counted)]
        table.add_row(name, *cells)
    for name, pair in (("tests", result.tests), ("scans", result.scans)):
        table.add_row(name, f"{pair.sent} sent", f"{pair.recorded} recorded")
    sinks = ", ".join(f"{name} {one.delivered}" for name, one in result.sinks.items())
    verdict = (
        f"lost {result.lost}, duplicated {result.duplicated}, misattributed {result.misattributed}, "
        f"unassigned {result.unassigned}; delivered to {sinks}"
    )
    return Group(table, Text(verdict), *(Text(one, style="bold red") for one in result.differences))
