"""Answers that nobody should send: cut, changed, invented, and floods of what is small on the wire."""

import contextlib
import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import cast

import pytest
from asyncua import ua
from hypothesis import example, given
from hypothesis import strategies as st

from adapters._opcua.binary import Kind, Reader
from adapters._opcua.wire import (
    MOST_CHANGES,
    Malformed,
    Published,
    ServiceFault,
    publish_response,
    read_response,
    republish_response,
)
from tests.support.opcua_wire import VALUES, changed, in_message, message, opened, plain, publish, read

MIB = 1024 * 1024
FOUR_MIB = 4 * MIB

_DECODERS: tuple[Callable[[bytes], object], ...] = (
    publish_response, republish_response, lambda body: read_response(body, 2),
)  # fmt: skip


def survives(body: bytes) -> bool:
    """Whether every decoder takes it or says that it is malformed; arrays are looked through as well."""
    for decode in _DECODERS:
        try:
            found = decode(body)
        except (Malformed, ServiceFault):
            continue
        values = found if isinstance(found, list) else [one for _, one in cast(Published, found).changes]
        for one in values:
            plain(one.raw)
    return True


_HEADS = st.sampled_from([opened(829), opened(835), opened(634), opened(634) + b"\x02\x00\x00\x00", b""])


@given(_HEADS, st.binary(max_size=300))
def test_any_bytes_are_decoded_or_malformed(head: bytes, rest: bytes) -> None:
    assert survives(head + rest)
    assert survives(in_message(rest))
    assert survives(in_message(struct.pack("<i", 2) + rest))


@given(st.lists(VALUES, min_size=2, max_size=2), st.data())
def test_a_message_with_bytes_changed_is_decoded_or_malformed(
    values: list[ua.DataValue], choice: st.DataObject
) -> None:
    whole = bytearray(choice.draw(st.sampled_from([read(values), publish(message(changed(values)))])))
    for _ in range(choice.draw(st.integers(1, 4))):
        whole[choice.draw(st.integers(0, len(whole) - 1))] = choice.draw(st.integers(0, 255))
    assert survives(bytes(whole))


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_a_message_cut_anywhere_is_malformed(values: list[ua.DataValue]) -> None:
    diagnostics = 4  # the last array is of no use here and is not looked at
    answer, sent = read(values), publish(message(changed(values)))
    for cut in range(len(answer) - diagnostics):
        with pytest.raises(Malformed):
            read_response(answer[:cut], len(values))
    for cut in range(len(sent) - diagnostics):
        with pytest.raises(Malformed):
            publish_response(sent[:cut])


def _flood(element: bytes, before: bytes) -> bytes:
    """4 MiB that say: so many of these."""
    count = (FOUR_MIB - len(before) - 200) // len(element)
    return before + struct.pack("<i", count) + element * count + b"\xff" * 4


_HOSTILE = {
    "values of one byte": _flood(b"\x00", opened(634)),
    "changes of five bytes": in_message(_flood(b"\x00" * 5, b"")),
    "null variants": in_message(_flood(b"\x00", b"\x01\x00\x00\x00" + b"\x00" * 4 + b"\x01\x98")),
    "null strings": in_message(_flood(b"\xff" * 4, b"\x01\x00\x00\x00" + b"\x00" * 4 + b"\x01\x8c")),
    "bytes": in_message(_flood(b"\x07", b"\x01\x00\x00\x00" + b"\x00" * 4 + b"\x01\x83")),
    "nothing two thousand million times": in_message(
        b"\x01\x00\x00\x00" + b"\x00" * 4 + b"\x01\x80" + struct.pack("<i", 2**31 - 1) + b"\xff" * 4
    ),
    "a string table": _flood(b"\xff" * 4, opened(829)[:21]),
    "sequence numbers": _flood(b"\x07\x00\x00\x00", opened(829) + b"\x00" * 4),
    "empty notifications": opened(829)
    + struct.pack("<Ii?Iq", 77, -1, False, 5, 0)
    + _flood(b"\x00\x00\x00", b""),
    "diagnostics within diagnostics": in_message(
        b"\x01\x00\x00\x00" + b"\x00" * 4 + b"\x01\x19" + b"\x40" * MIB
    ),
    "many diagnostics, each of many": in_message(
        _flood(b"\x40" * 90 + b"\x00", b"\x01\x00\x00\x00" + b"\x00" * 4 + b"\x01\x99")
    ),
    "variants within variants": in_message(b"\x01\x00\x00\x00" + b"\x00" * 4 + b"\x01" + b"\x18" * MIB),
    "data values within variants": in_message(
        b"\x01\x00\x00\x00" + b"\x00" * 4 + b"\x01" + b"\x17\x01" * MIB
    ),
    "dimensions": in_message(
        b"\x01\x00\x00\x00" + b"\x00" * 4 + b"\x01" + _flood(b"\x01\x00\x00\x00", b"\xc1" + b"\x00" * 4)
    ),
}


