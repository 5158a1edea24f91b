"""Values out of registers, replies out of bytes, and how both are written in a line's file."""

import math
import struct
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerRTU

from adapters._modbus.codec import (
    Kind,
    Order,
    WrongReply,
    decoder,
    exception_words,
    registers_of,
    reply_bytes,
    rtu_reply,
    tcp_reply,
)
from adapters.modbus import Address, Settings

_TYPES = AsyncModbusTcpClient.DATATYPE
_ORACLES = {
    "u16": (_TYPES.UINT16, st.integers(0, 2**16 - 1)),
    "i16": (_TYPES.INT16, st.integers(-(2**15), 2**15 - 1)),
    "u32": (_TYPES.UINT32, st.integers(0, 2**32 - 1)),
    "i32": (_TYPES.INT32, st.integers(-(2**31), 2**31 - 1)),
    "u64": (_TYPES.UINT64, st.integers(0, 2**64 - 1)),
    "i64": (_TYPES.INT64, st.integers(-(2**63), 2**63 - 1)),
    "f32": (_TYPES.FLOAT32, st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "f64": (_TYPES.FLOAT64, st.floats(allow_nan=False, allow_infinity=False)),
}
ORDERS = st.sampled_from(["big", "little"])


def swapped(registers: list[int]) -> list[int]:
    return [(register & 0xFF) << 8 | register >> 8 for register in registers]


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", _ORACLES)
@given(data=st.data(), words=ORDERS, octets=ORDERS, before=st.integers(0, 3))
def test_what_pymodbus_encodes_is_decoded(
    kind: Kind, data: st.DataObject, words: Order, octets: Order, before: int
) -> None:
    oracle, values = _ORACLES[kind]
    value = data.draw(values)
    registers = AsyncModbusTcpClient.convert_to_registers(value, oracle, word_order=words)
    assert len(registers) == registers_of(kind)
    if octets == "little":
        registers = swapped(registers)
    cells = [0xAAAA] * before + registers + [0xBBBB]
    assert decoder(kind, words, octets, None)(cells, before) == value


@pytest.mark.parametrize(
    ("words", "octets", "registers"),
    [
        ("big", "big", [0x4365, 0x028F]),
        ("little", "big", [0x028F, 0x4365]),
        ("big", "little", [0x6543, 0x8F02]),
        ("little", "little", [0x8F02, 0x6543]),
    ],
)
def test_the_four_orders_of_229_01(words: Order, octets: Order, registers: list[int]) -> None:
    value = decoder("f32", words, octets, None)(registers, 0)
    assert value == pytest.approx(229.01, abs=1e-5)


@given(register=st.integers(0, 65535), bit=st.integers(0, 15), octets=ORDERS)
def test_a_bit_is_that_of_the_number(register: int, bit: int, octets: Order) -> None:
    cells = [register] if octets == "big" else swapped([register])
    assert decoder("bool", "big", octets, bit)(cells, 0) is bool(register >> bit & 1)
    assert decoder("bool", "big", octets, None)(cells, 0) is bool(register)


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_none(kind: Kind, value: float) -> None:
    registers = AsyncModbusTcpClient.convert_to_registers(value, _ORACLES[kind][0])
    assert decoder(kind, "big", "big", None)(registers, 0) is None


# --- replies ------------------------------------------------------------------------------------


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """A request without its envelope, a right answer to it, and a refusal of it."""
    function = draw(st.integers(1, 4))
    count = draw(st.integers(1, 125))
    unit = draw(st.integers(1, 247))
    data = draw(st.binary(min_size=reply_bytes(function, count), max_size=reply_bytes(function, count)))
    request = struct.pack(">BBHH", unit, function, draw(st.integers(0, 65535 - count)), count)
    refusal = bytes([unit, function | 0x80, draw(st.integers(0, 255))])
    return request, bytes([unit, function, len(data)]) + data, refusal


def mbap(transaction: int, body: bytes) -> bytes:
    return struct.pack(">HHH", transaction, 0, len(body)) + body


def sealed(body: bytes) -> bytes:
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


@given(exchange=exchanges(), transaction=st.integers(0, 65535), refused=st.booleans())
def test_tcp_the_right_answer_is_taken_when_it_is_whole(
    exchange: tuple[bytes, bytes, bytes], transaction: int, refused: bool
) -> None:
    request, answer, refusal = exchange
    sent, reply = mbap(transaction, request), mbap(transaction, refusal if refused else answer)
    assert all(tcp_reply(sent, reply[:size]) == b"" for size in range(len(reply)))
    assert tcp_reply(sent, reply) == reply


@given(exchange=exchanges(), at=st.integers(0, 8), byte=st.integers(0, 255))
def test_tcp_no_other_header_is_taken(exchange: tuple[bytes, bytes, bytes], at: int, byte: int) -> None:
    request, answer, _ = exchange
    sent, reply = mbap(9, request), bytearray(mbap(9, answer))
    if reply[at] == byte:
        return
    reply[at] = byte
    names = ("transaction id", "protocol id", "length", "unit", "function", "byte count")
    with pytest.raises(WrongReply, match=f"wrong ({'|'.join(names)})"):
        tcp_reply(sent, bytes(reply))


@given(exchange=exchanges(), noise=st.binary(min_size=1, max_size=300))
def test_tcp_noise_is_never_an_answer(exchange: tuple[bytes, bytes, bytes], noise: bytes) -> None:
    sent = mbap(9, exchange[0])
    try:
        taken = tcp_reply(sent, noise)
    except WrongReply:
        return
    assert taken in (b"", noise)
    assert not taken or taken[:7] == sent[:4] + noise[4:6] + sent[6:7]


def test_tcp_more_than_an_answer_is_none() -> None:
    sent, reply = mbap(9, struct.pack(">BBHH", 1, 3, 0, 1)), mbap(9, b"\1\3\2\0\7")
    with pytest.raises(WrongReply, match="more bytes"):
        tcp_reply(sent, reply + b"\0")


@given(exchange=exchanges(), refused=st.booleans(), zeros=st.integers(0, 4))
def test_rtu_the_right_answer_is_found_behind_noise(
    exchange: tuple[bytes, bytes, bytes], refused: bool, zeros: int
) -> None:
    request, answer, refusal = exchange
    noise = bytes(zeros)
    reply = sealed(refusal if refused else answer)
    assert rtu_reply(sealed(request), (noise + reply)[:-1]) == b""
    assert rtu_reply(sealed(request), noise + reply) == reply


@given(exchange=exchanges(), at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_rtu_no_damaged_answer_is_taken(exchange: tuple[bytes, bytes, bytes], at: int, flip: int) -> None:
    request, answer, _ = exchange
    reply = bytearray(sealed(answer))
    reply[at % len(reply)] ^= flip
    assert rtu_reply(sealed(request), bytes(reply)) == b""


@given(exchange=exchanges(), noise=st.binary(max_size=300))
def test_rtu_what_is_taken_fits_the_request(exchange: tuple[bytes, bytes, bytes], noise: bytes) -> None:
    request = exchange[0]
    taken = rtu_reply(sealed(request), noise)
    assert not taken or (taken[0] == request[0] and taken[1] & 0x7F == request[1])


def test_exceptions_have_their_names() -> None:
    assert exception_words(2) == "exception 2, illegal data address"
    assert exception_words(99) == "exception 99, not in the standard"


# --- addresses and settings -----------------------------------------------------------------------


def address(**keys: Any) -> Address:
    return Address.model_validate({key.rstrip("_"): value for key, value in keys.items()})


def test_an_address_knows_its_width_and_its_name() -> None:
    wide = address(unit=3, holding=100, as_="u32", words="little")
    assert (wide.table, wide.start, wide.width, wide.counter_bits()) == ("holding", 100, 2, 32)
    assert wide.identity() == "unit 3 holding 100 u32 words little"
    assert address(coil=4).identity() == "unit 1 coil 4 bool"
    assert address(input=4, bit=3, bytes="little").identity() == "unit 1 input 4 bool bit 3 bytes little"
    bits = [address(holding=0, as_=kind).counter_bits() for kind in ("u16", "i16", "bool")]
    assert bits == [16, None, None]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "exactly one of holding, input, coil and discrete"),
        ({"holding": 1, "coil": 1}, "exactly one of"),
        ({"holding": 1}, 'as = "u16"'),
        ({"holding": 1, "as_": "u32"}, "u32 is 2 registers: say words"),
        ({"holding": 1, "as_": "f64"}, "f64 is 4 registers: say words"),
        ({"holding": 1, "as_": "u16", "words": "big"}, "no order of words"),
        ({"holding": 65535, "as_": "u32", "words": "big"}, "past the last register"),
        ({"holding": 1, "as_": "u16", "bit": 2}, "a bit is a bool"),
        ({"holding": 1, "bit": 16}, "less than or equal to 15"),
        ({"coil": 1, "as_": "u16"}, "a coil is one bit"),
        ({"discrete": 1, "bit": 2}, "a discrete is one bit"),
        ({"holding": 70000, "as_": "u16"}, "less than or equal to 65535"),
        ({"holding": "100", "as_": "u16"}, "valid integer"),
        ({"holding": 1, "as_": "u8"}, "'u16'"),
        ({"unit": 256, "coil": 1}, "less than or equal to 255"),
        ({"coil": 1, "slave": 1}, "Extra inputs"),
    ],
)
def test_a_wrong_address_is_refused_in_words(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        address(**keys)


def test_settings_have_the_documented_defaults() -> None:
    line = Settings.model_validate({"type": "modbus", "port": "/dev/serial/by-id/usb-1"})
    assert (line.baud, line.parity, line.stop_bits) == (19200, "even", 1)
    assert (line.max_registers, line.max_gap) == (100, 8)
    assert (line.timeout, line.worst_answer) == (timedelta(seconds=1), timedelta(seconds=1))
    assert line.probe_every == timedelta(minutes=1)
    assert str(line.line()) == "/dev/serial/by-id/usb-1 (19200 baud, parity even, 1 stop)"


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("tcp://192.168.1.5", "192.168.1.5 port 502"),
        ("tcp://plc.local:1502", "plc.local port 1502"),
        ("tcp://[::1]:502", "::1 port 502"),
    ],
)
def test_a_host_is_parsed(host: str, line: str) -> None:
    assert str(Settings.model_validate({"type": "modbus", "host": host}).line()) == line


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "either host .* or port"),
        ({"host": "tcp://a", "port": "/dev/ttyS0"}, "either host .* or port"),
        ({"host": "192.168.1.5"}, "tcp://ADDRESS:PORT"),
        ({"host": "tcp://"}, "tcp://ADDRESS:PORT"),
        ({"host": "tcp://a:0"}, "port 0"),
        ({"host": "tcp://a:70000"}, "[Pp]ort"),
        ({"host": "tcp://a:x"}, "[Pp]ort"),
        ({"host": "tcp://a/b"}, "tcp://ADDRESS:PORT"),
        ({"host": "tcp://a", "baud": 9600, "parity": "none"}, "baud, parity belong to a serial port"),
        ({"port": "COM3"}, "path of the serial port"),
        ({"port": "/dev/ttyS0", "parity": "mark"}, "'none', 'even' or 'odd'"),
        ({"port": "/dev/ttyS0", "timeout": 3}, "duration with its unit"),
        ({"port": "/dev/ttyS0", "max_registers": 126}, "less than or equal to 125"),
    ],
)
def test_wrong_settings_are_refused_in_words(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate({"type": "modbus", **keys})
