"""`[source.NAME]` of a Modbus line: where its devices are, and how they are to be asked."""

from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from adapters._modbus.budget import use_of
from adapters._modbus.lines import Parity, RtuTcpLine, SerialLine, TcpLine
from adapters._modbus.plan import Limits
from adapters._modbus.units import Manner, UnitNumber, UnitTable
from edge.contract import Duration, SourceSettings, refuse


class Settings(SourceSettings):
    """`[source.NAME]` with `type = "modbus"`: one device, one gateway or one serial bus."""

    host: str | None = None
    """`tcp://ADDRESS:PORT` for Modbus TCP (502 where no port is given); `rtu+tcp://ADDRESS:PORT` for a device
    server that passes the frames of a serial bus on as they are."""
    port: str | None = None
    """The serial port's path, for Modbus RTU; better one of /dev/serial/by-id/ than /dev/ttyUSB0."""
    baud: int = Field(default=19200, ge=300, le=4_000_000)
    """Speed of the serial port."""
    parity: Parity = "even"
    """Parity of the serial port; `even` is the standard's own."""
    stop_bits: Literal[1, 2] = 1
    """Stop bits of the serial port; the standard asks for 2 with parity `none`, many devices for 1."""
    timeout: Duration = timedelta(seconds=1)
    """How long a unit may take to answer, the time of the bytes on a serial line not counted."""
    worst_answer: Duration = timedelta(seconds=1)
    """After an answer that did not come, how long a serial line must be silent before the next request."""
    probe_every: Duration = timedelta(minutes=1)
    """How often a unit or a register that was given up is tried again."""
    max_registers: int = Field(default=100, ge=1, le=125)
    """Registers in one request at the most; sixteen times as many coils."""
    max_gap: int = Field(default=8, ge=0, le=121)
    """Registers that nobody wants, read along in order to save a request; sixteen times as many coils."""
    delay: Duration | None = None
    """The least silence before a request, for devices that need more than the standard's 3.5 characters."""
    answers_in: Duration | None = None
    """How long a unit usually takes to begin its answer. Nothing waits for it: the budget counts with it."""
    unit: dict[UnitNumber, UnitTable] = Field(default_factory=dict)
    """`[source.NAME.unit.3]`: what is otherwise of one unit."""

    def owns(self) -> list[str]:
        """The serial port, or the one connection that many devices allow."""
        return [self.port] if self.port else [_host_line(str(self.host)).owned]

    @field_validator("host")
    @classmethod
    def _parsed(cls, value: str | None) -> str | None:
        if value is not None:
            _host_line(value)
        return value

    @field_validator("port")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("/"):
            raise ValueError('write the path of the serial port, such as "/dev/serial/by-id/usb-..."')
        return value

    @model_validator(mode="after")
    def _one_way(self) -> "Settings":
        one = (self.host is None) != (self.port is None)
        of_serial = sorted(self.model_fields_set & {"baud", "parity", "stop_bits", "worst_answer"})
        of_serial += [f"unit.{name}.worst_answer" for name, one in self.unit.items() if one.worst_answer]
        is_tcp = self.host is not None and _host_line(self.host).scheme == "tcp"
        refuse(
            "" if one else "give either host (Modbus TCP) or port (a serial port)",
            f"{', '.join(of_serial)} belong to a serial port, not to host" if is_tcp and of_serial else "",
        )
        return self

    def line(self) -> TcpLine | RtuTcpLine | SerialLine:
        """Where the devices are."""
        if self.host is None:
            return SerialLine(str(self.port), self.baud, self.parity, self.stop_bits)
        at = _host_line(self.host)
        if at.scheme == "tcp":
            return TcpLine(at.host, at.port)
        return RtuTcpLine(at.host, at.port, self.baud, self.parity, self.stop_bits)

    def manner(self, unit: int) -> Manner:
        """How a unit is asked."""
        own = self.unit.get(str(unit), _AS_THE_OTHERS)
        delay, answers_in = own.delay or self.delay, own.answers_in or self.answers_in
        return Manner(
            (own.timeout or self.timeout).total_seconds(),
            (own.worst_answer or self.worst_answer).total_seconds(),
            delay.total_seconds() if delay else 0.0,
            answers_in.total_seconds() if answers_in else None,
        )

    def limits(self) -> Limits:
        """How far requests are merged."""
        units = {int(name): self._limits_of(table) for name, table in self.unit.items()}
        limits, line = Limits(self.max_registers, self.max_gap, units), self.line()
        if isinstance(line, TcpLine):
            return limits
        return replace(limits, use=lambda blocks: use_of(blocks, line, self.manner, limits))

    def _limits_of(self, table: UnitTable) -> Limits:
        registers, gap = table.max_registers, table.max_gap
        return Limits(
            self.max_registers if registers is None else registers, self.max_gap if gap is None else gap
        )


_AS_THE_OTHERS = UnitTable()


@dataclass(frozen=True, slots=True)
class _Host:
    """What `host` says."""

    scheme: str
    host: str
    port: int

    @property
    def owned(self) -> str:
        """The connection, whatever is spoken on it."""
        return f"{_plain(self.host)} port {self.port}"


def _plain(host: str) -> str:
    """One way to write it: this machine has many names, and a name may end with a dot."""
    name = host.lower().rstrip(".")
    try:
        address = ip_address(name)
    except ValueError:
        is_here = name == "localhost" or name.endswith(".localhost")
        return "127.0.0.1" if is_here else name
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return "127.0.0.1" if address == _LOOPBACK_6 else str(address)


_LOOPBACK_6 = IPv6Address("::1")


def _host_line(text: str) -> _Host:
    url = urlsplit(text)
    wrong = url.username is not None or url.path or url.query or url.fragment
    if url.scheme not in ("tcp", "rtu+tcp") or not url.hostname or wrong:
        raise ValueError(
            'write "tcp://ADDRESS:PORT", such as "tcp://192.168.1.5:502", or "rtu+tcp://ADDRESS:PORT" '
            "for a device server that passes RTU frames on"
        )
    if url.port == 0:
        raise ValueError("port 0 cannot be connected to")
    if url.port is None and url.scheme == "rtu+tcp":
        raise ValueError('say the port of the device server, such as "rtu+tcp://192.168.1.5:4001"')
    return _Host(url.scheme, url.hostname, 502 if url.port is None else url.port)
