"""Bytes of a serial line to frames; no port, no clock, no await."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

TOO_LONG = "longer than {longest} bytes without an end; is `end` what the device sends?"
NO_END = "cut: no end came within {idle_ms} ms of the last byte; does the device send `end`?"
DOUBTFUL = "the agent was too busy to tell whether this is one frame or two"
DAMAGED = "a byte was damaged on the wire; check the cable, `baud`, `bits` and `parity`"
HUNG_UP = "cut: the port hung up in the middle"
_SHOWN_BYTES = 160


@dataclass(frozen=True, slots=True)
class Frame:
    """The bytes up to an end, without it; or what is left of a broken frame."""

    raw: bytes
    broken: str = ""
    """Why it must not be believed; empty for a whole frame."""


class Framer:
    """Cuts a stream of bytes into frames; holds `longest` bytes and a part of an end at most.

    What comes out depends on the bytes and the pauses between them, not on how they were
    chunked. After a frame that was too long or doubtful the rest of it, up to the next end or
    pause, is skipped: the tail of a label must not pass for a label.
    """

    def __init__(self, ends: Sequence[bytes], longest: int, idle_s: float) -> None:
        self._end = re.compile(b"|".join(map(re.escape, ends)))
        self._overlap = max(map(len, ends)) - 1
        self._longest = longest
        self._idle_s = idle_s
        self._held = bytearray()
        self._searched = 0
        self._skipping = False
        self._last_s = 0.0

    @property
    def unfinished(self) -> bool:
        """True while a pause would mean something."""
        return self._skipping or bool(self._held)

    def feed(self, data: bytes, now_s: float) -> list[Frame]:
        """Take what was read at `now_s`, on any steady clock.

        Bytes that come `idle_s` after the last without `expire` in between were read late:
        whether there was a pause is unknown, so nothing of that frame is believed.
        """
        frames = self._doubted() if now_s - self._last_s >= self._idle_s else []
        self._last_s = now_s
        self._held += data
        while match := self._end.search(self._held, self._searched):
            frames += self._finished(match.start())
            del self._held[: match.end()]
            self._searched = 0
        return frames + self._cut()

    def expire(self, now_s: float) -> list[Frame]:
        """Give up a frame whose last byte is `idle_s` old; call it when nothing is to be read."""
        if now_s - self._last_s < self._idle_s:
            return []
        return self.abandon(NO_END.format(idle_ms=round(self._idle_s * 1000)))

    def abandon(self, reason: str) -> list[Frame]:
        """Give up what is held, and begin afresh."""
        frames = [self._broken(reason)] if self._held and not self._skipping else []
        self._held.clear()
        self._searched = 0
        self._skipping = False
        return frames

    def skip(self) -> None:
        """Believe nothing before the next end or pause."""
        self._skipping = True
        self._forget()

    def _doubted(self) -> list[Frame]:
        if not self._held or self._skipping:
            return []
        frame = self._broken(DOUBTFUL)
        self.skip()
        return [frame]

    def _finished(self, size: int) -> list[Frame]:
        if self._skipping:
            self._skipping = False
            return []
        if size > self._longest:
            return [self._broken(TOO_LONG.format(longest=self._longest))]
        raw = bytes(self._held[:size])
        if b"\0" in raw:
            return [Frame(raw, DAMAGED)]
        return [Frame(raw)] if raw else []

    def _cut(self) -> list[Frame]:
        frames: list[Frame] = []
        if not self._skipping and len(self._held) > self._longest + self._overlap:
            frames.append(self._broken(TOO_LONG.format(longest=self._longest)))
            self._skipping = True
        if self._skipping:
            self._forget()
        self._searched = max(0, len(self._held) - self._overlap)
        return frames

    def _forget(self) -> None:
        """Drop all but what may be the beginning of an end."""
        del self._held[: max(0, len(self._held) - self._overlap)]
        self._searched = 0

    def _broken(self, reason: str) -> Frame:
        return Frame(bytes(self._held[: self._longest]), reason)


def shown(raw: bytes) -> str:
    """Raw bytes for a person: escaped, on one line, bounded."""
    text = raw[:_SHOWN_BYTES].decode("latin-1").encode("unicode_escape").decode("ascii")
    return text + ("..." if len(raw) > _SHOWN_BYTES else "")
