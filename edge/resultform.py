"""A job's result as it is written for people and for other systems: one shape, as JSON and as CSV."""

import csv
import re
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any, TypeVar

from msgspec import Struct, convert, json

from edge.journal.reader import iso
from edge.production.events import Result


class JobResult(Struct, frozen=True):
    """One job, over all its stations. Quantities are parts, times ISO 8601 in UTC."""

    order: str
    operation: int | None
    state: str
    """Of the job (OPC 10031-4)."""
    item: str
    quantity: int
    """The target."""
    produced: int
    """Always the sum of good, scrap and rework."""
    good: int
    scrap: int
    rework: int
    """Waiting for it."""
    reworked: int
    """Were in rework and are good now."""
    adjusted: int
    """Parts that a supervisor added, or took away; they are in `produced`."""
    inspected: int
    first_pass: int
    """Of the inspected, good at the first test and never in rework."""
    started: str | None
    ended: str | None
    busy_s: float
    """Time of its runs that have ended, added up over the stations."""
    reasons: Mapping[str, int]
    """Scrap by its reason, as far as one was given."""
    lots: tuple[str, ...]
    people: tuple[str, ...]
    aside: Mapping[str, int]
    """Parts of setup, rework and test runs, by `kind/station`; none of them is in `produced`."""


class SaidResult(JobResult, frozen=True, kw_only=True):
    """A result as an event has told it; a later one of the same job takes its place."""

    line: str
    id: str
    """Of the event: the journal's epoch and seq."""
    at: str


FormT = TypeVar("FormT", bound=JobResult)

_FORMULA = re.compile(r"""(^|;)(?=[\s"]*[=+\-@＝＋－＠])""")
"""Where a spreadsheet begins to calculate: in a cell, and behind a `;`, at which many a country's cuts."""


def job_result(result: Result) -> JobResult:
    return JobResult(**_fields(result))


def said_result(data: Mapping[str, Any], line: str, identity: str, at_ms: int) -> SaidResult:
    """From the data of a `result` event. Raises msgspec.ValidationError where it is none."""
    return SaidResult(**_fields(convert(data, Result)), line=line, id=identity, at=iso(at_ms))


def _fields(result: Result) -> dict[str, Any]:
    fields = {name: getattr(result, name) for name in result.__struct_fields__}
    for name in ("started", "ended"):
        at_ms = fields.pop(f"{name}_ms")
        fields[name] = None if at_ms is None else iso(at_ms)
    return fields


def as_json(said: object) -> bytes:
    """Indented, with a line feed at the end; a result, or a list of them."""
    return json.format(json.encode(said), indent=2) + b"\n"


def as_csv(kind: type[FormT], results: Iterable[FormT]) -> str:
    """The first line names the columns. Several names are in one cell, separated by `;`, and what
    has a number is written `NAME=NUMBER`. A name that a spreadsheet would take for a formula has a `'`
    before it."""
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    columns = kind.__struct_fields__
    rows.writerow(columns)
    rows.writerows([_cell(getattr(one, column)) for column in columns] for one in results)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        value = tuple(f"{name}={number}" for name, number in value.items())
    text = ";".join(value) if isinstance(value, tuple) else value
    return _FORMULA.sub(r"\1'", text) if isinstance(text, str) else str(text)
