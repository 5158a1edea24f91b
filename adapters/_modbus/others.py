"""Frames of another master on a line: found, remembered, and kept apart from our own answers.

A device server may hand all that comes from its bus to every client, and a bus may have a second master:
whole frames come that nobody here asked for. One of them that has the unit, the function and the length of an
open request passes for its answer. Decisions without I/O; times are seconds.
"""

import struct
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from adapters._modbus.frames import REFUSAL, Question, data_size, frame_size
from adapters._modbus.rtu import is_sealed

MASTERS = 3
"""Frames that nothing here can explain, after which it is said that another master asks."""
_REMEMBERED_S = 600.0
"""How long a length of somebody else's answers is kept clear of."""
_UNANSWERED_S = 60.0
"""How late the answer to a request may be that had none."""
_KEPT = 64
"""Frames and requests that are remembered."""
_SEED_S = 0.1
"""Taken for a unit's slowest answer before any is known."""
_FADES = 0.98
_LEAST_S = 0.05
"""A device server, or this computer, may halt for a moment."""
_READS = (1, 2, 3, 4)
_FUNCTIONS = (*_READS, 5, 6, 15, 16, 22)
_EXCEPTION = 5
_REQUEST = 8
CURE = (
    "answers come on this line that were not asked for here: another master is on it. What could be an "
    "answer to him is not believed, and readings are lost by it. Have one master only, or let the gateway "
    'speak Modbus TCP itself (host = "tcp://..."), which gives each client its own answers'
)


class Shape(NamedTuple):
    """All by which a serial answer can be known."""

    unit: int
    function: int
    size: int
    """Bytes of the frame."""


@dataclass(slots=True)
class _Asked:
    """A request of ours, which explains one frame more than its answer."""

    shape: Shape
    until: float


@dataclass(frozen=True, slots=True)
class Mark:
    """An answer that was taken, and which frames had come before its request."""

    number: int
    shape: Shape
    frame: bytes
    unit: int
    at: float


class _Extra(NamedTuple):
    number: int
    shape: Shape
    frame: bytes
    at: float


