"""Splits the file into its tables and checks each by itself, so that no fault hides another."""

import re
from collections.abc import Mapping
from typing import Any

from edge.config.faults import Faults, nearest
from edge.config.reasons import ReasonsTable
from edge.config.tables import (
    NAME,
    TOP_LEVEL,
    BoardTable,
    Document,
    LineTable,
    OrdersTable,
    OrderTable,
    StationTable,
)


def read_document(tables: Mapping[str, Any], faults: Faults) -> Document:
    """Every table that can be understood."""
    for key in tables:
        if key not in TOP_LEVEL:
            faults.add(key, "is not a table here", nearest(key, TOP_LEVEL))
    orders = [
        faults.check(OrderTable, table, f"order[{name}]")
        for name, table in _listed(tables, "order", "id", faults)
    ]
    stations = [
        (name, table, faults.check(StationTable, table, f"station[{name}]"))
        for name, table in _listed(tables, "station", "name", faults)
    ]
    if not stations and not tables.get("station"):
        faults.add("station", "is missing: a line has at least one [[station]]")
    return Document(
        _line(tables, faults), [order for order in orders if order], stations,
        _named(tables, "source", faults), _named(tables, "sink", faults),
        faults.check(BoardTable, _table(tables.get("board", {}), "board", faults), "board"),
        faults.check(OrdersTable, _table(tables.get("orders", {}), "orders", faults), "orders"),
        _named(tables, "telemetry", faults), reasons=_reasons(tables, faults),
        labels=_table(tables.get("labels", {}), "labels", faults),
    )  # fmt: skip


def _reasons(tables: Mapping[str, Any], faults: Faults) -> Mapping[str, Mapping[str, str]]:
    table = faults.check(ReasonsTable, _table(tables.get("reasons", {}), "reasons", faults), "reasons")
    return table.known() if table is not None else {}


def _line(tables: Mapping[str, Any], faults: Faults) -> LineTable | None:
    if "line" not in tables:
        faults.add("line", "is missing", 'begin the file with [line] and name = "..."')
        return None
    return faults.check(LineTable, _table(tables["line"], "line", faults), "line")


def _table(value: object, key: str, faults: Faults) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    faults.add(key, f"must be a table, found {value!r}")
    return {}


def _listed(
    tables: Mapping[str, Any], key: str, named_by: str, faults: Faults
) -> list[tuple[str, Mapping[str, Any]]]:
    """The tables of `[[key]]`, each with its name or its place."""
    value = tables.get(key, [])
    if not isinstance(value, list):
        faults.add(key, "must be written with two brackets", f"[[{key}]]")
        return []
    found = []
    for place, one in enumerate(value, 1):
        table = _table(one, f"{key}[{place}]", faults)
        name = table.get(named_by)
        found.append((name if isinstance(name, str) and name else str(place), table))
    return found


def _named(tables: Mapping[str, Any], key: str, faults: Faults) -> dict[str, Mapping[str, Any]]:
    """The tables of `[key.NAME]`."""
    found = {}
    for name, table in _table(tables.get(key, {}), key, faults).items():
        if not re.fullmatch(NAME, name):
            faults.add(f"{key}.{name}", "has a name with a character that is not allowed", "a-z 0-9 _ . -")
        found[name] = _table(table, f"{key}.{name}", faults)
    return found
