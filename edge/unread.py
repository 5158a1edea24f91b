"""Of one table of telemetry: which signals could not be read, from when to when. Decisions without I/O."""

from collections.abc import Collection

from msgspec import Struct

from edge.observation import Missed
from edge.plural import counted

UNREADABLE = "telemetry-unreadable"
"""Cause of a `Missed`."""
EVERY_MS = 60_000
"""A table tells of it no more often: a bad cable would fill the ledger."""


class _Span(Struct):
    """What is over, and not told yet."""

    since_ms: int
    until_ms: int
    mono_ms: int
    """When the first signal was read again."""
    why: str
    signals: set[str]


class Unread:
    """Signals that the device did not give, whatever the reason; a value that is no number was read."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._since: dict[str, tuple[int, str]] = {}
        """By signal: UTC milliseconds, and why."""
        self._over: _Span | None = None
        self._told_mono_ms = -EVERY_MS

    def __bool__(self) -> bool:
        """Something cannot be read, or that is still to be told."""
        return bool(self._since or self._over)

    def lost(self, signal: str, seen_ms: int, why: str) -> None:
        """The first reason is the one that is told."""
        self._since.setdefault(signal, (seen_ms, why))

    def read(self, signals: Collection[str], seen_ms: int, mono_ms: int) -> None:
        """These were read; most of them as ever."""
        for signal in self._since.keys() & set(signals):
            since_ms, why = self._since.pop(signal)
            span = self._over = self._over or _Span(since_ms, seen_ms, mono_ms, why, set())
            if since_ms < span.since_ms:
                span.since_ms, span.why = since_ms, why
            span.until_ms = max(span.until_ms, seen_ms)
            span.signals.add(signal)

    def told(self, mono_ms: int) -> Missed | None:
        """What is over: all of it at once, where the rest of the table does not keep it waiting for long."""
        span = self._over
        if span is None or mono_ms - self._told_mono_ms < EVERY_MS:
            return None
        if self._since and mono_ms - span.mono_ms < EVERY_MS:
            return None
        self._over, self._told_mono_ms = None, mono_ms
        words = f"{counted(len(span.signals), 'signal')}: {span.why}"
        until_ms = max(span.since_ms, span.until_ms)
        return Missed(UNREADABLE, self._subject, span.since_ms, until_ms, detail=words)

    def ended(self, now_ms: int, mono_ms: int) -> Missed | None:
        """Nothing is read any more: all of it, up to now."""
        self.read(tuple(self._since), now_ms, mono_ms)
        self._told_mono_ms = -EVERY_MS
        return self.told(mono_ms)
