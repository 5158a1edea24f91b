"""A far end that will not come back: what waits for it is given up, and that is written down."""

import logging

from msgspec import Struct

from edge.bounds import By, Called
from edge.house import House
from edge.journal.retention import Forgotten, forget_sink
from edge.observation import AGENT, Missed, Observation
from edge.plural import counted

log = logging.getLogger("lineside.sink")


class ForgetSink(Struct, frozen=True, tag="forget_sink"):
    """Nothing waits for this far end any more. One that the line's file still has gets what is new."""

    sink: Called
    by: By = ""

    async def carry_out(self, house: House) -> str:
        """What was done, in a sentence. Raises NotRecorded, JournalError."""
        configured = self.sink in house.sinks
        done = await house.maintain(lambda journal: forget_sink(journal, self.sink, configured=configured))
        if self.sink in house.deliveries:
            house.deliveries[self.sink].drop([(1, done.until)])
        by = f" by {self.by}" if self.by else ""
        are = "is" if done.waited == 1 else "are"
        records = f"{counted(done.waited, 'record')} that waited for {self.sink}"
        words = f"{records} {are} not sent: it was forgotten{by}"
        log.warning("%s", words)
        if done.waited:
            await house.emit([self._told(house, done, words)])
        more = "; it gets what comes from now on" if configured else ""
        wait = "waits" if done.waited == 1 else "wait"
        return f"{self.sink}: {counted(done.waited, 'record')} no longer {wait} for it{more}"

    def _told(self, house: House, done: Forgotten, words: str) -> Observation:
        clock = house.clock
        now_ms = clock.wall_ms()
        told = Missed("records-dropped", self.sink, done.first_ms or now_ms, now_ms, done.waited, words)
        return Observation(AGENT, told, now_ms, now_ms, clock.mono_ms(), clock.boot, synced=clock.synced())
