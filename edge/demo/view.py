"""The demo in the terminal: stations, sources and sinks as they are now."""

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from edge.demo.result import DemoResult
from edge.readmodel import StationView
from edge.status import AgentStatus

_DASH = "–"
_NUMBERS = ("good / target", "scrap", "last", "mean")
_NEVER_CUT = ("station", "order", "state")
_ROOMY = 100
"""Columns of a terminal from which on batch and operator are shown too."""


def live_view(
    views: Sequence[StationView], status: AgentStatus | None, lines: Sequence[str], board: str, width: int
) -> RenderableType:
    """One screen, `width` columns wide; every text of the line is data, never markup."""
    head = Text.assemble("board: ", (board, "bold"), "   (Ctrl-C ends the shift early)", overflow="fold")
    said = (Text(line, style="dim") for line in lines)
    return Group(head, _stations(views, width), _far_ends(status), *said)


def _stations(views: Sequence[StationView], width: int) -> Table:
    rows = [_cells(view) for view in views]
    table = Table(expand=True, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in _cells_of(width):
        longest = max((cell_len(row[name]) for row in rows), default=0) if name in _NEVER_CUT else None
        justify: JustifyMethod = "right" if name in _NUMBERS else "left"
        table.add_column(name, justify=justify, no_wrap=name in _NEVER_CUT, min_width=longest)
    for row in rows:
        table.add_row(*(Text(row[name]) for name in _cells_of(width)))
    return table


def _cells_of(width: int) -> list[str]:
    who = ["batch", "operator"] if width >= _ROOMY else []
    return ["station", "order", *who, *_NUMBERS, "state"]


def _cells(view: StationView) -> dict[str, str]:
    """By column; a dash where there is nothing."""
    cells = {
        "station": view.station,
        "order": f"{view.order}-{view.operation}" if view.order else None,
        "batch": view.batch,
        "operator": view.operator,
        "good / target": f"{view.good} / {view.quantity}" if view.quantity else None,
        "scrap": str(view.scrap),
        "last": _seconds(view.last_cycle_s),
        "mean": _seconds(view.mean_cycle_s),
        "state": view.state,
    }
    return {name: cell or _DASH for name, cell in cells.items()}


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
