"""What a frame of a rig means in its conversation, and what is due for it; no port, no clock, no await."""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Literal, Protocol, Self

from pydantic import Field, model_validator

from adapters._frames import BEGUN_AGAIN, Frame
from adapters._rig_checksum import Checksum, Framed, checked, has_mark
from adapters._rig_format import ResultFormat
from adapters._rig_keys import LONGEST_LINE, Pattern, compiled
from adapters._rig_messages import Broken
from adapters._rig_parse import Parsed, parse_each
from edge.contract import Duration, TestResult, refuse
from edge.contract import Settings as Table
from edge.plural import counted

ENQ, EOT = "\x05", "\x04"
_ETB = b"\x17"
"""Ends a frame whose text goes on in the next one (ASTM E1381)."""
_NUMBERS = [b"%d" % one for one in range(8)]
_MOST_LINES = 500
_MOST_BYTES = 65_536
_QUICK_BYTES = 1_024
"""Text that is read within a millisecond on a small machine."""


class Gather(Table):
    """`gather = { ... }`: a result of several frames, a line each."""

    count: int | None = Field(default=None, ge=2, le=_MOST_LINES)
    """So many lines are a result."""
    first: Pattern | None = None
    """The first line of a result."""
    last: Pattern | None = None
    """The last line of a result."""
    within: Duration = timedelta(seconds=2)
    """A result whose next line does not come in so long a time is given up."""
    answer: Literal["last", "each"] = "last"
    """`each`: every frame is answered, as in ASTM E1381; only the last ACK says that it is on disk."""
    numbered: bool = False
    """A frame begins with its number, 0 to 7: one that comes again is known, and the number is taken off."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        refuse(
            "give either count or last" if (self.count is None) == (self.last is None) else "",
            'numbered needs answer = "each": a frame comes again where it was not answered'
            if self.numbered and self.answer != "each" else "",
        )  # fmt: skip
        return self


class Load(Table):
    """`load = { ... }`: of a scale that is read all the time, one result each time something is put on it."""

    step: str
    """The name of the step that is the weight."""
    above: float = Field(allow_inf_nan=False)
    """From here on something is on it."""
    below: float = Field(allow_inf_nan=False)
    """Up to here nothing is on it any more."""
    steady: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Two readings in a row differ by no more than this once it has come to rest."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        refuse("below must be less than above" if self.below >= self.above else "")
        return self


class Due(Enum):
    """What is to be answered."""

    NOTHING = auto()
    CONFIRM = auto()
    REFUSE = auto()
    VERDICT = auto()
    """Confirm if all of it was recorded, else refuse."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a frame comes to."""

    results: tuple[Parsed, ...]
    """To be handed over: results, and what is broken."""
    due: Due
    raw: bytes = b""
    """The frame, to be shown where it is broken."""


def says_something(frame: Frame) -> bool:
    """Whether a rig that sent this may wait for its answer: also where it was damaged.

    EOT and the like are no question, nor are the control characters that some rigs put between frames.
    """
    if frame.kind == "single":
        return frame.raw == ENQ.encode()
    return frame.kind == "frame" or max(frame.raw, default=0) > 0x20


class Conversation(Protocol):
    """What of the settings matters here."""

    @property
    def begin_bytes(self) -> bytes: ...
    @property
    def sum(self) -> Checksum | None: ...
    @property
    def sum_may_lack(self) -> bool: ...
    @property
    def message(self) -> ResultFormat: ...
    @property
    def gather(self) -> Gather | None: ...
    @property
    def load(self) -> Load | None: ...


