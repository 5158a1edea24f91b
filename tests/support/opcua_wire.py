"""Answers of an OPC UA server as asyncua or a hand encodes them, and values beside asyncua's own."""

import dataclasses
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import strategies as st

from adapters._opcua.binary import Array, Extension, Id, QName, Raw, Sample, Text

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
NOON_TICKS = int(ua.datetime_to_win_epoch(NOON))


def _range(bits: int, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)


_TIMES = st.datetimes(datetime(1700, 1, 1), datetime(9000, 1, 1)).map(lambda one: one.replace(tzinfo=UTC))
_TEXTS = st.none() | st.text(st.characters(codec="utf-8"), max_size=12)
NODES = st.one_of(
    st.builds(
        lambda ns, name: ua.NodeId(ua.String(name), ua.Int16(ns)), st.integers(0, 9), st.text(max_size=9)
    ),
    st.builds(lambda ns, i: ua.NodeId(ua.Int32(i), ua.Int16(ns)), st.integers(0, 400), _range(32, False)),
    st.builds(lambda one: ua.NodeId(ua.Guid(str(one)), ua.Int16(3)), st.uuids()),
    st.builds(lambda one: ua.NodeId(ua.ByteString(one), ua.Int16(3)), st.binary(max_size=9)),
)
_EXPANDED = st.builds(
    lambda uri, server: ua.ExpandedNodeId(ua.Int32(7), ua.Int16(0), ua.NodeIdType.Numeric, uri, server),
    st.none() | st.just("urn:acme"),
    st.none() | st.integers(1, 99),
)  # fmt: skip

_OF_KIND: dict[ua.VariantType, st.SearchStrategy[Any]] = {
    ua.VariantType.Boolean: st.booleans(),
    ua.VariantType.SByte: _range(8, True),
    ua.VariantType.Byte: _range(8, False),
    ua.VariantType.Int16: _range(16, True),
    ua.VariantType.UInt16: _range(16, False),
    ua.VariantType.Int32: _range(32, True),
    ua.VariantType.UInt32: _range(32, False),
    ua.VariantType.Int64: _range(64, True),
    ua.VariantType.UInt64: _range(64, False),
    ua.VariantType.Float: st.floats(width=32, allow_nan=False),
    ua.VariantType.Double: st.floats(allow_nan=False),
    ua.VariantType.String: _TEXTS,
    ua.VariantType.DateTime: _TIMES,
    ua.VariantType.Guid: st.uuids(),
    ua.VariantType.ByteString: st.none() | st.binary(max_size=12),
    ua.VariantType.NodeId: NODES,
    ua.VariantType.ExpandedNodeId: NODES | _EXPANDED,
    ua.VariantType.StatusCode: _range(32, False).map(lambda one: ua.StatusCode(ua.UInt32(one))),
    ua.VariantType.QualifiedName: st.builds(ua.QualifiedName, st.text(max_size=9), st.integers(0, 9)),
    ua.VariantType.LocalizedText: st.builds(ua.LocalizedText, _TEXTS, _TEXTS),
    ua.VariantType.ExtensionObject: st.builds(
        lambda body: ua.ExtensionObject(ua.NodeId(ua.Int32(5001), ua.Int16(4)), ua.ByteString(body)),
        st.binary(min_size=1, max_size=20),
    ),
}


def _variant_of(kind: ua.VariantType) -> st.SearchStrategy[ua.Variant]:
    one = _OF_KIND[kind]
    return st.builds(lambda value: ua.Variant(value, kind), one) | st.builds(
        lambda values: ua.Variant(values, kind, is_array=True), st.lists(one, max_size=5)
    )


_VARIANTS = st.one_of([_variant_of(kind) for kind in _OF_KIND])
_NESTED = st.builds(
    lambda inner: ua.Variant(inner, ua.VariantType.Variant, is_array=True), st.lists(_VARIANTS, max_size=4)
)
_STATUSES = st.sampled_from([0, 0x480, 0x40000000, 0x80340000]) | _range(32, False)
VALUES = st.builds(
    lambda value, status, source, server: ua.DataValue(
        value, ua.StatusCode(ua.UInt32(status)), SourceTimestamp=source, ServerTimestamp=server
    ),
    _VARIANTS | _NESTED, _STATUSES, st.none() | _TIMES, st.none() | _TIMES,
)  # fmt: skip


