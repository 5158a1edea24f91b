"""Addresses as manuals write them: 40101, 400101, 10001, 00001, and a bit of a register, 40101.3.

The first digit is the table, and the rest counts from 1 (Modicon's "Modbus Protocol Reference Guide",
PI-MBUS-300): 40101 is the holding register that is number 100 on the wire.
"""

import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator

from adapters._modbus.codec import BIT_TABLES, Table

_TABLES: dict[str, Table] = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_WRITTEN = re.compile(r"([0-9])([0-9]{4}|[0-9]{5})(?:\.([0-9]{1,2}))?", re.ASCII)
_NAMED = "0 is a coil, 1 a discrete input, 3 an input register, 4 a holding register"
_HOW = 'write it as the manual does, with five or six digits, such as 40101, 400101 or "40101.3"'


class Spot(NamedTuple):
    """A place in a unit."""

    table: Table
    start: int
    """Counted from zero, as on the wire."""
    bit: int | None = None


def spot_of(written: int | str) -> Spot:
    """The place that such an address names. Raises ValueError, in words."""
    match = _WRITTEN.fullmatch(str(written))
    if match is None:
        coil = ' (a coil begins with a nought, as text: "00017")' if isinstance(written, int) else ""
        raise ValueError(f"{_HOW}{coil}")
    digit, number, bit = match[1], int(match[2]), match[3]
    table = _TABLES.get(digit)
    if table is None:
        raise ValueError(f"no table begins with {digit}: {_NAMED}")
    if not 1 <= number <= 65536:
        first, last = "1".zfill(len(match[2])), "9999" if len(match[2]) == 4 else "65536"
        raise ValueError(f"{written}: such addresses go from {digit}{first} to {digit}{last}")
    return Spot(table, number - 1, _bit(bit, table))


def _written(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise ValueError(f'write it without a point, or as text: address = "{value}"')
    if value is not None:
        spot_of(value)
    return value


Manual = Annotated[int | str | None, BeforeValidator(_written)]
"""The key `address`: 40101, `"40101.3"`, `"00001"`; `spot_of` takes what this has let through."""


def _bit(written: str | None, table: Table) -> int | None:
    if written is None:
        return None
    if table in BIT_TABLES:
        raise ValueError(f"a {table} is one bit: leave out .{written}")
    if int(written) > 15:
        raise ValueError(f"a register has the bits 0 to 15, no {written}")
    return int(written)
