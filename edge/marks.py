"""Marks at a far end: how they are made and told from forged ones, and since when there has been one."""

import hmac
import logging
import secrets
from hashlib import sha256
from math import inf

from edge.clock import Clock
from edge.contract import Mark
from edge.errors import NotRecorded
from edge.journal.sinks import Marked, SinkReader, put_marked
from edge.observation import Missed
from edge.recorder import Recorder
from edge.settled import MARK_GONE_S
from edge.sink_words import moment

FORGOT = "far-end-forgot"
"""Cause of what a far end had acknowledged and may not have any more."""

log = logging.getLogger("lineside.sink")


class Marks:
    """Of one sink. Times in seconds are of the event loop's clock."""

    def __init__(self, name: str, reader: SinkReader, recorder: Recorder, clock: Clock) -> None:
        self._name = name
        self._reader = reader
        self._recorder = recorder
        self._clock = clock
        self._secret = reader.secret() or secrets.token_bytes(32)
        self.since: Marked | None = reader.marked(name)
        """When the first of a series was found at the far end; None: it has none, or keeps none."""
        self._left = (0, -inf)
        """The last mark's seq, and when it was left first."""

    def of(self, seq: int) -> Mark | None:
        """To be left: nobody who knows the ids of events can make it up."""
        identity = self._reader.identity(seq) if seq > 0 else ""
        if not identity:
            return None
        return Mark(seq, hmac.new(self._secret, identity.encode(), sha256).hexdigest()[:32])

    def believes(self, mark: Mark) -> bool:
        """Whether this journal left it."""
        own = self.of(mark.seq)
        return own is not None and hmac.compare_digest(own.id.encode(), mark.id.encode("utf-8", "replace"))

    def leave(self, seq: int, now_s: float) -> None:
        """One was left."""
        if seq != self._left[0]:
            self._left = (seq, now_s)

    def left_s(self, seq: int) -> float:
        """When this one was left, as far as anybody remembers."""
        return self._left[1] if self._left[0] == seq else -inf

    def age_s(self, now_s: float) -> float:
        """For how long there has been one; over another boot only the calendar knows."""
        if self.since is None:
            return 0.0
        if self.since.boot == self._clock.boot:
            return now_s - self.since.mono_ms / 1000
        return (self._clock.wall_ms() - self.since.since_ms) / 1000

    async def found(self, now_s: float) -> None:
        """One of this journal's is at the far end: from now on it is missed when it has gone."""
        if self.since is not None:
            return
        since = Marked(self._clock.wall_ms(), round(now_s * 1000), self._clock.boot)
        try:
            await self._recorder.maintain(lambda journal: put_marked(journal, self._name, since))
        except NotRecorded as error:
            log.debug("%s: %s", self._name, error)
            return  # it is found again after the next connect
        self.since = since

    def gone(self, now_s: float, count: int) -> Missed | None:
        """The one that was found there is not there any more; so many records are sent again for it.

        What the ledger is to say of it, where something may be lost.
        """
        since, beyond = self.since, self.age_s(now_s) > MARK_GONE_S
        if since is None:
            return None
        self.since = None
        until_ms = self._clock.wall_ms() - int(MARK_GONE_S * 1000)
        words = (
            f"the mark that was left there since {moment(since.since_ms)} has gone, so the far end has "
            f"forgotten: {count} events that it had acknowledged are sent again"
        )
        if beyond:
            words += f"; what it acknowledged before {moment(until_ms)} may be lost there"
        log.warning("%s: %s", self._name, words)
        return Missed(FORGOT, self._name, since.since_ms, until_ms, detail=words) if beyond else None