class Talk:
    """One connection to a rig."""

    def __init__(self, settings: Conversation) -> None:
        self._settings = settings
        self._gatherer = Gatherer(settings.gather, settings.message.encoding) if settings.gather else None
        self._loads = Loads(settings.load) if settings.load else None

    @property
    def due_s(self) -> float | None:
        """When `expire` has something to say, on the clock that `take` is told."""
        return self._gatherer.due_s if self._gatherer else None

    def takes_long(self, frame: Frame) -> bool:
        """Whether `take` had better be called in a thread: it may take milliseconds."""
        return len(frame.raw) + (self._gatherer.size if self._gatherer else 0) > _QUICK_BYTES

    def take(self, frame: Frame, now_s: float) -> list[Turn]:
        """Take the next frame. ENQ is answered; other single bytes say nothing of their own."""
        if frame.kind == "single":
            return [*self._left(), Turn((), Due.CONFIRM if frame.raw == ENQ.encode() else Due.NOTHING)]
        if frame.kind == "noise" or frame.broken == BEGUN_AGAIN:  # nobody waits for an answer to either
            return [_broken(frame.raw, frame.broken, Due.NOTHING)]
        try:
            body = frame.raw if frame.broken else self._checked(frame)
        except Broken as error:
            frame = Frame(frame.raw, str(error))
            body = frame.raw
        if self._gatherer and frame.broken and self._gatherer.answers_each:
            return self._read(frame)  # it is sent again; what came before it stays
        if self._gatherer:
            gathered = self._gatherer.take(Frame(body, frame.broken, end=frame.end), now_s)
            turns = [turn for one in gathered for turn in self._read(one)]
            if self._gatherer.answers_each and all(one.due is Due.NOTHING for one in turns):
                turns.append(Turn((), Due.CONFIRM))
            return turns
        return self._read(Frame(body, frame.broken))

    def expire(self, now_s: float) -> list[Turn]:
        """Give up what has waited too long for its rest."""
        return [
            turn
            for one in (self._gatherer.expire(now_s) if self._gatherer else [])
            for turn in self._read(one)
        ]

    def _left(self) -> list[Turn]:
        """What a rig leaves behind unfinished that answers each frame and begins anew, or ends."""
        if self._gatherer is None or not self._gatherer.answers_each:
            return []
        return [_broken(one.raw, one.broken, Due.NOTHING) for one in self._gatherer.left()]

    def _checked(self, frame: Frame) -> bytes:
        kind = self._settings.sum
        if kind is None or (self._settings.sum_may_lack and not has_mark(kind, frame.raw)):
            return frame.raw
        return checked(kind, Framed(self._settings.begin_bytes, frame.raw, frame.end, frame.trailer))

    def _read(self, frame: Frame) -> list[Turn]:
        if frame.broken:
            return [_broken(frame.raw, frame.broken, Due.REFUSE if frame.kind == "frame" else Due.NOTHING)]
        try:
            found = parse_each(self._settings.message, frame.raw)
        except Broken as error:
            return [_broken(frame.raw, str(error), Due.REFUSE)]
        results = tuple(one for one in found if self._counts(one.result))
        return [Turn(results, Due.VERDICT if results else Due.CONFIRM, frame.raw)]

    def _counts(self, result: TestResult | None) -> bool:
        return self._loads is None or result is None or self._loads.take(result)


def _broken(raw: bytes, reason: str, due: Due) -> Turn:
    return Turn((Parsed("", None, reason),), due, raw)


