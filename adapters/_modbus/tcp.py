"""Frames of Modbus TCP: the right answer out of a stream of bytes, and nothing else.

Layout: "MODBUS Messaging on TCP/IP V1.0b", section 3.1: transaction, protocol (0), length of the rest, unit.
"""

import secrets
import struct
from typing import NamedTuple

from adapters._modbus.frames import REFUSAL, Question, WrongReply, told_size

_RECENT = 64
"""Answers so many requests old are passed over; anything else that was not asked for is wrong."""
_HEADER = struct.Struct(">HHHB")
_NAMED = (
    (2, "transaction id"), (4, "protocol id"), (6, "length"), (7, "unit"), (8, "function"), (9, "byte count")
)  # fmt: skip
_LONGEST = 260
"""Bytes of a frame."""


class Late(NamedTuple):
    """An answer to a request that was given up."""

    unit: int
    asked_at: float
    code: int
    """Of an exception; 0 of any other answer."""


class TcpFrames:
    """One connection after another: what goes out, and what comes back.

    No number is used again on a connection while it may be answered. But a gateway that puts the number of
    the newest request into whatever comes would give one request's answer to another: an answer counts only
    where it could not be that to a request of this connection which was given up and never answered.
    """

    def __init__(self) -> None:
        # Not from 1 on each connection: a gateway may still have an answer of the one before.
        self._number = secrets.randbelow(0xFFFF) + 1
        self._asked = 0
        self._question: Question | None = None
        """Whose answer is looked for."""
        self._asked_last: Question
        self._whole = 0
        self._good = b""
        self._received = b""
        self._open: dict[int, tuple[Question, float]] = {}
        """By their numbers, the requests that were not answered, and when they went out."""
        self._late: list[Late] = []
        self.stale = 0
        """Answers to older requests that had been answered, passed over in the present one."""

    @property
    def heard(self) -> int:
        """Bytes received that are not used up."""
        return len(self._received)

    @property
    def awaits(self) -> bool:
        """A request of this connection was not answered."""
        return bool(self._open)

    def ask(self, question: Question, at: float = 0.0) -> bytes:
        """The frame of a request, whose answer is looked for from now on."""
        self._number = self._number % 0xFFFF + 1
        self._asked += 1
        self._open.pop((self._number - _RECENT - 2) % 0xFFFF + 1, None)
        self._open[self._number] = question, at
        self._question, self._asked_last, self.stale = question, question, 0
        pdu = question.pdu
        self._whole = 7 + question.size if question.size else 0
        self._good = _HEADER.pack(self._number, 0, 1 + question.size, question.unit) + question.head
        return _HEADER.pack(self._number, 0, 1 + len(pdu), question.unit) + pdu

    def forget(self) -> None:
        """Of a connection that ended, nothing is left."""
        self._received, self._question = b"", None
        self._open.clear()

    def end(self) -> None:
        """No answer is looked for until the next request."""
        self._question = None

    def hear(self, data: bytes) -> bytes:
        """The answer's PDU once it is there, empty before. Raises WrongReply."""
        if not self._received and len(data) == self._whole and data.startswith(self._good):
            del self._open[self._number]
            return data[7:]
        self._received += data
        while self._pass_over():
            if self.stale > _RECENT:
                raise WrongReply("too many answers to older requests came")
        return self._answer()

    def is_doubtful(self, pdu: bytes) -> bool:
        """Whether the answer that was just given could also be that to another request."""
        asked = self._asked_last
        others = (one for one, _ in self._open.values() if (one.unit, one.pdu) != (asked.unit, asked.pdu))
        return any(_fits(one, pdu) for one in others)

    def late(self) -> list[Late]:
        """What came late and was not told yet."""
        late, self._late = self._late, []
        return late

    def clean(self) -> bool:
        """Whether what came unasked was nothing but older answers. They are forgotten."""
        while self._pass_over():
            pass
        return not self._received

    def keep(self, data: bytes) -> bool:
        """Keep what comes while no request is open; False where it is more than can be."""
        self._received += data
        return len(self._received) <= 4 * _LONGEST

    def _pass_over(self) -> bool:
        """Take one answer to an older request out of what was received."""
        received = self._received
        if len(received) < 8:
            return False
        number, protocol, length, _ = _HEADER.unpack_from(received)
        age = (self._number - number) % 0xFFFF
        oldest = min(self._asked - 1, _RECENT)
        youngest = 0 if self._question is None else 1
        if not youngest <= age <= oldest or protocol or not 3 <= length <= _LONGEST - 6:
            return False
        if len(received) < 6 + length:
            return False
        if number in self._open:
            question, asked_at = self._open[number]
            pdu = received[7 : 6 + length]
            if received[6] != question.unit or not _fits(question, pdu):
                return False
            del self._open[number]
            self._late.append(Late(question.unit, asked_at, pdu[1] if pdu[0] & REFUSAL else 0))
        else:
            self.stale += 1
        self._received = received[6 + length :]
        return True

    def _answer(self) -> bytes:
        question, received = self._question, self._received
        if question is None or not received:
            return b""
        if self._is_older_part(received):
            return b""
        size = question.size or self._told(question, received)
        if not size:
            return b""
        header = _HEADER.pack(self._number, 0, 1 + size, question.unit)
        refusal = _HEADER.pack(self._number, 0, 3, question.unit) + bytes((question.function | REFUSAL,))
        for head, whole in ((header + question.head, 7 + size), (refusal, 9)):
            if received[: len(head)] == head[: len(received)]:
                return self._taken(received, whole)
        wrong = _first_difference(received, header + question.head, refusal)
        if wrong == "unit":
            raise WrongReply(
                f"the answer is of unit {received[6]} and not of {question.unit}; if the device answers as "
                f"unit {received[6]} whatever it is asked for, that is its unit: unit = {received[6]}"
            )
        if wrong == "transaction id":
            raise WrongReply(
                f"the answer has the wrong transaction id, {int.from_bytes(received[:2], 'big')} instead of "
                f"{self._number}: is there a setting in the gateway to return the request's own (Modbus TCP "
                'requires it)? One that passes frames of RTU on is host = "rtu+tcp://..."'
            )
        raise WrongReply(f"the answer has the wrong {wrong}")

    def _taken(self, received: bytes, whole: int) -> bytes:
        frame, rest = received[:whole], received[whole:]
        if len(frame) < whole:
            return b""
        self._received = rest
        while self._received:
            if self._received.startswith(frame):
                self._received = self._received[whole:]
                self.stale += 1
            elif not self._pass_over():
                raise WrongReply("more bytes came than one answer has")
        del self._open[self._number]
        return frame[7:]

    def _is_older_part(self, received: bytes) -> bool:
        """Whether it may become an older answer; one byte says nothing yet."""
        if len(received) < 2:
            return True
        age = (self._number - int.from_bytes(received[:2], "big")) % 0xFFFF
        if not 1 <= age <= min(self._asked - 1, _RECENT) or len(received) >= _LONGEST:
            return False
        length = int.from_bytes(received[4:6], "big") if len(received) >= 6 else 3
        return b"\0\0".startswith(received[2:4]) and 3 <= length <= _LONGEST - 6

    def _told(self, question: Question, received: bytes) -> int:
        """Bytes of the PDU, of an answer that tells it itself; a refusal is 2."""
        if len(received) < 8:
            return 0
        length = int.from_bytes(received[4:6], "big")
        if received[7] == question.function | REFUSAL:
            return 2
        if not 3 <= length <= _LONGEST - 6:
            raise WrongReply("the answer has the wrong length")
        told = told_size(received[7 : 6 + length])
        if len(received) >= 6 + length and told != length - 1:
            raise WrongReply("the answer has the wrong length")
        return length - 1


def _fits(question: Question, pdu: bytes) -> bool:
    """Whether this may be the answer to it, by its form."""
    if pdu[0] == question.function | REFUSAL:
        return len(pdu) == 2
    return pdu.startswith(question.head) and len(pdu) == (question.size or len(pdu))


def _first_difference(received: bytes, good: bytes, refusal: bytes) -> str:
    same = max(_common(received, good), _common(received, refusal))
    return next((name for end, name in _NAMED if same < end), "echo of what was written")


def _common(one: bytes, other: bytes) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
