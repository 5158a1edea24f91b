"""Where Modbus devices are: the line to them, and what times it keeps."""

import os
from dataclasses import dataclass
from typing import Literal

Parity = Literal["none", "even", "odd"]


@dataclass(frozen=True, slots=True)
class TcpLine:
    """A device or a gateway that speaks Modbus TCP."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"


class _Rtu:
    """What bytes take on a bus of devices that speak Modbus RTU."""

    __slots__ = ()
    baud: int
    parity: Parity
    stop_bits: int

    @property
    def octet_s(self) -> float:
        """Time of one byte."""
        return octet_s(self.baud, self.parity, self.stop_bits)

    @property
    def gap_s(self) -> float:
        """The silence that parts two frames: 3.5 bytes, above 19200 baud 1.75 ms (section 2.5.1.1)."""
        return max(3.5 * self.octet_s, 0.00175)


@dataclass(frozen=True, slots=True)
class SerialLine(_Rtu):
    """A bus on a port of this computer."""

    path: str
    baud: int
    parity: Parity
    stop_bits: int

    @property
    def parity_letter(self) -> str:
        """As pyserial wants it. A pseudo-terminal has no parity, and refuses to be given one."""
        is_pseudo = os.path.realpath(self.path).startswith("/dev/pts/")
        return "N" if is_pseudo else self.parity[0].upper()

    def __str__(self) -> str:
        return f"{self.path} ({self.baud} baud, parity {self.parity}, {self.stop_bits} stop)"


@dataclass(frozen=True, slots=True)
class RtuTcpLine(_Rtu):
    """A bus behind a device server on the network."""

    host: str
    port: int
    baud: int
    parity: Parity
    stop_bits: int

    def __str__(self) -> str:
        return f"{self.host} port {self.port} (RTU, {self.baud} baud behind it)"


def octet_s(baud: int, parity: Parity, stop_bits: int) -> float:
    """Time of one byte: a start bit, eight bits, one of parity if there is any, the stop bits."""
    return (9 + (parity != "none") + stop_bits) / baud
