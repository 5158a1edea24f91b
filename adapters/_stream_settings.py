"""The settings of a device that speaks for itself: where it is, and how its frames are told apart."""

import ipaddress
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from adapters._frames import Framing
from edge.contract import Duration, SourceSettings, refuse

_RENUMBERED = re.compile(r"/dev/tty(USB|ACM)\d+")
_ENDPOINT = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[A-Za-z0-9._-]*)):(?P<port>\d{1,5})")
_SERIAL_ONLY = ("baud", "bits", "parity", "stop")


def _one_byte_each(text: str) -> str:
    if any(ord(character) > 255 for character in text):
        raise ValueError("each character is one byte on the wire; use characters up to \\u00ff")
    return text


def _apart(end: str | list[str]) -> str | list[str]:
    ends = _as_list(end)
    if not ends:
        raise ValueError('give at least one end, such as "\\r", or "idle"')
    for one in ends:
        if sum(one in other for other in ends) > 1:
            raise ValueError(f"the end {one!r} is also a part of another end; keep one of the two")
    return end


def _as_list(end: str | list[str]) -> list[str]:
    return [end] if isinstance(end, str) else end


def split_endpoint(text: str) -> tuple[str, int]:
    """`"10.0.0.7:4001"`, `"rig-2.plant:4001"`, `"[fe80::1]:4001"`. Raises ValueError."""
    found = _ENDPOINT.fullmatch(text)
    if found is None or not 1 <= int(found["port"]) <= 65_535:
        raise ValueError('write an address and a port, such as "10.0.0.7:4001" or "[::1]:4001"')
    return found["six"] or found["host"], int(found["port"])


def _elsewhere(text: str) -> str:
    host, _ = split_endpoint(text)
    if not host:
        raise ValueError('the address is missing; write it before the port, such as "10.0.0.7:4001"')
    return text


def _here(text: str) -> str:
    host, _ = split_endpoint(text)
    if host not in ("", "localhost") and _address(host) is None:
        raise ValueError("write an address of this machine in digits, not a name")
    return text


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


Bytes = Annotated[str, Field(max_length=64), AfterValidator(_one_byte_each)]
End = Annotated[str, Field(min_length=1, max_length=8), AfterValidator(_one_byte_each)]
Begin = Annotated[str, Field(max_length=8), AfterValidator(_one_byte_each)]


class StreamSettings(SourceSettings):
    """Where the device is: on a serial port, or at either end of a TCP connection."""

    port: str | None = Field(default=None, pattern="^/")
    """The device's file; best its name under /dev/serial/by-id/, which outlives a reboot."""
    connect: Annotated[str, AfterValidator(_elsewhere)] | None = None
    """Address and port of the device, or of the serial device server that it hangs on."""
    listen: Annotated[str, AfterValidator(_here)] | None = None
    """Address and port of this machine that the device connects to; `":4001"` is on the loopback only."""
    timeout: Duration = timedelta(seconds=5)
    """How long `connect` may take."""
    baud: int = Field(default=9600, ge=50, le=4_000_000)
    """Bits a second."""
    bits: Literal[7, 8] = 8
    """Data bits of a character."""
    parity: Literal["none", "even", "odd", "mark", "space"] = "none"
    """What the parity bit is, if there is one."""
    stop: Literal[1, 2] = 1
    """Stop bits."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """Once for all that inherit it, so that all faults are told together."""
        refuse(*self.clashes())
        return self

    def clashes(self) -> Iterator[str]:
        """What of it cannot be together, a sentence each."""
        places = [self.port, self.connect, self.listen]
        foreign = [name for name in _SERIAL_ONLY if name in self.model_fields_set and self.port is None]
        if sum(one is not None for one in places) != 1:
            yield "give exactly one of port (serial), connect and listen (TCP)"
        if foreign:
            yield f"{', '.join(foreign)}: of a serial port only; a device server has its own"

    @property
    def place(self) -> str:
        """The device's file, or the address that is connected to or listened at."""
        return self.port or self.connect or f"{self.listening[0]}:{self.listening[1]}"

    @property
    def listening(self) -> tuple[str, int]:
        """Where to listen, of `listen`."""
        host, port = split_endpoint(self.listen or ":1")
        return ("127.0.0.1" if host in ("", "localhost") else host), port

    def owns(self) -> list[str]:
        """The port or the connection: two readers would steal each other's bytes."""
        return [self.place if self.port else f"tcp {self.place}"]

    def warnings(self) -> list[str]:
        """What is allowed but unwise, a sentence each."""
        if self.port is not None and _RENUMBERED.fullmatch(self.port):
            return [
                f"{self.port} may name another device after a reboot or a replug; "
                "use the device's name under /dev/serial/by-id/"
            ]
        address = _address(self.listening[0]) if self.listen is not None else None
        if address is not None and not address.is_loopback:
            return [f"whoever reaches {self.place} can speak as this device; keep others out of that network"]
        return []


class LineSettings(StreamSettings):
    """Where the device is and how its frames are told apart."""

    begin: Begin = ""
    """What a frame begins with: a prefix, STX. Empty: it begins where the last one ended."""
    end: Annotated[End | list[End], AfterValidator(_apart)] = Field(default=["\r", "\n"])
    """What ends a frame: one text, a list of which any one does, or `"idle"`: a pause of `idle`."""
    trailer: int = Field(default=0, ge=0, le=64)
    """So many bytes after the end belong to the frame, whatever they are: a checksum."""
    singles: Annotated[str, Field(max_length=16), AfterValidator(_one_byte_each)] = ""
    """Each of these bytes is a frame of its own where one could begin, such as ENQ and EOT."""
    longest: int = Field(default=512, ge=1, le=65_536)
    """Bytes of a frame at the most, without its begin, end and trailer."""
    idle: Duration = timedelta(milliseconds=300)
    """A frame without an end is given up after so long without a byte."""

    def clashes(self) -> Iterator[str]:
        """What of it cannot be together, a sentence each."""
        yield from super().clashes()
        ends = [] if self.end == "idle" else _as_list(self.end)
        clash = next((one for one in ends if self.begin and (one in self.begin or self.begin in one)), None)
        starts = "".join(ends) + self.begin
        mixed = next((one for one in self.singles if one in starts or one == "\0"), None)
        if clash is not None:
            yield f"begin {self.begin!r} and end {clash!r} cannot be told apart"
        if mixed is not None:
            yield f"singles: {mixed!r} is also in begin or end, or is NUL"
        if self.trailer and not ends:
            yield "a trailer comes after an end, and a pause is none"

    def ends(self) -> list[bytes]:
        """The ends as they are on the wire; none where a pause is the end."""
        return [] if self.end == "idle" else [end.encode("latin-1") for end in _as_list(self.end)]

    def framing(self) -> Framing:
        """How the frames are cut."""
        return Framing(
            self.ends(), self.longest, self.idle.total_seconds(),
            begin=self.begin.encode("latin-1"), trailer=self.trailer, singles=self.singles.encode("latin-1"),
        )  # fmt: skip
