"""Bytes of a line to frames; no port, no clock, no await."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

TOO_LONG = "longer than {longest} bytes without an end; is `end` what the device sends?"
NO_END = "cut: no end came within {idle_ms} ms of the last byte; does the device send `end`?"
NO_TRAILER = "cut: {count} of {trailer} bytes of `trailer` came after its end"
BEGUN_AGAIN = "cut: another frame began before its end"
NOISE = "bytes outside of a frame; is `begin` what the device sends?"
DOUBTFUL = "the agent was too busy to tell whether this is one frame or two"
DAMAGED = "a byte was damaged on the wire; check the cable, `baud`, `bits` and `parity`"
HUNG_UP = "cut: the line hung up in the middle"
_SHOWN_BYTES = 160


@dataclass(frozen=True, slots=True)
class Framing:
    """How the frames of a line are told apart: see `Framer`."""

    ends: Sequence[bytes]
    """Any of these ends a frame, and none is a part of another. None at all: a pause ends it."""
    longest: int
    """Bytes of a frame at the most, without begin, end and trailer."""
    idle_s: float
    """A pause: what is unfinished then is given up, or is whole where there are no ends."""
    begin: bytes = b""
    """What a frame begins with; empty: it begins where the last one ended."""
    trailer: int = 0
    """So many bytes after the end belong to the frame, whatever they are: a checksum."""
    singles: bytes = b""
    """Each of these bytes is a frame of its own where one could begin: ENQ, EOT, ACK, NAK."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What stood between the begin and the end, without both; or what is left of a broken frame."""

    raw: bytes
    broken: str = ""
    """Why it must not be believed; empty for a whole frame."""
    trailer: bytes = b""
    """What followed the end: `Framing.trailer` bytes of any value."""
    end: bytes = b""
    """The end that was found."""
    kind: Literal["frame", "single", "noise"] = "frame"
    """`single`: `raw` is one of `Framing.singles`. `noise`: it came outside of any frame; always broken."""


class _At(Enum):
    OUTSIDE = auto()
    """Before a begin."""
    INSIDE = auto()
    TRAILER = auto()
    """Behind the end of the frame that is kept."""
    SKIPPED = auto()
    """In a frame that was given up."""
    SKIPPED_TRAILER = auto()
    DEAF = auto()
    """Nothing counts before the next begin."""


