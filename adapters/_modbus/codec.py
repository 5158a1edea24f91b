"""What a device has: its tables, the cells of an answer, and its exceptions by name.

Names and codes are those of "MODBUS Application Protocol V1.1b3", sections 4.3 and 7.
"""

from collections.abc import Callable, Sequence
from typing import Literal

Table = Literal["holding", "input", "coil", "discrete"]
Cells = Sequence[int] | Sequence[bool]
"""The registers (0 to 65535 each) or the bits of one reply."""
Decode = Callable[[Cells, int], int | float | bool | str | None]
"""Cells and the index of the value's first one to the value; None where they hold none."""

BIT_TABLES = ("coil", "discrete")

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
"""Exception codes, section 7 of the application protocol (7 is from its older editions)."""


def exception_words(code: int) -> str:
    """An exception code by number and name."""
    return f"exception {code}, {EXCEPTIONS.get(code, 'not in the standard')}"


def read_bit(cells: Cells, at: int) -> bool:
    """A coil or a discrete input."""
    return bool(cells[at])
