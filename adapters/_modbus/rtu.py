"""Frames of Modbus RTU: the right answer among the bytes of a line, and nothing else.

Layout and checksum: "MODBUS over Serial Line V1.02", section 2.5.1 and appendix B. A frame has no number, and
no delimiter but silence. So what is looked at is all that came since the request, once the line is silent.

The checksum finds every burst of up to 16 bits in a frame that is looked at as a whole. Of bytes that are not
a frame one in 65,536 passes, so such looks are few: only where a frame begins with the unit, the function and
the length that are waited for, and then only behind a little noise, as a driver makes that is switched on.
"""

from dataclasses import dataclass

from adapters._modbus.frames import REFUSAL, Question, WrongReply, frame_size, told_size
from adapters._modbus.library import crc

NOISE = 16
"""Bytes before an answer that are forgiven."""
AFTER = 2
"""Bytes after it."""
LONGEST = 256
"""Bytes of a frame."""


def is_sealed(frame: bytes) -> bool:
    """Whether its checksum is right."""
    return frame[-2:] == crc(frame[:-2])


def sealed(body: bytes) -> bytes:
    """A frame: unit and PDU, and their checksum, the low byte first."""
    return body + crc(body)


@dataclass(frozen=True, slots=True)
class Look:
    """What the bytes on a line are, as far as they came."""

    pdu: bytes = b""
    """Of the answer, once it is there."""
    is_enough: bool = False
    """So many bytes came that an answer would be there, and it is not."""
    others: int = 0
    """Whole frames that are no answer to this, or copies of the answer."""
    noise: int = 0
    """Bytes around the answer; where there is none, those that are in no whole frame, as far as they were
    looked at."""
    end: int = 0
    """Bytes up to the answer's last."""
    echo: bool = False
    """The line's own request came back before anything else."""


def look(question: Question, sent: bytes, received: bytes, *, echoes: bool) -> Look:
    """Find the answer to the request `sent` in all that was received since.

    `echoes` where the line is known to give back what is sent: then that does not pass for an answer.
    """
    at, noise, others, echo = 0, 0, 0, False
    if received.startswith(sent) and (echoes or question.reads):
        at, echo = len(sent), True
    begin = at
    while noise <= NOISE and at < len(received):
        if answer := _answer(question, received, at):
            return _taken(received, at, answer, Look(others=others, noise=noise, echo=echo))
        # What a frame of somebody else holds may look like one that is waited for.
        other = _whole(received, at)
        at, others, noise = at + (len(other) or 1), others + bool(other), noise + (not other)
    is_enough = len(received) - begin >= 3 + max(question.size, 2)
    return Look(is_enough=is_enough, others=others, noise=noise, echo=echo)


def is_speech(stray: bytes, unit: int, function: int) -> bool:
    """Whether bytes that nobody asked for are somebody's answer and not only noise."""
    begins = stray[:2] == bytes((unit, function))
    return begins or any(_whole(stray, at) for at in range(min(len(stray), NOISE + 1)))


def _taken(received: bytes, at: int, frame: bytes, so_far: Look) -> Look:
    """The answer, if what follows it is at most noise or whole frames."""
    end, others = at + len(frame), so_far.others
    while extra := _whole(received, end):
        end, others = end + len(extra), others + 1
    rest = len(received) - end
    if rest > AFTER:
        return Look(is_enough=True, others=others, echo=so_far.echo)
    return Look(frame[1:-2], True, others, so_far.noise + rest, at + len(frame), so_far.echo)


def _whole(received: bytes, at: int) -> bytes:
    """The whole frame at this place, whatever it says; empty where there is none."""
    head = received[at : at + 3]
    size = frame_size(head)
    frame = received[at : at + size]
    return frame if size and len(frame) == size and is_sealed(frame) else b""


def _answer(question: Question, received: bytes, at: int) -> bytes:
    """The frame at this place, if it is the whole answer."""
    size = 2 if received[at + 1 : at + 2] == bytes((question.function | REFUSAL,)) else question.size
    if not size:
        try:
            size = told_size(received[at + 1 :])
        except WrongReply:
            return b""
    frame = received[at : at + 3 + size]
    return frame if size and len(frame) == 3 + size and _fits(question, frame) and is_sealed(frame) else b""


def _fits(question: Question, frame: bytes) -> bool:
    """Whether it is of this unit and function, and as long as the answer has to be, or a refusal of it."""
    if frame[0] != question.unit:
        return False
    if frame[1] == question.function | REFUSAL:
        return len(frame) == 5
    if question.size and len(frame) != 3 + question.size:
        return False
    return frame[1 : 1 + len(question.head)] == question.head