class Framer:
    """Cuts a stream of bytes into frames; holds `longest` bytes, a part of an end and a trailer at most.

    What comes out depends on the bytes and the pauses between them, not on how they were
    chunked. After a frame that was too long or doubtful the rest of it, up to the next end or
    pause, is skipped: the tail of a label must not pass for a label.

    A begin of control characters occurs in no text: where one is found inside a frame, that frame
    was cut and the next one begins. CR and LF between an end and a begin are no noise.
    """

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._again = framing.begin if framing.begin and max(framing.begin) < 0x20 else b""
        marks = [*framing.ends, *([self._again] if self._again else [])]
        singles = [bytes([one]) for one in framing.singles]
        self._marks = _any_of(marks)
        self._starts = _any_of([framing.begin, *singles] if framing.begin else singles)
        self._begins = _any_of([framing.begin] if framing.begin else [])
        self._mark_overlap = max(map(len, marks), default=1) - 1
        self._begin_overlap = max(len(framing.begin) - 1, 0)
        self._blank = bytes(set(b"\r\n") - set(framing.begin + framing.singles))
        self._base = _At.OUTSIDE if framing.begin else _At.INSIDE
        self._at = self._base
        self._held = bytearray()
        self._searched = 0
        self._kept = Frame(b"")
        self._last_s = 0.0

    @property
    def unfinished(self) -> bool:
        """True while a pause would mean something."""
        return self._at is not self._base or bool(self._held)

    def begun(self) -> list[Frame]:
        """What is unfinished, so that it is known that there is something: as noise where no begin came.

        The rest of a frame that was given up, and told, is nothing new.
        """
        if not self.unfinished or self._at in (_At.SKIPPED, _At.SKIPPED_TRAILER):
            return []
        return [Frame(bytes(self._held), NOISE, kind="noise" if self._at is self._base else "frame")]

    def feed(self, data: bytes, now_s: float, *, blind: bool = False) -> list[Frame]:
        """Take what was read at `now_s`, on any steady clock.

        Bytes that come `idle_s` after the last without `expire` in between were read late:
        whether there was a pause is unknown, so nothing of that frame is believed. `blind` says
        that nobody would have seen a pause among these bytes: it matters where a pause is the end.
        """
        frames = self._doubted() if now_s - self._last_s >= self._framing.idle_s else []
        self._last_s = now_s
        self._held += data
        if blind and not self._framing.ends:
            return frames + self._blinded()
        while (found := self._step()) is not None:
            frames += found
        return frames

    def expire(self, now_s: float) -> list[Frame]:
        """Say that nothing is there to be read: what is held ends, or is given up, when `idle_s` old."""
        if now_s - self._last_s < self._framing.idle_s:
            return []
        if self._at is _At.INSIDE and not self._framing.ends:
            whole = self._whole(Frame(bytes(self._held)))
            self._restart()
            return whole
        if self._at is _At.TRAILER:
            return self.abandon(NO_TRAILER.format(count=len(self._held), trailer=self._framing.trailer))
        return self.abandon(NO_END.format(idle_ms=round(self._framing.idle_s * 1000)))

    def abandon(self, reason: str) -> list[Frame]:
        """Give up what is held, and begin afresh."""
        frames = self._given_up(reason)
        self._restart()
        return frames

    def skip(self) -> None:
        """Believe nothing before the next begin, end or pause."""
        if self._framing.begin:
            self._turn(_At.DEAF, self._begin_overlap)
        else:
            self._turn(_At.SKIPPED, self._mark_overlap)

    # --- steps: each gives what it found, or None when it needs more bytes ---

    def _step(self) -> list[Frame] | None:
        match self._at:
            case _At.OUTSIDE:
                return self._outside()
            case _At.DEAF:
                return self._deaf()
            case _At.INSIDE:
                return self._inside()
            case _At.SKIPPED:
                return self._skipped()
            case _At.TRAILER | _At.SKIPPED_TRAILER:
                return self._trailed()

    def _outside(self) -> list[Frame] | None:
        if not self._searched:
            del self._held[: len(self._held) - len(self._held.lstrip(self._blank))]
        found = self._starts.search(self._held, self._searched)
        if found is None:
            if len(self._held) <= self._framing.longest + self._begin_overlap:
                self._searched = max(0, len(self._held) - self._begin_overlap)
                return None
            return self._too_noisy(len(self._held) - self._begin_overlap)
        if found.start() > self._framing.longest:
            return self._too_noisy(found.start())
        frames = self._noise(found.start())
        if found[0] == self._framing.begin:
            self._at = _At.INSIDE
        else:
            frames.append(Frame(found[0], kind="single"))
        self._drop(found.end())
        return frames

    def _too_noisy(self, size: int) -> list[Frame]:
        frames = self._noise(size)
        self._drop(size)
        self._at = _At.DEAF
        return frames

    def _deaf(self) -> list[Frame] | None:
        found = self._begins.search(self._held)
        if found is None:
            self._turn(_At.DEAF, self._begin_overlap)
            return None
        self._drop(found.end())
        self._at = _At.INSIDE
        return []

    def _inside(self) -> list[Frame] | None:
        if self._base is _At.INSIDE and self._held[:1] and self._held[0] in self._framing.singles:
            return self._single()
        found = self._marks.search(self._held, self._searched)
        if found is None:
            self._searched = max(0, len(self._held) - self._mark_overlap)
            return self._too_long() if self._searched > self._framing.longest else None
        frames = self._cut(found.start(), found[0])
        self._drop(found.end())
        return frames

    def _single(self) -> list[Frame]:
        frame = Frame(bytes(self._held[:1]), kind="single")
        self._drop(1)
        return [frame]

    def _too_long(self) -> list[Frame]:
        frames = self._given_up(TOO_LONG.format(longest=self._framing.longest))
        self._turn(_At.SKIPPED, self._mark_overlap)
        return frames

    def _cut(self, size: int, mark: bytes) -> list[Frame]:
        """The frame of so many bytes, at whose place a mark was found."""
        again, long = mark == self._again, size > self._framing.longest
        frame = Frame(bytes(self._held[: min(size, self._framing.longest)]), end=b"" if again else mark)
        if long:
            self._ended(skipped=True, again=again)
            return [Frame(frame.raw, TOO_LONG.format(longest=self._framing.longest))]
        self._ended(skipped=False, again=again)
        if again:
            return [Frame(frame.raw, BEGUN_AGAIN)] if size else []
        self._kept = frame
        return [] if self._framing.trailer else self._whole(frame)

    def _skipped(self) -> list[Frame] | None:
        found = self._marks.search(self._held)
        if found is None:
            self._turn(_At.SKIPPED, self._mark_overlap)
            return None
        self._ended(skipped=True, again=found[0] == self._again)
        self._drop(found.end())
        return []

    def _ended(self, *, skipped: bool, again: bool) -> None:
        if again:
            self._at = _At.INSIDE
        elif not self._framing.trailer:
            self._at = self._base
        else:
            self._at = _At.SKIPPED_TRAILER if skipped else _At.TRAILER

    def _trailed(self) -> list[Frame] | None:
        if len(self._held) < self._framing.trailer:
            return None
        frame = Frame(self._kept.raw, trailer=bytes(self._held[: self._framing.trailer]), end=self._kept.end)
        frames = self._whole(frame) if self._at is _At.TRAILER else []
        self._drop(self._framing.trailer)
        self._at = self._base
        return frames

    # --- what comes of it ---

    def _whole(self, frame: Frame) -> list[Frame]:
        if b"\0" in frame.raw:
            return [Frame(frame.raw, DAMAGED)]
        return [frame] if frame.raw or self._framing.begin else []

    def _noise(self, size: int) -> list[Frame]:
        raw = bytes(self._held[: min(size, self._framing.longest)]).strip(self._blank)
        return [Frame(raw, NOISE, kind="noise")] if raw else []

    def _given_up(self, reason: str) -> list[Frame]:
        match self._at:
            case _At.OUTSIDE:
                return self._noise(len(self._held))
            case _At.INSIDE if self._held or self._framing.begin:
                return [Frame(bytes(self._held[: self._framing.longest]), reason)]
            case _At.TRAILER:
                return [Frame(self._kept.raw, reason)]
            case _:
                return []

    def _doubted(self) -> list[Frame]:
        if self._at not in (_At.INSIDE, _At.TRAILER) or not self.unfinished:
            return []
        frames = self._given_up(DOUBTFUL)
        self._turn(_At.SKIPPED, self._mark_overlap)
        return frames

    def _blinded(self) -> list[Frame]:
        frames = [Frame(bytes(self._held[: self._framing.longest]), DOUBTFUL)]
        before = self._at
        self._turn(_At.SKIPPED, 0)
        return [] if before is _At.SKIPPED else frames

    def _turn(self, at: _At, keep: int) -> None:
        """Hold no more than what may be the beginning of a mark."""
        self._at = at
        self._drop(max(0, len(self._held) - keep))

    def _drop(self, size: int) -> None:
        del self._held[:size]
        self._searched = 0

    def _restart(self) -> None:
        self._drop(len(self._held))
        self._at = self._base


def _any_of(marks: Sequence[bytes]) -> re.Pattern[bytes]:
    """Finds the first of them; nothing where there are none."""
    return re.compile(b"|".join(map(re.escape, marks)) if marks else rb"(?!)")


def shown(raw: bytes) -> str:
    """Raw bytes for a person: escaped, on one line, bounded."""
    text = raw[:_SHOWN_BYTES].decode("latin-1").encode("unicode_escape").decode("ascii")
    return text + ("..." if len(raw) > _SHOWN_BYTES else "")
