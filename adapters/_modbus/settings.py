"""`[source.NAME]` of a Modbus line: where its devices are, and how they are to be asked."""

from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from adapters._modbus.lines import Parity, SerialLine, TcpLine
from edge.contract import Duration, SourceSettings, refuse


class Settings(SourceSettings):
    """`[source.NAME]` with `type = "modbus"`: one device, one gateway or one serial bus."""

    host: str | None = None
    """`tcp://ADDRESS` or `tcp://ADDRESS:PORT` (502 where none is given) for Modbus TCP."""
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
    max_registers: int = Field(default=100, ge=4, le=125)
    """Registers in one request at the most; sixteen times as many coils."""
    max_gap: int = Field(default=8, ge=0, le=121)
    """Registers that nobody wants, read along in order to save a request; sixteen times as many coils."""

    def owns(self) -> list[str]:
        """The serial port, or the one connection that many devices allow."""
        return [self.port] if self.port else [str(_tcp_line(str(self.host)))]

    @field_validator("host")
    @classmethod
    def _parsed(cls, value: str | None) -> str | None:
        if value is not None:
            _tcp_line(value)
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
        serial_only = sorted(self.model_fields_set & {"baud", "parity", "stop_bits", "worst_answer"})
        serial_only = serial_only if self.host is not None else []
        refuse(
            "" if one else "give either host (Modbus TCP) or port (a serial port)",
            f"{', '.join(serial_only)} belong to a serial port, not to host" if serial_only else "",
        )
        return self

    def line(self) -> TcpLine | SerialLine:
        """Where the devices are."""
        if self.host is not None:
            return _tcp_line(self.host)
        return SerialLine(str(self.port), self.baud, self.parity, self.stop_bits)


def _tcp_line(text: str) -> TcpLine:
    url = urlsplit(text)
    if url.scheme != "tcp" or not url.hostname or url.username is not None or url.path or url.query:
        raise ValueError('write "tcp://ADDRESS:PORT", such as "tcp://192.168.1.5:502"')
    if url.port == 0:
        raise ValueError("port 0 cannot be connected to")
    return TcpLine(url.hostname, 502 if url.port is None else url.port)
