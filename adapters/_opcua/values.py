"""What a server says of one value, and when it says it happened."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from asyncua import ua

from adapters._opcua.binary import Array, Extension, Id, Kind, Malformed, QName, Sample, Text, unix_ms
from adapters._opcua.members import follow
from adapters._opcua.structures import Step, Types, Unusable
from edge.contract import Quality, Value
from edge.observation import OVERFLOWED

_DATA_VALUE = 0x400  # InfoType of a status code, OPC 10000-4, 7.38: bits 10 and 11
_INFO_TYPE = 0xC00
_OVERFLOW = 0x80
_LONGEST_TEXT = 4096
_LONGEST_BYTES = 1024
_ANALOG = 0.01
_LAST_TICKS = 2_650_467_743_990_000_000  # 9999-12-31T23:59:59, OPC 10000-6, 5.2.2.5
_new = tuple.__new__
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_STANDARD = Types({})


class Reading(NamedTuple):
    """One DataValue in our own words."""

    value: Value
    quality: Quality
    detail: str = ""
    stamp: int | None = None
    """The server's own time of it, in ticks of 100 ns since 1601, UTC: the source's, else the server's."""
    server: int | None = None
    """Beside the source's: when the server saw it, in the same ticks."""

    def same(self, other: "Reading") -> bool:
        """Whether both say the same of the signal, at whatever time, and whatever was lost before it."""
        if self.value != other.value or type(self.value) is not type(other.value):
            return False
        return self[1:3] == other[1:3] or (
            OVERFLOWED in (self.detail, other.detail) and self.value is not None
        )

    def near(self, other: "Reading") -> bool:
        """Whether both are floats as close as a server's own deadband may leave them."""
        if not (isinstance(self.value, float) and isinstance(other.value, float)):
            return False
        return math.isclose(self.value, other.value, rel_tol=_ANALOG)


@dataclass(frozen=True, slots=True)
class Pick:
    """Which part of a node's value is the signal's, and how it is said."""

    index: int | tuple[int, ...] | None = None
    """Of an array, counted from 0; of a matrix also one for each dimension."""
    member: tuple[Step, ...] = ()
    """Then into a structure: `("ProdProcessedCount", 0, "AccCount")`."""
    types: Types = _STANDARD
    """The server's data types; a member needs them."""
    root: Id | None = None
    """The node's own data type."""
    names: Mapping[int | str, str] | Mapping[int, str] | Mapping[str, str] | None = None
    """Of an enumeration, by its number or by the text of the value; an unknown one is its number as text."""
    namespaces: tuple[str, ...] = ()
    """Given, a node id is said with its namespace's URI."""

    path: tuple[Step, ...] = field(init=False)
    """Index and member in one."""
    whole: bool = field(init=False)
    """Whether the signal is the node's value as it comes."""

    def __post_init__(self) -> None:
        path = self.member if self.index is None else (self.index, *self.member)
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "whole", not path and self.names is None)


PLAIN = Pick()
"""The whole value, as it is."""

_EXACT = frozenset(range(Kind.BOOLEAN, Kind.FLOAT))
_FLOATS = (Kind.FLOAT, Kind.DOUBLE)


def overflowed(status: int) -> bool:
    """Whether the server lost values of this item just before this one.

    `StatusCode(0x480)` calls itself good, and its name is "Good".
    """
    return status & _INFO_TYPE == _DATA_VALUE and bool(status & _OVERFLOW)


@lru_cache(256)
def status_name(status: int) -> str:
    """`BadNodeIdUnknown`; with the number where there is no name of its own."""
    name = ua.StatusCode(ua.UInt32(status & 0xFFFF0000)).name
    return f"{name} (0x{status:08X})" if name in ("Bad", "Uncertain") else name


def reading(sample: Sample, pick: Pick = PLAIN) -> Reading:
    """Never raises: what cannot be used is BAD and says why."""
    raw, status, source, server, kind, is_array = sample
    if pick.whole and not status and not is_array:
        stamp = source or server
        if kind in _EXACT:
            return _new(Reading, (raw, Quality.GOOD, "", stamp, server))
        if kind in _FLOATS and math.isfinite(raw):  # type: ignore[arg-type]  # a float, by its kind
            return _new(Reading, (raw, Quality.GOOD, "", stamp, server))
    one = _part(sample, pick)
    return one if source is None or server is None else one._replace(server=server)


def _part(sample: Sample, pick: Pick) -> Reading:
    status, stamp = sample.status, sample.source or sample.server
    if status >> 31:
        return Reading(None, Quality.BAD, status_name(status), stamp)
    try:
        part = follow(sample, pick.path, pick.types, pick.root)
        if part.status >> 31:
            return Reading(None, Quality.BAD, status_name(part.status), stamp)
        value = _said(_value(part, pick), pick)
    except (Unusable, Malformed) as fault:
        return Reading(None, Quality.BAD, str(fault), stamp)
    if overflowed(status):
        return Reading(value, Quality.UNCERTAIN, OVERFLOWED, stamp)
    if status >> 30:
        return Reading(value, Quality.UNCERTAIN, status_name(status), stamp)
    return Reading(value, Quality.GOOD, "", stamp)


def _said(value: bool | float | str, pick: Pick) -> Value:
    if pick.names is None or isinstance(value, bool | float):
        return value
    names: Mapping[Any, str] = pick.names
    return names.get(value, str(value))


def _value(part: Sample, pick: Pick) -> bool | int | float | str:
    """A single value of any built-in type. Raises Unusable."""
    raw = part.raw
    if part.is_array:
        raise Unusable(_array(raw))
    if raw is None:
        raise Unusable("the server gives no value")
    if isinstance(raw, float) and not math.isfinite(raw):
        raise Unusable(f"{raw} is no number")
    if part.kind == Kind.DATE_TIME and isinstance(raw, int):
        return _iso(raw)
    if part.kind == Kind.STATUS_CODE and isinstance(raw, int):
        return status_name(raw)
    if isinstance(raw, bool | int | float):
        return raw
    text = _text(raw, pick)
    if len(text) > _LONGEST_TEXT:
        raise Unusable(f"a text of more than {_LONGEST_TEXT} characters is too long")
    return text


def _array(raw: object) -> str:
    if not isinstance(raw, Array):
        return "the server gives no value"
    if raw.dimensions:
        sizes = " x ".join(map(str, raw.dimensions))
        return f"the value is an array of {sizes}; say which element is meant with index, counted from 0"
    return f"the value is an array of {len(raw)}; say which element is meant with index, counted from 0"


def _iso(ticks: int) -> str:
    """`2026-05-04T06:12:09.412Z`; a time beyond the year 9999 is its end."""
    if ticks <= 0:
        raise Unusable("no time is set")
    at = _UNIX + timedelta(milliseconds=unix_ms(min(ticks, _LAST_TICKS)))
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _text(raw: object, pick: Pick) -> str:
    if isinstance(raw, str | UUID):
        return str(raw)
    if isinstance(raw, Text | QName):
        text = raw.text if isinstance(raw, Text) else raw.name
        if text is None:
            raise Unusable("the server gives no value")
        return text
    if isinstance(raw, bytes):
        if len(raw) > _LONGEST_BYTES:
            raise Unusable(f"a string of {len(raw)} bytes is too long")
        return raw.hex()
    if isinstance(raw, Id):
        return raw.text(pick.namespaces)
    if isinstance(raw, Extension):
        raise Unusable("the value is a structure; name one of its members with member")
    raise Unusable("the value is of a type that cannot be used; name a single number, bool or text")
