"""What a frame of a rig means in its conversation, and what is due for it; no port, no clock, no await."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Protocol, Self

from pydantic import Field, model_validator

from adapters._frames import BEGUN_AGAIN, Frame
from adapters._rig_checksum import Checksum, Framed, checked, has_mark
from adapters._rig_format import LONGEST_LINE, Pattern, ResultFormat, compiled
from adapters._rig_messages import Broken
from adapters._rig_parse import Parsed, parse_each
from edge.contract import Duration, TestResult, refuse
from edge.contract import Settings as Table
from edge.plural import counted

ENQ, EOT = "\x05", "\x04"
_MOST_LINES = 500
_MOST_BYTES = 65_536


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

    @model_validator(mode="after")
    def _ends(self) -> Self:
        refuse("give either count or last" if (self.count is None) == (self.last is None) else "")
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

    def take(self, frame: Frame, now_s: float) -> list[Turn]:
        """Take the next frame. ENQ is answered; other single bytes say nothing of their own."""
        if frame.kind == "single":
            return [Turn((), Due.CONFIRM if frame.raw == ENQ.encode() else Due.NOTHING)]
        if frame.kind == "noise" or frame.broken == BEGUN_AGAIN:  # nobody waits for an answer to either
            return [_broken(frame.raw, frame.broken, Due.NOTHING)]
        try:
            body = frame.raw if frame.broken else self._checked(frame)
        except Broken as error:
            frame = Frame(frame.raw, str(error))
            body = frame.raw
        if self._gatherer:
            gathered = self._gatherer.take(Frame(body, frame.broken), now_s)
            return [turn for one in gathered for turn in self._read(one)]
        return self._read(Frame(body, frame.broken))

    def expire(self, now_s: float) -> list[Turn]:
        """Give up what has waited too long for its rest."""
        return [
            turn
            for one in (self._gatherer.expire(now_s) if self._gatherer else [])
            for turn in self._read(one)
        ]

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

    @property
    def due_s(self) -> float | None:
        return self._last_s + self._settings.within.total_seconds() if self._lines else None

    def take(self, line: Frame, now_s: float) -> list[Frame]:
        """The results that are complete with this line, and what is broken."""
        gathered: list[Frame] = []
        settings = self._settings
        if settings.first is not None and not line.broken:
            begins = self._matches(settings.first, line.raw)
            if begins and self._lines:
                gathered += self._given_up("cut: another result began before its last line")
            if not begins and not self._lines:
                return [Frame(line.raw, "a line outside of a result; see `gather`", kind="noise")]
        self._lines.append(line.raw)
        self._broken = self._broken or line.broken
        self._last_s = now_s
        if self._is_last(line):
            gathered.append(self._closed())
        elif len(self._lines) >= _MOST_LINES or sum(map(len, self._lines)) > _MOST_BYTES:
            gathered += self._given_up("too many lines without a last one; see `gather`")
        return gathered

    def expire(self, now_s: float) -> list[Frame]:
        """Give up a result whose next line is overdue."""
        if self.due_s is None or now_s < self.due_s:
            return []
        within_s = self._settings.within.total_seconds()
        return self._given_up(
            f"cut: after {counted(len(self._lines), 'line')} nothing came for {within_s:g} s"
        )

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
        self._broken = self._broken or reason
        return [self._closed()]


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


class Answered:
    """What was confirmed last, to know a copy that was sent before the rig could hear it.

    A rig that lost patience sends the same again. Where its copy and the ACK crossed on the wire, a second
    ACK would be taken for that of the next result, before that is on disk.
    """

    MARGIN_S = 0.2

    def __init__(self, baud: int) -> None:
        self._byte_s = 11 / baud
        self._frame: Frame | None = None
        self._at_s = 0.0

    def confirmed(self, frame: Frame | None, now_s: float) -> None:
        """Of the frame; None: what was answered last was no confirmed result."""
        self._frame, self._at_s = frame, now_s

    def crossed(self, frame: Frame, now_s: float) -> bool:
        """True where this was on its way when the same frame was confirmed. The next copy is answered."""
        transit_s = self.MARGIN_S + len(frame.raw) * self._byte_s
        return frame == self._frame and now_s - self._at_s < transit_s


class Asker:
    """When to ask, and when to give up a device that does not answer. In seconds of a steady clock."""

    TRIES = 3

    def __init__(self, every_s: float, patience_s: float, now_s: float) -> None:
        """`patience_s`: so long an answer may take."""
        self._every_s = every_s
        self._patience_s = patience_s
        self._asked_s = now_s
        self._unanswered = 0
        self.due_s = now_s

    def asked(self, now_s: float) -> None:
        """The next one is due when this was answered, or will never be."""
        self._asked_s = now_s
        self._unanswered += 1
        self.due_s = now_s + max(self._every_s, self._patience_s)

    def heard(self) -> None:
        """Anything at all came."""
        self._unanswered = 0
        self.due_s = min(self.due_s, self._asked_s + self._every_s)

    def is_due(self, now_s: float) -> bool:
        return now_s >= self.due_s

    @property
    def in_vain(self) -> bool:
        """True where the next one would be as useless as those before."""
        return self._unanswered >= self.TRIES