_LEAST = {
    Kind.STRING: b"\x00" * 4,
    Kind.NODE_ID: b"\x00\x07",
    Kind.QUALIFIED_NAME: b"\x00" * 6,
    Kind.LOCALIZED_TEXT: b"\x00",
    Kind.EXTENSION_OBJECT: b"\x00\x07\x00",
    Kind.DATA_VALUE: b"\x00",
    Kind.VARIANT: b"\x01\x01",
    Kind.DIAGNOSTIC_INFO: b"\x00",
}
_HOSTILE |= {
    f"as many as allowed: {kind.name}": in_message(
        b"\x01\x00\x00\x00"
        + b"\x00" * 4
        + bytes([1, 0x80 | kind])
        + struct.pack("<i", 120_000)
        + least * 120_000
    )
    for kind, least in _LEAST.items()
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_flood_is_neither_memory_nor_time(name: str) -> None:
    """4 MiB is what the connection lets through; three times as much may it cost, and a second or two."""
    body = _HOSTILE[name]
    began = time.process_time()
    decoded(body)
    assert time.process_time() - began < 2.5
    tracemalloc.start()
    try:
        decoded(body)
        assert tracemalloc.get_traced_memory()[1] < 3 * FOUR_MIB
    finally:
        tracemalloc.stop()


def decoded(body: bytes) -> None:
    for decode in (publish_response, lambda one: read_response(one, 500)):
        with contextlib.suppress(Malformed, ServiceFault):
            decode(body)


def test_no_more_than_was_asked_for() -> None:
    body = read([ua.DataValue(ua.Variant(1))] * 3)
    for expected in (2, 4):
        with pytest.raises(Malformed, match=f"3 values for {expected} nodes"):
            read_response(body, expected)
    changes = publish(
        message(changed([ua.DataValue(ua.Variant(1))] * 3), changed([ua.DataValue(ua.Variant(1))] * 3))
    )
    assert len(publish_response(changes, 6).changes) == 6
    with pytest.raises(Malformed, match="more than"):
        publish_response(changes, 5)
    assert MOST_CHANGES >= 10_000


def test_lists_that_no_honest_server_sends() -> None:
    parts = opened(829) + struct.pack("<Ii?Iqi", 77, -1, False, 5, 0, 1001) + b"\x00" * 3003 + b"\xff" * 8
    with pytest.raises(Malformed, match="1001 notifications"):
        publish_response(parts)
    with pytest.raises(Malformed, match="10001 numbers"):
        publish_response(opened(829) + struct.pack("<Ii", 77, 10_001) + b"\x00" * 50_000)


def test_a_notification_that_is_longer_than_it_says() -> None:
    items = struct.pack("<i", 1) + struct.pack("<I", 8) + b"\x01\x06" + b"\x01\x00\x00\x00" + b"\xff" * 4
    whole = in_message(items)
    at = whole.index(b"\x2b\x03\x01") + 3
    assert len(publish_response(whole).changes) == 1
    for said in (len(items) - 6, -1, len(whole)):
        with pytest.raises(Malformed, match="longer"):
            publish_response(whole[:at] + struct.pack("<i", said) + whole[at + 4 :])


@given(st.binary(max_size=60), st.integers(0, 25))
@example(b"\x00" * 3, 25)
def test_a_reader_never_goes_beyond_its_end(body: bytes, kind: int) -> None:
    reader = Reader(body + b"\x01" * 200, 0, len(body))
    try:
        reader.scalar(kind)
    except Malformed:
        return
    assert reader.at <= len(body)
