"""Events and telemetry as InfluxDB line protocol: which measurement, which tags, which fields.

What stays out of the tags is what a correction can change and what has no bound, for every new tag value is a
new series.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec import json

from adapters._line_syntax import Fields, are_64_bit, head, line
from adapters._line_telemetry import batch_points
from edge.contract import TELEMETRY, Record

UNASSIGNED = "UNASSIGNED"
"""The order of a count that belongs to none."""

_FIGURES = frozenset({"run_total", "order_good", "order_scrap", "order_rework"})
"""What the owner had by then. The order's are in a series of their own; none is a field of the event, for
InfluxDB joins the fields of points that overwrite each other: a part that was moved would keep them."""
_NOT_OF_COUNT = _FIGURES | {"role"}
"""Of a count also its tag."""

_NOBODY: Mapping[str, Any] = {
    "order": "", "operation": -1, "run": "", "item": "", "revision": "", "batch": "", "operator": "",
    "kind": "",
}  # fmt: skip
"""What is written over the former owner where the new one has nothing; each in its own type."""


def points(record: Record) -> bytes:
    """The points of one record, a line each, without a line feed at the end; empty where it has none."""
    if record.type == TELEMETRY:
        return batch_points(record, _context(record.owner).written)
    return "\n".join(lines(record)).encode("utf-8", "replace")


def lines(record: Record) -> list[str]:
    """The points of one event, the event itself first. No line holds a line feed.

    All have the timestamp `at_ms` in nanoseconds with `seq` in the last six digits, so that two events of one
    series never share one. It is the same at every repeat, which then overwrites itself.
    """
    data, stamp = record.data, record.at_ms * 1_000_000 + record.seq % 1_000_000
    own = Fields()
    if record.type == "count":
        start = head("count", record.line, record.station, "kind", str(data.get("role") or ""))
        members = own.fill(data, _NOT_OF_COUNT)
    else:
        start = head(record.type, record.line, record.station)
        members = own.fill(data, _FIGURES)
    written = [_event(start, own, record, stamp)]
    if data.get("order_good") is not None or data.get("order_scrap") is not None:
        written.append(_totals(record, stamp))
    if members:
        written.extend(_members(record, members, stamp))
    return written


class _Context(NamedTuple):
    """What is known of the owner, as it is written: many events have the same."""

    values: Mapping[str, Any]
    written: Mapping[str, str]
    joined: str
    omitted: frozenset[str]


def _owner(record: Record) -> _Context:
    return _context(record.owner, is_moved=record.attribution > 1)


@lru_cache(256)
def _context(owner: bytes, *, is_moved: bool = False) -> _Context:
    values: dict[str, Any] = json.decode(owner)
    if is_moved:
        values = {**_NOBODY, **values}
    fields = Fields()
    fields.fill(values)
    joined = ",".join(filter(None, fields.written.values()))
    return _Context(values, fields.written, joined, frozenset(fields.omitted))


def _event(start: str, own: Fields, record: Record, stamp: int) -> str:
    """Its own fields, then the context, then the version; what the event says itself comes first."""
    context, body = _owner(record), list(own.written.values())
    if own.written.keys().isdisjoint(context.written):
        body.append(context.joined)
    else:
        body.extend(text for name, text in context.written.items() if name not in own.written)
    body.append(_version(record))
    omitted = own.omitted | (context.omitted - own.written.keys()) if context.omitted else own.omitted
    return line(start, body, omitted, stamp)


def _version(record: Record) -> str:
    """A correction's own events are of the version that they tell of; any other has that of its owner."""
    told = record.data.get("version") if record.type == "attribution" else None
    return f"attribution={told if type(told) is int else record.attribution}i"


def _totals(record: Record, stamp: int) -> str:
    """The totals that an event carries of its job: a series for each order and operation."""
    data, start = record.data, _of_order(record.line, record.station, record.owner)
    good, scrap, rework = data.get("order_good"), data.get("order_scrap"), data.get("order_rework", 0)
    if type(good) is type(scrap) is type(rework) is int and are_64_bit(good, scrap, rework):
        return f"{start} good={good}i,scrap={scrap}i,rework={rework}i,{_version(record)} {stamp}"
    fields = Fields()
    fields.fill({"good": good, "scrap": scrap, "rework": rework})
    return line(start, [*fields.written.values(), _version(record)], fields.omitted, stamp)


@lru_cache(256)
def _of_order(line: str, station: str, owner: bytes) -> str:
    context = _context(owner).values
    order, operation = str(context.get("order") or UNASSIGNED), context.get("operation")
    tags = "order", order, "operation", "" if operation is None else str(operation)
    return head("order_total", line, station, *tags)


def _members(record: Record, members: Mapping[str, list[Any]], stamp: int) -> Iterator[str]:
    """A point for each object of a list, numbered from 1."""
    version = f"attribution={record.attribution}i"
    for key, objects in members.items():
        name = f"{record.type}_{key.removesuffix('s')}"
        for position, member in enumerate(objects, start=1):
            fields = Fields()
            for inner, value in member.items():
                fields.add(inner, value)
            start = head(name, record.line, record.station, "position", str(position))
            yield line(start, [*fields.written.values(), version], fields.omitted, stamp)
