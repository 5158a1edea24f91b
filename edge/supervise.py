"""Keeps one source running: the one place that reconnects, and that says lost and back once."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from edge.clock import Clock
from edge.errors import NotRecorded, SourceError
from edge.intake import SourceIntake
from edge.observation import Observation
from edge.production.presence import BACK, LOST, SOURCE

log = logging.getLogger("lineside.source")

FIRST_S = 0.5
LONGEST_S = 5.0
"""Between two tries; jitter takes up to half of it away, so that agents do not come in step."""


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

    async def run(self, collect: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A SourceError is retried with back-off; any other exception stops this source only."""
        pause_s = FIRST_S
        while True:
            try:
                await collect()
                reason = "the adapter ended without a word"
            except SourceError as error:
                reason = error.reason
            except NotRecorded as error:
                reason = str(error)
            except Exception as error:  # a bug in one adapter must not take the line down
                log.exception("%s: stopped by a bug in its adapter; restart the agent", self._intake.name)
                self._tell_lost("broken", f"{type(error).__name__}: {error}")
                return
            finally:
                was_connected = self._intake.is_connected
                self._intake.lost()
            self._tell_lost(LOST, reason)
            pause_s = FIRST_S if was_connected else min(pause_s * 2, LONGEST_S)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311

    def back(self) -> None:
        """The adapter says that the connection stands."""
        if self.presence.state == LOST:
            away_s = (self._clock.mono_ms() - self.presence.since_mono_ms) / 1000
            log.warning("%s: back after %.0f s", self._intake.name, away_s)
        else:
            log.info("%s: connected", self._intake.name)
        self.presence = Presence("connected", "", self._clock.mono_ms())
        self._intake.post([self._word(BACK)])

    def _tell_lost(self, state: str, reason: str) -> None:
        if self.presence.state == state:
            return
        if state == LOST:
            log.warning("%s: unavailable: %s", self._intake.name, reason)
        self.presence = Presence(state, reason, self._clock.mono_ms())
        self._intake.post([self._word(LOST, reason)])

    def _word(self, value: str, detail: str = "") -> Observation:
        return self._intake.observe(f"{SOURCE}{self._intake.name}", value, detail=detail)
