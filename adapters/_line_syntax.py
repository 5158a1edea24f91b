"""How each thing is written in line protocol: names, tags, values. One line is one point.

    measurement,tag=value,tag=value field=value,field=value timestamp

Syntax: InfluxDB 2 documentation, "Line protocol".
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

LONGEST_TEXT = 65_535
"""Bytes of one string field; InfluxDB stores no more than 64 KiB."""

RESERVED = frozenset({"", "time", "line", "station", "kind", "position", "omitted", "attribution"})
"""Names that are a tag's somewhere, or InfluxDB's own, and so no field's."""

SAFE_TEXT = 16_000
"""Characters that are surely no more bytes than a text may have."""
INT_64_LOW, INT_64_HIGH = -(2**63), 2**63 - 1
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\%\u2028\u2029]")
_SPECIAL = re.compile(r"([,= ])")
_CODE = re.compile(r"[0-9A-Za-z_./-]{1,50}")
"""A name within an event that may become a field's: what else a label holds must not make fields."""
_DEEP = (dict, list, tuple)
_MEASURED = frozenset({"value", "low", "high"})


class Field(NamedTuple):
    """A field's name as it is written."""

    name: str
    is_measured: bool
    """Seconds and measurements are floats even where the value happens to be whole."""


@lru_cache(4096)
def field(key: str) -> Field:
    """A name that is neither a tag's nor one that InfluxDB keeps for itself."""
    name = f"data_{key.lstrip('_')}" if key in RESERVED or key.startswith("_") else key
    return Field(tag(name), name.endswith("_s") or name in _MEASURED)


@lru_cache(4096)
def tag(value: str) -> str:
    """A tag's value or a key. Controls, `%` and backslashes as in a URL: two values never become one.

    A backslash cannot stand in a tag without ambiguity, least of all at its end.
    """
    safe = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), value)
    return _SPECIAL.sub(r"\\\1", safe)


@lru_cache(1024)
def head(measurement: str, line: str, station: str, *more: str) -> str:
    """Measurement and tags, `more` of them by key and value in turn; a tag without a value is left out."""
    name = tag(measurement)
    written = f"%23{name[1:]}" if name.startswith("#") else name
    tags = [("line", line), ("station", station), *zip(more[::2], more[1::2], strict=True)]
    return ",".join([written, *(f"{key}={tag(value)}" for key, value in tags if value)])


def scalar(one: Field, value: Any) -> str | None:
    """A value as its type is written, or None where line protocol has no way to write it."""
    kind = type(value)
    if kind is str:
        return text(value)
    if kind is int and not one.is_measured:
        return f"{value}i" if INT_64_LOW <= value <= INT_64_HIGH else None
    if kind is bool:
        return "true" if value else "false"
    return number(value) if kind in (int, float) else text(str(value))


def are_64_bit(*values: int) -> bool:
    """Whether all of them are whole numbers that InfluxDB has."""
    return min(values) >= INT_64_LOW and max(values) <= INT_64_HIGH


def number(value: float) -> str | None:
    """As a float."""
    try:
        written = float(value)
    except OverflowError:
        return None
    return repr(written) if math.isfinite(written) else None


def text(value: str) -> str | None:
    r"""A quoted string. Controls are stored as JSON writes them (`\u001d`), for a line feed would end the
    line in many a reader, and let a label write points of its own."""
    if is_simple(value):
        return f'"{value}"'
    readable = _CONTROL.sub(_escape, value)
    if len(readable.encode("utf-8", "replace")) > LONGEST_TEXT:
        return None
    return '"' + readable.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_simple(value: str) -> bool:
    """Whether it is written as it stands."""
    return len(value) < SAFE_TEXT and value.isprintable() and '"' not in value and "\\" not in value


def _escape(found: re.Match[str]) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(found[0], f"\\u{ord(found[0]):04x}")


def deep(value: Any) -> str | None:
    """What is deeper than a point can be, as JSON text; None where it is empty."""
    return json.dumps(value, ensure_ascii=False, default=str) if value else None


class Fields:
    """The fields of one point, each name once."""

    __slots__ = ("omitted", "written")

    def __init__(self) -> None:
        self.written: dict[str, str] = {}
        """Name to `name=value`; to nothing where there is no value."""
        self.omitted: set[str] = set()
        """Names of those that cannot be written in their type."""

    def fill(self, data: Mapping[str, Any], elsewhere: Collection[str] = ()) -> dict[str, Any]:
        """All members but those that are elsewhere; gives back the lists of objects, which are no fields.

        What most values are, a whole number or a simple text, is written here: this is the dearest loop.
        """
        written, objects = self.written, {}
        for key, value in data.items():
            if key in elsewhere:
                continue
            kind, (name, is_measured) = type(value), field(key)
            if kind is int and not is_measured and INT_64_LOW <= value <= INT_64_HIGH:
                written[name] = f"{name}={value}i"
            elif kind is str and is_simple(value):
                written[name] = f'{name}="{value}"'
            elif kind is list and _are_objects(value):
                objects[key] = value
            else:
                self.add(key, value)
        return objects

    def add(self, key: str, value: Any) -> None:
        """A scalar; an object's members as `key_member`, whatever is deeper as JSON text, and so members
        whose names are no codes, together."""
        if type(value) is dict:
            for member, inner in value.items():
                if _CODE.fullmatch(member):
                    self.put(field(f"{key}_{member}"), deep(inner) if type(inner) in _DEEP else inner)
            self.put(
                field(key), deep({name: one for name, one in value.items() if not _CODE.fullmatch(name)})
            )
        else:
            self.put(field(key), deep(value) if type(value) in _DEEP else value)

    def put(self, one: Field, value: Any) -> None:
        name = one.name
        if value is None:
            self.written[name] = ""
        elif (written := scalar(one, value)) is None:
            self.omitted.add(name)
        else:
            self.written[name] = f"{name}={written}"


def _are_objects(value: list[Any]) -> bool:
    return bool(value) and all(type(one) is dict for one in value)


def line(start: str, body: Iterable[str], omitted: Collection[str], stamp: int) -> str:
    """One point of `name=value`."""
    return f"{start} {','.join(complete(body, omitted))} {stamp}"


def complete(body: Iterable[str], omitted: Collection[str]) -> list[str]:
    """What is said, and in a field of its own the names of what could not be."""
    said = [one for one in body if one]
    if omitted:
        said.append(f"omitted={text(' '.join(sorted(omitted))[:1000])}")
    return said