class Others:
    """Of one line; outlives the connections."""

    def __init__(self) -> None:
        self.number = 0
        """Of the last frame that was not the answer to what was open."""
        self.foreign = 0
        """Frames that no request of ours explains."""
        self.of_unit: Counter[int] = Counter()
        """The same, by the unit in them."""
        self._extras: deque[_Extra] = deque(maxlen=_KEPT)
        self._asked: deque[_Asked] = deque(maxlen=_KEPT)
        self._sent: deque[bytes] = deque(maxlen=_KEPT)
        self._taken: deque[bytes] = deque(maxlen=_KEPT)
        """Answers: copies of them are repeats, and no sign of anybody else."""
        self._theirs: dict[Shape, float] = {}
        self._slow_s: dict[int, float] = {}
        self.pending_until = 0.0
        """Somebody else was heard to ask and has no answer yet."""

    @property
    def is_told(self) -> bool:
        """There is another master."""
        return self.foreign >= MASTERS

    @property
    def is_suspected(self) -> bool:
        return self.foreign > 0

    # --- what we do -------------------------------------------------------------------------------

    def asked(self, question: Question, sent: bytes, now: float) -> int:
        """A request goes out; gives the number that stands for all that came before it."""
        self._asked.append(_Asked(shape_of(question), now + _UNANSWERED_S))
        self._sent.append(sent)
        return self.number

    def answered(self, frame: bytes, now: float, after_s: float, window_s: float) -> None:
        """Its answer was taken."""
        self._taken.append(frame)
        if self._asked:
            self._asked[-1].until = now + window_s
        unit = frame[0]
        self._slow_s[unit] = max(after_s, _FADES * self._slow_s.get(unit, _SEED_S))

    def listen_s(self, unit: int) -> float:
        """For how long after an answer the true one may come, if that was somebody else's."""
        return listening_s(self._slow_s.get(unit, _SEED_S))

    # --- what comes -------------------------------------------------------------------------------

    def heard(self, received: bytes, now: float, timeout_s: float) -> None:
        """Bytes with frames in them that are no answer to what was open."""
        for frame in frames_in(received):
            if frame not in self._sent:
                self._take(frame, now, timeout_s)

    def _take(self, frame: bytes, now: float, timeout_s: float) -> None:
        shape, is_request = _shape(frame)
        self.pending_until = now + timeout_s if is_request else 0.0
        self.number += 1
        self._extras.append(_Extra(self.number, shape, frame, now))
        if frame in self._taken or (not is_request and self._is_explained(shape, now)):
            return
        self.foreign += 1
        self.of_unit[shape.unit] += 1
        self._theirs[shape] = now + _REMEMBERED_S
        if len(self._theirs) > 8 * _KEPT:
            del self._theirs[min(self._theirs, key=self._theirs.__getitem__)]

    def _is_explained(self, shape: Shape, now: float) -> bool:
        """A request of ours may have had this as a late or a second answer; each has one at the most."""
        for asked in self._asked:
            if asked.until > now and _fits(shape, asked.shape):
                asked.until = 0.0
                return True
        return False

    # --- what follows -----------------------------------------------------------------------------

    def is_theirs(self, unit: int, function: int, size: int, now: float) -> bool:
        """Whether somebody else gets answers with so many bytes of data from this unit."""
        if not self._theirs:
            return False
        return self._theirs.get(Shape(unit, function, size + _EXCEPTION), 0.0) > now

    def sure_at(self, mark: Mark) -> float:
        """When nothing can come any more that throws a doubt on it; others that are answered delay it."""
        listen_s = self.listen_s(mark.unit)
        last = max((extra.at for extra in self._extras if extra.number > mark.number), default=0.0)
        return min(max(mark.at, last) + listen_s, mark.at + 5 * listen_s)

    def is_doubtful(self, mark: Mark) -> bool:
        """Whether a frame came since its request that could be its answer just as well."""
        return any(
            extra.number > mark.number and extra.frame != mark.frame and _fits(extra.shape, mark.shape)
            for extra in self._extras
        )


def listening_s(slowest_s: float) -> float:
    """For how long after an answer the true one may come, by the slowest answer of the unit."""
    return max(_LEAST_S, 2 * slowest_s)


def shape_of(question: Question) -> Shape:
    """What the answer to a request looks like."""
    return Shape(question.unit, question.function, 3 + question.size)


def frames_in(received: bytes) -> Iterator[bytes]:
    """The whole frames among some bytes, answers and requests."""
    at = 0
    while at + _EXCEPTION <= len(received):
        frame = _frame_at(received, at)
        if frame:
            yield frame
        at += len(frame) or 1


def _frame_at(received: bytes, at: int) -> bytes:
    unit, function = received[at], received[at + 1]
    if not 1 <= unit <= 247 or function & ~REFUSAL not in _FUNCTIONS:
        return b""
    for size in (frame_size(received[at : at + 3]), _REQUEST):
        frame = received[at : at + size]
        if size and len(frame) == size and is_sealed(frame):
            return frame
    return b""


def _shape(frame: bytes) -> tuple[Shape, bool]:
    """The answer that it is, or that it asks for, and whether it is a request."""
    function = frame[1]
    if function not in _READS or len(frame) == frame_size(frame[:3]):
        return Shape(frame[0], function, len(frame)), False
    (count,) = struct.unpack(">H", frame[4:6])
    return Shape(frame[0], function, _EXCEPTION + data_size(function, min(count, 2000))), True


def _fits(extra: Shape, asked: Shape) -> bool:
    """Whether a frame of the one shape could be the answer to a request for the other."""
    if extra.unit != asked.unit:
        return False
    return extra == asked or extra.function == asked.function | REFUSAL
