"""The answers that come thousands of times a second, read without making the library's objects.

A DataValue of one number with its times has one of a few hundred layouts. Each is one unpacking; whatever
else there is goes through `Reader` (OPC 10000-6, 5.2; the services are OPC 10000-4, 5.11.2 and 5.14.5).
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from adapters._opcua.binary import CODES, Id, Kind, Malformed, Reader, Sample, unix_ms
from adapters._opcua.requests import prepared_read

__all__ = [
    "MOST_CHANGES",
    "Malformed",
    "Published",
    "Sample",
    "ServiceFault",
    "prepared_read",
    "publish_response",
    "read_response",
    "republish_response",
    "unix_ms",
]

MOST_CHANGES = 20_000
"""Changes in one message at the most: what fits into 4 MiB could be made into far more memory."""
_MOST_NUMBERS = 10_000
_MOST_PARTS = 1_000

_FAULT = 397
_READ = 634
_PUBLISH = 829
_REPUBLISH = 835
_DATA_CHANGE = 811
_STATUS_CHANGE = 820
"""Ids of the binary encodings in namespace 0, from the NodeIds.csv of OPC 10000-6, annex A."""

_NUMBERS = struct.Struct("<I")
_LEAST_CHANGE = 5


class ServiceFault(Exception):
    """The server refused the whole request."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the server answers with status 0x{status:08X}")


class Published(NamedTuple):
    """What one message of a subscription says."""

    subscription: int
    sequence: int
    published: int | None
    """When the server sent it, in ticks of 100 ns since 1601."""
    more: bool
    """Whether further notifications wait for the next request."""
    available: tuple[int, ...]
    """Sequence numbers that the server could send once more."""
    results: tuple[int, ...]
    """A status for each acknowledgement that went with the request."""
    changes: list[tuple[int, Sample]]
    """Client handle and value, in the server's order; empty for a keep-alive."""
    ended: int | None
    """The status with which the server ended the subscription."""


class _Layout(NamedTuple):
    unpack_from: Callable[[bytes, int], tuple[Any, ...]]
    size: int
    kind: int


def _layouts(before: str) -> dict[int, _Layout]:
    """By the two bytes that begin a DataValue: its mask, and its variant's type.

    `0s` takes no byte and gives one that is falsy: a field that is missing is unpacked as such.
    """
    made = {}
    for mask in range(1, 0x40, 2):
        behind = "I" if mask & 2 else "0s"
        behind += ("q" if mask & 4 else "0s") + ("2x" if mask & 0x10 else "")
        behind += ("q" if mask & 8 else "0s") + ("2x" if mask & 0x20 else "")
        for kind, code in CODES.items():
            form = struct.Struct("<" + before + "xx" + code + behind)
            made[mask | kind << 8] = _Layout(form.unpack_from, form.size, kind)
    return made


_OF_CHANGES = _layouts("I")
_OF_VALUES = _layouts("")


def _changes(reader: Reader, count: int) -> list[tuple[int, Sample]]:
    """MonitoredItemNotifications: a client handle and a DataValue each."""
    body, at, layout_of, new = reader.body, reader.at, _OF_CHANGES.get, tuple.__new__
    changes: list[tuple[int, Sample]] = []
    for _ in range(count):
        layout = layout_of(body[at + 4] | body[at + 5] << 8)
        if layout is None:
            reader.at = at
            changes.append((reader.uint32(), reader.data_value()))
            at = reader.at
            continue
        unpack_from, size, kind = layout
        handle, raw, status, source, server = unpack_from(body, at)
        changes.append((handle, new(Sample, (raw, status or 0, source or None, server or None, kind, False))))
        at += size
    reader.at = at
    return changes


def _values(reader: Reader, count: int) -> list[Sample]:
    body, at, layout_of, new = reader.body, reader.at, _OF_VALUES.get, tuple.__new__
    values: list[Sample] = []
    for _ in range(count):
        layout = layout_of(body[at] | body[at + 1] << 8)
        if layout is None:
            reader.at = at
            values.append(reader.data_value())
            at = reader.at
            continue
        unpack_from, size, kind = layout
        raw, status, source, server = unpack_from(body, at)
        values.append(new(Sample, (raw, status or 0, source or None, server or None, kind, False)))
        at += size
    reader.at = at
    return values


