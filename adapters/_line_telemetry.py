"""Batches of telemetry as line protocol: one point for each frame, from the bytes as they were stored.

    telemetry,line=...,station=...,name=oven zone_1=229.5,zone_2=231.0 timestamp

A frame of a thousand numbers differs little between JSON and line protocol: where it holds nothing but plain
names and numbers it is changed as bytes, without being decoded.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from msgspec import MsgspecError, Raw, Struct, json

from adapters._line_syntax import RESERVED, Field, Fields, complete, field, head, tag, text
from edge.contract import TELEMETRY, Record

_OWN = frozenset({"name", "bad", "lost"})
"""A tag and fields of these points that are no signal."""

_VALUE = b"0123456789.+-e"
_PLAIN = b'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_,:"'
"""What is left of plain names, numbers, `true` and `false` without the above."""

_MS = 1_000_000
_HEAD = re.compile(rb"(?:[^\\ ]|\\.)+ ")
_PAIR = re.compile(rb'((?:[^\\,= ]|\\.)+)=("(?:[^"\\]|\\.)*"|[^, ]*)')
_OMITTED = b"omitted"


class _Frame(Struct):
    at: int
    values: Raw = Raw(b"{}")
    bad: dict[str, str] = {}


class _Batch(Struct):
    frames: list[_Frame]
    lost: int = 0


def batch_points(record: Record, context: Mapping[str, str]) -> bytes:
    """A line for each frame that says something; nothing of a batch that cannot be read.

    The timestamp is the frame's milliseconds with the batch's seq in the last six digits. Where the clock
    stood still or went back within the batch, the next free millisecond is taken.
    """
    try:
        batch = json.decode(record.body, type=_Batch)
    except MsgspecError:
        return b""
    start = head(TELEMETRY, record.line, record.station, "name", record.name).encode("utf-8", "replace")
    taken: set[int] = set()
    written: list[bytes] = []
    mixed = _Mixed(context)
    lost = f"lost={batch.lost}i" if batch.lost else ""
    for frame in batch.frames:
        at = frame.at
        while at in taken:
            at += 1
        taken.add(at)
        if body := mixed.body(frame, lost):
            written.append(b"%b %b %d" % (start, body, at * _MS + record.seq % _MS))
            lost = ""
    return b"\n".join(written)


class _Mixed:
    """Frames of one batch with the context of its station's run; a signal's own name comes first."""

    def __init__(self, context: Mapping[str, str]) -> None:
        self._context = context
        self._joined = ",".join(filter(None, context.values()))
        self._taken = frozenset({*RESERVED, *_OWN, *context})

    def body(self, frame: _Frame, lost: str) -> bytes:
        """The fields of one frame, empty where there is nothing to say."""
        inner, context = bytes(frame.values)[1:-1], self._joined
        if _is_plain(inner.translate(None, _VALUE), self._taken):
            values = inner.replace(b'":', b"=").replace(b',"', b",")[1:]
        else:
            fields = _decoded(frame.values)
            values = ",".join(complete(fields.written.values(), fields.omitted)).encode("utf-8", "replace")
            others = (one for name, one in self._context.items() if name not in fields.written)
            context = ",".join(filter(None, others))
        bad = f"bad={text(_reasons(frame.bad))}" if frame.bad else ""
        if not (values or bad or lost):
            return b""
        rest = ",".join(filter(None, [lost, bad, context])).encode("utf-8", "replace")
        return b",".join(filter(None, [values, rest]))


@lru_cache(64)
def _is_plain(skeleton: bytes, taken: frozenset[str]) -> bool:
    """Whether these are numbers under plain names alone, so that every quote, colon and comma is JSON's.

    `skeleton` is what is left of them without the characters of numbers: the same for each frame of the same
    signals. So are names that differ in these characters only, and all of them are taken if one is.
    """
    if skeleton.translate(None, _PLAIN) or b':"' in skeleton or b":n" in skeleton or b'"_' in skeleton:
        return False
    if any(b'"%b":' % name.encode().translate(None, _VALUE) in skeleton for name in taken):
        return False
    count = skeleton.count(b'":')
    return count == skeleton.count(b":") and count == skeleton.count(b",") + 1


def _decoded(values: Raw) -> Fields:
    """Any values whatever; numbers are floats, for a signal's type must not change with its value."""
    fields = Fields()
    try:
        decoded: dict[str, Any] = json.decode(values, type=dict[str, Any])
    except MsgspecError:
        return fields
    for key, value in decoded.items():
        name = f"data_{key}" if key in _OWN else key
        if isinstance(value, int | float):
            fields.put(Field(field(name).name, True), value)
        else:
            fields.add(name, value)
    return fields


def _reasons(bad: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in bad.items())[:1000]


def without(points: bytes, name: str) -> bytes:
    """The same points less one field, which `omitted` names; a point with no other field is left out."""
    key = tag(name).encode("utf-8", "replace")
    if key + b"=" not in points:
        return points
    return b"\n".join(filter(None, (_less(one, key, name) for one in points.split(b"\n"))))


def _less(point: bytes, key: bytes, name: str) -> bytes:
    start = _HEAD.match(point)
    if start is None:
        return point
    body, _, stamp = point[start.end() :].rpartition(b" ")
    pairs = {found[1]: found[2] for found in _PAIR.finditer(body)}
    if pairs.pop(key, None) is None:
        return point
    if not pairs.keys() - {_OMITTED}:
        return b""
    told = pairs.get(_OMITTED, b'""')[1:-1]
    written = (text(name) or '""').encode("utf-8", "replace")[1:-1]
    pairs[_OMITTED] = b'"%b"' % b" ".join(filter(None, [told, written]))
    return b"%b%b %b" % (start[0], b",".join(b"%b=%b" % pair for pair in pairs.items()), stamp)
