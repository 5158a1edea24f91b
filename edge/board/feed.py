"""Keeps the snapshot fresh: hears the agent, reads the journal, wakes whoever listens."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import replace

from msgspec import DecodeError, json

from edge.board.screen import KEPT, ScanLog, Screen
from edge.board.snapshot import Committed, Heard, Moment, Snapshot, nothing_yet, snapshot
from edge.clock import Clock
from edge.config import LineConfig
from edge.errors import JournalError
from edge.journal import JournalReader
from edge.production.state import Station
from edge.readmodel import station_views
from edge.status import AgentStatus, follow_status
from edge.watchdog import Watchdog

log = logging.getLogger("lineside.board")

SETTLE_S = 0.2
"""Snapshots follow each other at this distance or more."""
EVERY_S = 1.0
"""Without any news a snapshot is made so often: its ages grow."""
SILENT_S = 3.0
"""The agent speaks every second; silent for so long, it is away."""
AGAIN_S = 0.5
"""Between two tries to reach the agent."""


class Feed:
    """The newest snapshot. `hear` and `publish` are its two tasks."""

    def __init__(self, config: LineConfig, clock: Clock, watchdog: Watchdog) -> None:
        self.closed = False
        self.number = 0
        """Of the newest snapshot; 1 is the first."""
        self.config = config
        self._clock = clock
        self._watchdog = watchdog
        self._status: AgentStatus | None = None
        self._heard_ms: int | None = None
        self._read_ms: int | None = None
        self._news = asyncio.Event()
        self._published = asyncio.Condition()
        self._scans = ScanLog(config.line.stations)
        self._committed = nothing_yet(config)
        self._publish(self._committed)

    @property
    def age_s(self) -> float:
        """How old the newest snapshot is."""
        return (self._clock.mono_ms() - self._made_ms) / 1000

    async def newer(self, number: int, timeout_s: float) -> None:
        """Return when there is a newer snapshot than this, when the feed ends, or after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._published:
                await self._published.wait_for(lambda: self.number > number or self.closed)

    async def close(self) -> None:
        """Let every listener go."""
        async with self._published:
            self.closed = True
            self._published.notify_all()

    # --- the agent --------------------------------------------------------------------------

    async def hear(self) -> None:
        """Follow the agent; when it is away, try again, for ever."""
        while True:
            lines = follow_status(self.config.data)
            with suppress(TimeoutError):
                while (status := await _next(lines)) is not None:
                    self._tell(status)
            self._tell(None)
            await asyncio.sleep(AGAIN_S)

    def _tell(self, status: AgentStatus | None) -> None:
        before, self._status = self._status, status
        if (status is None) != (before is None):
            log.info("the agent %s", "is away" if status is None else "is there")
        if status is not None:
            self._heard_ms = self._clock.mono_ms()
        if before is not status:
            self._news.set()

    def _since_s(self, mono_ms: int | None) -> float | None:
        return None if mono_ms is None else (self._clock.mono_ms() - mono_ms) / 1000

    # --- the snapshot -----------------------------------------------------------------------

    async def publish(self) -> None:
        """Make snapshots, for ever."""
        while True:
            self._news.clear()
            committed = await asyncio.to_thread(self._read)
            async with self._published:
                self._publish(committed)
                self._published.notify_all()
            self._watchdog.progress()
            await asyncio.sleep(SETTLE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._news.wait()

    def _read(self) -> Committed:
        """The journal's state, in a connection that lives as long as the read.

        It holds no transaction open, and finds a journal that was replaced by a restore.
        """
        config = self.config
        if not config.journal.exists():
            return self._unread(f"There is no journal yet at {config.journal}; the agent makes it.")
        try:
            with closing(JournalReader(config.journal, config.line.name)) as reader:
                head = reader.head()
                newest = reader.records(head, head)
                views = station_views(reader, config.line)
                screens = self._screens(reader, head)
        except (JournalError, DecodeError) as error:
            return self._unread(str(error))
        self._read_ms = self._clock.mono_ms()
        return Committed(views, head, newest[0].at_ms if newest else None, screens=screens)

    def _screens(self, reader: JournalReader, head: int) -> list[Screen]:
        stations = self.config.line.stations
        self._scans.add(reader.said(self._scans.after(head), KEPT * len(stations) * 2), head)
        rows = dict(reader.rows("station/"))
        found = [(spec, rows.get(spec.key)) for spec in stations]
        return [
            Screen(self._scans.of(spec.name), row if isinstance(row, Station) else Station())
            for spec, row in found
        ]

    def _unread(self, fault: str) -> Committed:
        """What was read before, marked."""
        return replace(self._committed, fault=fault, age_s=self._since_s(self._read_ms))

    def _publish(self, committed: Committed) -> None:
        if committed.fault != self._committed.fault:
            log.info("%s", committed.fault or "the journal can be read")
        self._committed = committed
        heard = Heard(self._status, self._since_s(self._heard_ms))
        clock = self._clock
        moment = Moment(clock.wall_ms(), clock.mono_ms(), clock.boot)
        self.snapshot: Snapshot = snapshot(self.config, committed, heard, moment)
        self.encoded = json.encode(self.snapshot)
        self._made_ms = self._clock.mono_ms()
        self.number += 1


async def _next(lines: AsyncIterator[AgentStatus]) -> AgentStatus | None:
    """What the agent says next; None when it has hung up. Raises TimeoutError when it is silent."""
    async with asyncio.timeout(SILENT_S):
        return await anext(lines, None)