class Gatherer:
    """Lines to results. Holds `_MOST_LINES` and `_MOST_BYTES` at the most."""

    def __init__(self, settings: Gather, encoding: str) -> None:
        self._settings = settings
        self._encoding = encoding
        self._lines: list[bytes] = []
        self._broken = ""
        self._last_s = 0.0
        self._frame: Frame | None = None
        """The one that came last, while it may come again."""
        self._result: Frame | None = None
        """What it completed."""
        self._continued = False
        self.answers_each = settings.answer == "each"

    @property
    def due_s(self) -> float | None:
        return self._last_s + self._settings.within.total_seconds() if self._lines else None

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return sum(map(len, self._lines))

    def take(self, line: Frame, now_s: float) -> list[Frame]:
        """The results that are complete with this line, and what is broken."""
        return self._take_each(line, now_s) if self.answers_each else self._take_line(line, now_s)

    def _take_each(self, frame: Frame, now_s: float) -> list[Frame]:
        """The same where every frame is answered: what is no noise is the answer to this one."""
        if frame == self._frame:  # its answer was lost, or was a refusal
            return [self._result] if self._result else []
        if self._settings.numbered and (fault := self._misnumbered(frame)):
            return [Frame(frame.raw, fault)]
        text = frame.raw[self._settings.numbered :].rstrip(b"\r\n")
        if self._continued and self._lines:
            text = self._lines.pop() + text
        self._continued = frame.end == _ETB
        if self._continued and self._lines:
            self._lines.append(text)
            self._frame, self._last_s = frame, now_s
            return self._bounded()
        gathered = self._take_line(Frame(text), now_s)
        if any(one.kind == "frame" and one.broken for one in gathered):
            return gathered
        self._frame = frame
        self._result = next((one for one in gathered if not one.broken), None)
        return gathered

    def _take_line(self, line: Frame, now_s: float) -> list[Frame]:
        gathered: list[Frame] = []
        settings = self._settings
        if settings.first is not None and not line.broken:
            begins = self._matches(settings.first, line.raw)
            if begins and self._lines:
                gathered += self._given_up("cut: another result began before its last line")
            if not begins and not self._lines:
                outside = Frame(line.raw, "a line outside of a result; see `gather`", kind="noise")
                return [replace(outside, kind="frame") if self.answers_each else outside]
        self._lines.append(line.raw)
        self._broken = self._broken or line.broken
        self._last_s = now_s
        if not self._continued and self._is_last(line):
            return [*gathered, self._closed()]
        return gathered + self._bounded()

    def _bounded(self) -> list[Frame]:
        if len(self._lines) < _MOST_LINES and self.size <= _MOST_BYTES:
            return []
        [given_up] = self._given_up("too many lines without a last one; see `gather`")
        return [replace(given_up, kind="frame")]

    def expire(self, now_s: float) -> list[Frame]:
        """Give up a result whose next line is overdue."""
        if self.due_s is None or now_s < self.due_s:
            return []
        within_s = self._settings.within.total_seconds()
        return self._given_up(
            f"cut: after {counted(len(self._lines), 'line')} nothing came for {within_s:g} s"
        )

    def left(self) -> list[Frame]:
        """Give up what is unfinished; no frame comes again after this."""
        self._forget()
        return self._given_up("cut: the rig ended before the last line; see `gather`") if self._lines else []

    def _misnumbered(self, line: Frame) -> str:
        """Why this is not the frame that follows the last one; the first of a transmission has any number."""
        number = line.raw[:1]
        if number not in _NUMBERS:
            return "a frame without its number; see `numbered`"
        before = self._frame.raw[:1] if self._frame else None
        wanted = None if before is None else _NUMBERS[(_NUMBERS.index(before) + 1) % 8]
        if wanted in (None, number):
            return ""
        return f"frame {number.decode()} came in the place of {(wanted or b'').decode()}"

    def _is_last(self, line: Frame) -> bool:
        if self._settings.last is None:
            return len(self._lines) == self._settings.count
        return not line.broken and self._matches(self._settings.last, line.raw)

    def _matches(self, pattern: str, line: bytes) -> bool:
        text = line.decode(self._encoding, "replace")
        return len(text) <= LONGEST_LINE and compiled(pattern).fullmatch(text) is not None

    def _closed(self) -> Frame:
        frame = Frame(b"\n".join(self._lines), self._broken)
        self._lines, self._broken = [], ""
        return frame

    def _given_up(self, reason: str) -> list[Frame]:
        """Nobody waits for an answer to it where each frame was answered."""
        self._broken = self._broken or reason
        self._forget()
        return [replace(self._closed(), kind="noise" if self.answers_each else "frame")]

    def _forget(self) -> None:
        self._frame = self._result = None
        self._continued = False


class _Pan(Enum):
    EMPTY = auto()
    MOVING = auto()
    TAKEN = auto()


class Loads:
    """Says of each weight whether it is the one of a new load.

    What is on the scale when the connection is made may have counted before it, so it does not count: who
    put it there sees that and can put it on again.
    """

    def __init__(self, settings: Load) -> None:
        self._settings = settings
        self._pan = _Pan.TAKEN
        self._last = 0.0

    def take(self, result: TestResult) -> bool:
        """True for one weight of each load, once it has come to rest."""
        weight = next((one.value for one in result.steps if one.name == self._settings.step), None)
        if weight is None:
            return False
        before, self._last = self._last, weight
        if weight <= self._settings.below:
            self._pan = _Pan.EMPTY
        elif weight >= self._settings.above and self._pan is not _Pan.TAKEN:
            rests = self._pan is _Pan.MOVING and abs(weight - before) <= self._settings.steady
            self._pan = _Pan.TAKEN if rests else _Pan.MOVING
            return rests
        return False
