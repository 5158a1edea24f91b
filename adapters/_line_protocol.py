"""Events as InfluxDB line protocol: which measurement, which tags, which fields, and how each is written.

    measurement,tag=value,tag=value field=value,field=value timestamp

One line is one point. Syntax: InfluxDB 2 documentation, "Line protocol". What stays out of the tags is
what a correction can change and what has no bound, for every new tag value is a new series.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from edge.contract import Record

UNASSIGNED = "UNASSIGNED"
"""The order of a count that belongs to none."""

LONGEST_TEXT = 65_535
"""Bytes of one string field; InfluxDB stores no more than 64 KiB."""

_INT_64 = range(-(2**63), 2**63)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\%\u2028\u2029]")
_SPECIAL = re.compile(r"([,= ])")
_RESERVED = frozenset({"", "time", "line", "station", "kind", "position", "omitted", "attribution"})
_MEASURED = frozenset({"value", "low", "high"})
_OF_ORDER = ("order_good", "order_scrap", "order_rework")
"""Figures of a count that are in the series of its order."""


def lines(record: Record) -> list[str]:
    """The points of one event, the event itself first. No line holds a line feed.

    All have the timestamp `at_ms` in nanoseconds with `seq` in the last six digits, so that two events
    of one series never share one. It is the same at every repeat, which then overwrites itself.
    """
    stamp = record.at_ms * 1_000_000 + record.seq % 1_000_000
    place = {"line": record.line, "station": record.station}
    if record.type == "count":
        return list(_count_lines(record, place, stamp))
    own, points = _split(record.data)
    written = [
        _line(record.type, place, own | _about(record, own), stamp),
        *_total_lines(record, place, stamp),
    ]
    for key, members in points.items():
        name = f"{record.type}_{key.removesuffix('s')}"
        for position, member in enumerate(members, start=1):
            fields = _inlined(member) | {"attribution": record.attribution}
            written.append(_line(name, place | {"position": str(position)}, fields, stamp))
    return written


def _count_lines(record: Record, place: Mapping[str, str], stamp: int) -> Iterator[str]:
    """The count, tagged with its role as `kind`, and the totals of its order, tagged with the order."""
    own = {key: value for key, value in record.data.items() if key not in ("role", *_OF_ORDER)}
    fields = _inlined(own)
    kind = {"kind": record.data.get("role") or ""}
    yield _line("count", {**place, **kind}, fields | _about(record, fields), stamp)
    yield from _total_lines(record, place, stamp)


def _total_lines(record: Record, place: Mapping[str, str], stamp: int) -> Iterator[str]:
    """The totals that an event carries of its job: a series for each order and operation."""
    good, scrap = record.data.get("order_good"), record.data.get("order_scrap")
    if good is None and scrap is None:
        return
    operation = record.context.get("operation")
    tags = {
        "order": str(record.context.get("order") or UNASSIGNED),
        "operation": "" if operation is None else str(operation),
    }
    rework = record.data.get("order_rework", 0)
    totals = {"good": good, "scrap": scrap, "rework": rework, "attribution": _version(record)}
    yield _line("order_total", {**place, **tags}, totals, stamp)


def _about(record: Record, own: Mapping[str, Any]) -> dict[str, Any]:
    """The context and the version of the attribution; what the event says itself comes first."""
    context = {key: value for key, value in _inlined(record.context).items() if key not in own}
    return {**context, "attribution": _version(record)}


def _version(record: Record) -> Any:
    """A correction's own events are of the version that they tell of; any other has that of its owner."""
    if record.type == "attribution":
        return record.data.get("version", record.attribution)
    return record.attribution


def _split(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[Mapping[str, Any]]]]:
    """What goes into the event's own point, and the lists of objects that become points of their own."""
    points = {
        key: value
        for key, value in data.items()
        if isinstance(value, list | tuple) and value and all(isinstance(member, Mapping) for member in value)
    }
    own = _inlined({key: value for key, value in data.items() if key not in points})
    return own, {key: list(value) for key, value in points.items()}


def _inlined(data: Mapping[str, Any]) -> dict[str, Any]:
    """Field names to scalars: an object's members as `key_member`, whatever is deeper as JSON text."""
    fields: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            fields |= {_name(f"{key}_{member}"): _flat(inner) for member, inner in value.items()}
        else:
            fields[_name(key)] = _flat(value)
    return fields


def _name(key: str) -> str:
    """A field's name that is neither a tag's nor one that InfluxDB keeps for itself."""
    return f"data_{key.lstrip('_')}" if key in _RESERVED or key.startswith("_") else key


def _flat(value: Any) -> Any:
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str) if value else None
    return value


def _line(measurement: str, tags: Mapping[str, str], fields: Mapping[str, Any], stamp: int) -> str:
    head = ",".join([_measurement(measurement), *(f"{k}={_tag(v)}" for k, v in tags.items() if v)])
    written = {_tag(key): _field(key, value) for key, value in fields.items() if value is not None}
    omitted = sorted(key for key, text in written.items() if text is None)
    body = [f"{key}={text}" for key, text in written.items() if text is not None]
    if omitted:
        body.append(f"omitted={_text(' '.join(omitted)[:1000])}")
    return f"{head} {','.join(body)} {stamp}"


def _measurement(name: str) -> str:
    written = _tag(name)
    return f"%23{written[1:]}" if written.startswith("#") else written


def _tag(value: str) -> str:
    """A tag's value or a key. Controls, `%` and backslashes as in a URL: two values never become one.

    A backslash cannot stand in a tag without ambiguity, least of all at its end.
    """
    safe = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), value)
    return _SPECIAL.sub(r"\\\1", safe)


def _field(key: str, value: Any) -> str | None:
    """A value as its type is written, or None where line protocol has no way to write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and not _is_measured(key):
        return f"{value}i" if value in _INT_64 else None
    if isinstance(value, int | float):
        return _number(value)
    return _text(str(value))


def _is_measured(key: str) -> bool:
    """Seconds and measurements are floats even where the value happens to be whole."""
    return key.endswith("_s") or key in _MEASURED


def _number(value: float) -> str | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return repr(number) if math.isfinite(number) else None


def _text(value: str) -> str | None:
    r"""A quoted string. Controls are stored as JSON writes them (`\u001d`), for a line feed would end the
    line in many a reader, and let a label write points of its own."""
    readable = _CONTROL.sub(_escape, value)
    if len(readable.encode("utf-8", "replace")) > LONGEST_TEXT:
        return None
    return '"' + readable.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escape(found: re.Match[str]) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(found[0], f"\\u{ord(found[0]):04x}")
