"""Keeps one source running: the one place that reconnects, and that says lost and back once."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec.structs import replace

from edge.clock import Clock
from edge.errors import NotRecorded, SourceError, SourceLost, SourceRefused
from edge.intake import SourceIntake
from edge.observation import Observation
from edge.production.presence import BACK, LOST, SOURCE

log = logging.getLogger("lineside.source")

BROKEN = "broken"
FIRST_S = 0.5
LONGEST_S = 5.0
"""Between two tries; jitter takes up to half of it away, so that agents do not come in step."""


SHORT_S = 2.0
"""A time away below this is told with a tenth of a second."""
MOST_WORDS = 5
"""Refusals that are said of one outage besides its first reason, each once."""


class End(NamedTuple):
    """What an adapter's end means."""

    state: str
    reason: str
    again_s: float = 0.0
    is_refusal: bool = False
    """The device answers, but says no: a person must do something."""
    unseen_s: float = 0.0
    """It was lost that long before anybody noticed."""


@dataclass(slots=True)
class Presence:
    """How a source is, for people."""

    state: str = "connecting"
    """`connecting`, `connected`, `lost`, or `broken` by a bug of ours."""
    reason: str = ""
    since_mono_ms: int = 0


class Supervisor:
    """Runs `collect` again and again until it is cancelled."""

    def __init__(self, intake: SourceIntake, clock: Clock) -> None:
        self.presence = Presence(since_mono_ms=clock.mono_ms())
        self._intake = intake
        self._clock = clock
        self._untold: list[Observation] = []
        self._said: set[str] = set()
        self._unseen_s = 0.0

    async def run(self, collect: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A SourceError is retried with back-off; any other exception stops this source only."""
        pause_s = FIRST_S
        while True:
            try:
                await collect()
                end = End(LOST, "the adapter ended without a word")
            except Exception as error:  # a bug in one adapter must not take the line down
                end = self._judged(error)
            finally:
                was_connected = self._intake.is_connected
                self._intake.lost()
            self._tell_lost(end)
            await self._record_lost()
            if end.state == BROKEN:
                return
            pause_s = FIRST_S if was_connected else min(pause_s * 2, end.again_s or LONGEST_S)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311

    def back(self) -> None:
        """The adapter says that the connection stands."""
        if self.presence.state == LOST:
            away_s = (self._clock.mono_ms() - self.presence.since_mono_ms) / 1000 + self._unseen_s
            log.warning("%s: back after %.*f s", self._intake.name, 1 if away_s < SHORT_S else 0, away_s)
        else:
            log.info("%s: connected", self._intake.name)
        self.presence = Presence("connected", "", self._clock.mono_ms())
        self._intake.post([*self._untold, self._word(BACK)])
        self._untold.clear()

    def _judged(self, error: Exception) -> End:
        """Something about the source, or a bug of ours."""
        known = _source_error(error)
        if known is not None:
            reason = known.reason if isinstance(known, SourceError) else str(known)
            if isinstance(known, SourceLost):
                return End(LOST, reason, known.again_s, known.again_s > 0, known.unseen_s)
            return End(LOST, reason, is_refusal=isinstance(known, SourceRefused))
        log.error("%s: stopped by a bug in its adapter; restart the agent", self._intake.name, exc_info=error)
        return End(BROKEN, f"{type(error).__name__}: {error}")

    def _tell_lost(self, end: End) -> None:
        if self.presence.state == end.state:
            self._tell_refusal(end)
            return
        if end.state == LOST:
            log.warning("%s: unavailable: %s", self._intake.name, end.reason)
        self.presence = Presence(end.state, end.reason, self._clock.mono_ms())
        self._said, self._unseen_s = {end.reason}, end.unseen_s
        lost = self._word(LOST, end.reason)
        self._untold = [replace(lost, at_ms=lost.seen_ms - round(end.unseen_s * 1000))]

    def _tell_refusal(self, end: End) -> None:
        """A device that went away for one reason may come back and refuse for another: that is news."""
        if not end.is_refusal or end.reason in self._said or len(self._said) > MOST_WORDS:
            return
        self._said.add(end.reason)
        self.presence.reason = end.reason
        log.warning("%s: still unavailable: %s", self._intake.name, end.reason)
        self._untold.append(self._word(LOST, end.reason))

    async def _record_lost(self) -> None:
        """That it was lost must be on disk before anything else of it, or no gap would be known."""
        if self._untold:
            with contextlib.suppress(NotRecorded):
                await self._intake.emit(self._untold)
                self._untold.clear()

    def _word(self, value: str, detail: str = "") -> Observation:
        return self._intake.observe(f"{SOURCE}{self._intake.name}", value, detail=detail)


def _source_error(error: BaseException) -> SourceError | NotRecorded | None:
    """The error about the source, also out of the group of a TaskGroup in an adapter."""
    if isinstance(error, SourceError | NotRecorded):
        return error
    if isinstance(error, ExceptionGroup):
        found = [_source_error(one) for one in error.exceptions]
        return found[0] if all(found) else None
    return None