def publish_response(body: bytes, most: int = MOST_CHANGES) -> Published:
    """The body of a PublishResponse. Raises Malformed and ServiceFault."""
    try:
        reader = _opened(body, _PUBLISH)
        subscription, available = reader.uint32(), _numbers(reader)
        more = bool(reader.byte())
        sequence, published, changes, ended = _notification(reader, most)
        results = _numbers(reader)
    except (struct.error, IndexError) as error:
        _ends_early(error)
    return Published(subscription, sequence, published, more, available, results, changes, ended)


def republish_response(body: bytes, most: int = MOST_CHANGES) -> Published:
    """The body of a RepublishResponse: the message, of no subscription. Raises Malformed and ServiceFault."""
    try:
        sequence, published, changes, ended = _notification(_opened(body, _REPUBLISH), most)
    except (struct.error, IndexError) as error:
        _ends_early(error)
    return Published(0, sequence, published, False, (), (), changes, ended)


def read_response(body: bytes, expected: int) -> list[Sample]:
    """The body of a ReadResponse, one value for each node. Raises Malformed and ServiceFault."""
    try:
        reader = _opened(body, _READ)
        count = reader.count(1)
        if count != expected:
            raise Malformed(f"{count} values for {expected} nodes")
        return _values(reader, count)
    except (struct.error, IndexError) as error:
        _ends_early(error)


def _ends_early(error: Exception) -> NoReturn:
    raise Malformed("it ends too early") from error


def _opened(body: bytes, expected: int) -> Reader:
    """Behind the header of the expected response."""
    reader = Reader(body)
    kind = reader.identifier()
    if kind not in (Id(0, expected), Id(0, _FAULT)):
        raise Malformed(f"an answer of type {kind.identifier!r} in place of {expected}")
    reader.take(12)  # time and handle
    status = reader.uint32()
    reader.diagnostic()
    reader.walk(Kind.STRING, reader.count(4))
    reader.extension()
    if status >> 31 or kind.identifier == _FAULT:
        raise ServiceFault(status)
    return reader


def _numbers(reader: Reader) -> tuple[int, ...]:
    count = reader.count(4)
    if count > _MOST_NUMBERS:
        raise Malformed(f"a list of {count} numbers")
    at = reader.take(4 * count)
    return tuple(number for (number,) in _NUMBERS.iter_unpack(reader.body[at : at + 4 * count]))


def _notification(reader: Reader, most: int) -> tuple[int, int | None, list[tuple[int, Sample]], int | None]:
    """A NotificationMessage: sequence number, time, changes, and the status of an ended subscription."""
    sequence, published = reader.uint32(), reader.ticks()
    changes: list[tuple[int, Sample]] = []
    ended = None
    for _ in range(_few(reader)):
        kind, form = reader.identifier(), reader.byte()
        if form != 1:
            continue
        end = _end_of_part(reader)
        if kind == Id(0, _DATA_CHANGE):
            changes += _bounded(reader, most - len(changes))
        elif kind == Id(0, _STATUS_CHANGE):
            ended = reader.uint32()
        if reader.at > end:
            raise Malformed("a notification is longer than it says")
        reader.at = end
    return sequence, published, changes, ended


def _few(reader: Reader) -> int:
    """Kinds of notifications in one message: an honest server sends three at the most."""
    count = reader.count(3)
    if count > _MOST_PARTS:
        raise Malformed(f"{count} notifications in one message")
    return count


def _end_of_part(reader: Reader) -> int:
    length = reader.int32()
    if not 0 <= length <= reader.end - reader.at:
        raise Malformed("a notification is longer than its message")
    return reader.at + length


def _bounded(reader: Reader, most: int) -> list[tuple[int, Sample]]:
    count = reader.count(_LEAST_CHANGE)
    if count > most:
        raise Malformed(f"more than {most} changes in one message")
    return _changes(reader, count)
