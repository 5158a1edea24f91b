"""Values to registers, the way back of `values`: exact, or refused in words. Functions without I/O."""

import math
import struct
from decimal import Decimal
from fractions import Fraction

from adapters._modbus.values import DIGITS, FLOATS, Form

Written = bool | int | float | str


class MisfitValue(ValueError):
    """A value that the place cannot hold, in words for a person."""


def encoded(form: Form, value: Written) -> tuple[int, ...]:
    """The registers that `form.decode()` reads as this value; of a coil one 0 or 1.

    A number for a whole kind has to be a whole number of steps of the scale: 229.05 is none of 0.1. What is a
    float in the registers is the nearest that there is. Raises MisfitValue; also for one bit of a register,
    which cannot be written without the others, and for a text with a header, a byte of which is the device's.
    """
    if form.bit is not None:
        raise MisfitValue("one bit of a register cannot be written without knowing the others")
    if form.has_header:
        raise MisfitValue("a text with a header is only read: the device says there how long it may be")
    if form.kind == "text":
        return _registers(form, _octets(form, value))
    if form.kind == "bool":
        state = _state(value)
        return (state,) if not form.order else _registers(form, struct.pack(">H", state))
    raw = (_fraction(value) - form.offset) / form.scale
    if form.kind in FLOATS:
        return _registers(form, _float(form, value, raw))
    return _registers(form, _whole(form, value, raw))


def _registers(form: Form, octets: bytes) -> tuple[int, ...]:
    """Bytes with the highest first to registers in the order of the wire."""
    words = struct.unpack(f"{'<' if form.has_bytes_swapped else '>'}{len(octets) // 2}H", octets)
    placed = [0] * len(words)
    for at, word in zip(form.words(0), words, strict=True):
        placed[at] = word
    return tuple(placed)


def _state(value: Written) -> int:
    if value not in (0, 1):
        raise MisfitValue(f"{value!r} is neither true nor false")
    return int(value)


def _fraction(value: Written) -> Fraction:
    """A number as it is written: 0.1 is a tenth."""
    if isinstance(value, int):
        return Fraction(value)
    if isinstance(value, str) or not math.isfinite(value):
        raise MisfitValue(f"{value!r} is no number")
    return Fraction(repr(value))


def _whole(form: Form, value: Written, raw: Fraction) -> bytes:
    if raw.denominator != 1:
        start = f" from {_decimal(form.offset)} on" if form.offset else ""
        raise MisfitValue(f"{value!r} is no whole number of steps of {_decimal(form.scale)}{start}")
    least, most = form.reach
    if not least <= raw <= most:
        low, high = sorted(end * form.scale + form.offset for end in (least, most))
        words = f"{value!r} does not fit: {form.kind} holds {_decimal(low)} to {_decimal(high)}"
        raise MisfitValue(words)
    number = int(str(int(raw)), 16) if form.kind in DIGITS else int(raw)
    return struct.pack(f">{form.letter}", number)


def _float(form: Form, value: Written, raw: Fraction) -> bytes:
    try:
        # As it is where nothing is scaled: a fraction knows no -0.0.
        return struct.pack(f">{form.letter}", float(raw if form.scaling else value))
    except OverflowError:
        raise MisfitValue(f"{value!r} is more than {form.kind} holds") from None


def _octets(form: Form, value: Written) -> bytes:
    if not isinstance(value, str):
        raise MisfitValue(f"{value!r} is no text")
    if not value.isprintable() or value != value.strip(" "):
        raise MisfitValue(f"{value!r} has a space at an end, or a character that cannot be printed")
    try:
        octets, room = value.encode(form.encoding), 2 * form.length
    except UnicodeEncodeError:
        raise MisfitValue(f"{value!r} has a character that {form.encoding} does not have") from None
    if len(octets) > room:
        raise MisfitValue(f"{value!r} takes {len(octets)} bytes, and {room} fit")
    return octets.ljust(room, b"\0")


def _decimal(number: Fraction) -> str:
    """As a person writes it; a third stays 1/3."""
    tens = 10**30
    if (number * tens).denominator == 1:
        return f"{Decimal(number.numerator) / Decimal(number.denominator):f}"
    return str(number)