def plain(raw: Raw) -> object:
    """Ours, in a form that the library's values can be brought into."""
    if isinstance(raw, Array):
        return [plain(one) for one in raw]
    return plain(raw.raw) if isinstance(raw, Sample) else raw


def _node(node: ua.NodeId) -> Id:
    uri, server = getattr(node, "NamespaceUri", None), getattr(node, "ServerIndex", 0) or 0
    identifier: Any = node.Identifier
    return Id(
        node.NamespaceIndex,
        UUID(str(identifier)) if isinstance(identifier, UUID) else identifier,
        uri,
        server,
    )


def theirs(value: Any, kind: ua.VariantType) -> object:
    """The library's, in the form of ours."""
    if isinstance(value, list):
        return [theirs(one, kind) for one in value]
    if isinstance(value, ua.Variant):
        return theirs(value.Value, value.VariantType)
    if isinstance(value, datetime):
        return int(ua.datetime_to_win_epoch(value))
    if isinstance(value, ua.NodeId):
        return _node(value)
    if isinstance(value, ua.StatusCode):
        return int(value.value)
    if isinstance(value, ua.QualifiedName):
        return QName(value.NamespaceIndex, value.Name)
    if isinstance(value, ua.LocalizedText):
        return Text(value.Locale, value.Text)
    if isinstance(value, ua.ExtensionObject):
        return Extension(_node(value.TypeId), value.Body)
    return value


def ticks(stamp: datetime | None) -> int | None:
    return None if stamp is None else int(ua.datetime_to_win_epoch(stamp))


def is_same(sample: Sample, data: ua.DataValue) -> bool:
    variant = data.Value
    assert variant is not None
    expected = theirs(variant.Value, variant.VariantType)
    if variant.VariantType == ua.VariantType.NodeId and not variant.is_array and variant.Value is None:
        expected = Id(0, 0)
    assert plain(sample.raw) == expected
    assert sample.kind == variant.VariantType.value
    assert sample.is_array is bool(variant.is_array)
    assert sample.status == (0 if data.StatusCode is None else int(data.StatusCode.value))
    assert (sample.source, sample.server) == (ticks(data.SourceTimestamp), ticks(data.ServerTimestamp))
    return True


def message(*parts: object, sequence: int = 5) -> ua.NotificationMessage:
    return ua.NotificationMessage(ua.UInt32(sequence), NOON, list(parts))


def changed(values: Sequence[ua.DataValue]) -> ua.DataChangeNotification:
    return ua.DataChangeNotification(
        MonitoredItems=[ua.MonitoredItemNotification(ua.UInt32(10 + n), one) for n, one in enumerate(values)]
    )


def publish(notification: ua.NotificationMessage, **keys: Any) -> bytes:
    result = ua.PublishResult(
        SubscriptionId=ua.UInt32(77), NotificationMessage=notification, MoreNotifications=False
    )
    response = ua.PublishResponse(Parameters=dataclasses.replace(result, **keys))
    response.ResponseHeader.StringTable = ["a", "b"]
    return struct_to_binary(response)


def read(values: Sequence[ua.DataValue]) -> bytes:
    return struct_to_binary(ua.ReadResponse(Results=list(values)))


def opened(number: int, status: int = 0) -> bytes:
    """Type and header of a response, by hand (OPC 10000-4, 7.33)."""
    return (
        b"\x01\x00"
        + struct.pack("<H", number)
        + struct.pack("<qII", 0, 1, status)
        + b"\x00"
        + b"\xff" * 4
        + b"\x00\x00\x00"
    )


def in_message(items: bytes) -> bytes:
    """A PublishResponse around a DataChangeNotification."""
    part = b"\x01\x00\x2b\x03\x01" + struct.pack("<i", len(items)) + items
    head = opened(829) + struct.pack("<Ii?Iqi", 77, -1, False, 5, NOON_TICKS, 1)
    return head + part + b"\xff" * 8
