"""Orders as lines of text, for a terminal."""

from collections.abc import Iterable, Iterator

from edge.orders.intake import Entry
from edge.readmodel import OperationView, OrderView, StationCount


def listed(views: Iterable[OrderView]) -> Iterator[str]:
    """One line an order, in columns."""
    rows = [("ORDER", "ITEM", "QUANTITY", "JOBS")]
    rows += [
        (view.id, _item(view), str(view.quantity), ", ".join(map(_job, view.operations))) for view in views
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, item, quantity, jobs in rows:
        yield f"{name:<{widths[0]}}  {item:<{widths[1]}}  {quantity:>{widths[2]}}  {jobs}"


def shown(view: OrderView) -> Iterator[str]:
    """One order with all of its jobs and their stations."""
    yield f"{view.id}: {view.quantity} of {_item(view)}" + (f", batch {view.batch}" if view.batch else "")
    for operation in view.operations:
        yield f"  {_name(operation)}: {operation.state}"
        yield from (f"    {_made(station)}" for station in operation.stations)


def told(entry: Entry, file: str) -> str:
    """`orders.csv:7: WO-1: quantity is missing`."""
    where = f"{file}:{entry.line}" if entry.line else file
    named = f"{entry.id}: " if entry.id and entry.id not in entry.words else ""
    return f"{where}: {named}{entry.words}"


def _item(view: OrderView) -> str:
    return f"{view.item} rev {view.revision}" if view.revision else view.item


def _name(operation: OperationView) -> str:
    return "job" if operation.operation is None else f"op {operation.operation}"


def _job(operation: OperationView) -> str:
    good = sum(station.good for station in operation.stations)
    return f"{_name(operation)} {operation.state} {good}"


def _made(station: StationCount) -> str:
    running = ", running" if station.running else ""
    return f"{station.station}: {station.good} good, {station.scrap} scrap{running}"
