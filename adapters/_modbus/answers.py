"""What comes of a request."""

from dataclasses import dataclass
from typing import NamedTuple

from adapters._modbus.codec import Cells
from adapters._modbus.others import Mark


class NoAnswer(Exception):
    """A request got no answer, or one that was not to it."""

    def __init__(self, why: str, *, late: bool = True) -> None:
        super().__init__(why)
        self.late = late
        """An answer may still come."""


class Closed(NoAnswer):
    """The far end closed the connection and had not begun to answer."""


class Reply(NamedTuple):
    """The cells that were asked for."""

    cells: Cells
    """As many registers as were asked for; of bits at least as many."""
    at: float
    """When the last byte of the answer came, in the event loop's time."""
    mark: Mark | None = None
    """Serial: to be looked at again, for another master's answer could have been taken."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The unit answers with an exception."""

    code: int
    at: float = 0.0


class Answer(NamedTuple):
    """The PDU of an answer, an exception's too."""

    pdu: bytes
    at: float
    after_s: float
    """From the request to the last byte."""

    @property
    def code(self) -> int:
        """Of an exception; 0 of any other answer."""
        return self.pdu[1] if self.pdu[0] & 0x80 else 0
