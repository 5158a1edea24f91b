"""One request that writes, and its answer ("MODBUS Application Protocol V1.1b3", section 6)."""

from dataclasses import dataclass
from typing import Literal

from adapters._modbus import library

Function = Literal[5, 6, 15, 16, 22]

COIL: Function = 5
REGISTER: Function = 6
COILS: Function = 15
REGISTERS: Function = 16
MASK: Function = 22
_BIT_FUNCTIONS = (COIL, COILS)
MOST_REGISTERS = 123
"""In one write of several registers (section 6.12)."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be written in one request."""

    unit: int
    function: Function
    start: int
    cells: tuple[int, ...]
    """5: 0 or 1. 6: the register. 15: bits. 16: registers. 22: the and-mask and the or-mask."""

    @property
    def count(self) -> int:
        """How many cells of the device it is about."""
        return 1 if self.function == MASK else len(self.cells)

    @property
    def pdu(self) -> bytes:
        """Function and data, as they go on the wire."""
        return library.write(self.function, self.start, self.cells)

    @property
    def echo(self) -> bytes:
        """The answer that confirms it: itself, or of several cells where they begin and how many."""
        return self.pdu[:5] if self.function in (COILS, REGISTERS) else self.pdu

    def __str__(self) -> str:
        table = "coil" if self.function in _BIT_FUNCTIONS else "holding"
        last = f" to {self.start + self.count - 1}" if self.count > 1 else ""
        return f"unit {self.unit} {table} {self.start}{last} (function {self.function})"
