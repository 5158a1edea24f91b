"""What devices are to hold of a station: a release, a hold, an order's number. See writing.md.

The production core knows nothing of it but the words that are recorded. What is wanted follows from what is
on disk; each write is recorded before the wire has it, read back, and its outcome recorded. The adapter that
owns the wire does it between its own requests: no read and no scan ever waits for it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial

from msgspec.structs import replace

from edge.clock import Clock
from edge.config.writes import StationWrite
from edge.contract import Done, WriteValue
from edge.errors import JournalError
from edge.intake import SourceIntake
from edge.observation import WriteWord
from edge.production.orders import HELD, NOT_ALLOWED
from edge.production.state import WRITTEN, Job, Row, Station, Written, job_key, station_key
from edge.production.writes import run_of
from edge.scribe import PATIENCE, Patience, Scribe, Tell

log = logging.getLogger("lineside.writing")

GATHER_S = 0.1
"""After a commit so long others are waited for, before what is wanted is looked at again."""

Rows = Callable[[str], Iterator[tuple[str, Row]]]
"""The core's rows whose key begins so, as they were last committed. Raises JournalError."""


def wanted(spec: StationWrite, row: Station, job: Job | None) -> WriteValue:
    """What the device is to hold; `job` is the one that was interrupted here."""
    if spec.what == "order":
        return spec.off if row.run is None or row.run.order is None else row.run.order
    if spec.what == "release":
        return spec.on if row.run is not None else spec.off
    is_held = job is not None and (job.substate == HELD or job.state == NOT_ALLOWED)
    return spec.on if row.run is None and is_held else spec.off


class Writing:
    """All targets of a line. `run` is its only task."""

    def __init__(
        self, specs: Sequence[StationWrite], confirms: Mapping[str, timedelta],
        intakes: Mapping[str, SourceIntake], clock: Clock, tell: Tell, patience: Patience = PATIENCE,
    ) -> None:  # fmt: skip
        """`confirms` has by target how long its device may still show the value before."""
        self._tell = tell
        self._rows: Rows | None = None
        self._scribes = [
            Scribe(spec, confirms[spec.target], intakes, clock, self._told, patience) for spec in specs
        ]

    def unwritten(self) -> dict[str, str]:
        """By target, why its device does not hold what it should."""
        return {scribe.spec.target: scribe.trouble for scribe in self._scribes if scribe.trouble}

    def connected(self, source: str) -> None:
        for scribe in self._of(source):
            scribe.connected()

    def renewed(self, source: str) -> None:
        for scribe in self._of(source):
            scribe.renewed()

    def written(self, source: str, number: int, done: Done | None) -> None:
        for scribe in self._of(source):
            scribe.written(number, done)

    def _of(self, source: str) -> Iterator[Scribe]:
        return (scribe for scribe in self._scribes if scribe.spec.source == source)

    async def run(self, rows: Rows, committed: asyncio.Event) -> None:
        """Until cancelled; `committed` is set after every commit."""
        if not self._scribes:
            return
        self._rows = rows
        self._remember(rows)
        async with asyncio.TaskGroup() as group:
            for scribe in self._scribes:
                group.create_task(scribe.run(), name=f"write[{scribe.spec.target}]")
            while True:
                committed.clear()
                self._look(rows)
                await committed.wait()
                await asyncio.sleep(GATHER_S)

    async def _told(self, word: WriteWord) -> None:
        """An intention is told with its run: the core refuses it where another is on by then."""
        if word.state == "intended" and self._rows is not None:
            with contextlib.suppress(JournalError):
                word = replace(word, run=run_of(_station(word.station, self._rows)))
        await self._tell(word)

    def _remember(self, rows: Rows) -> None:
        try:
            found = {row.word.target: row.word for _, row in rows(WRITTEN) if isinstance(row, Written)}
        except JournalError as error:
            log.warning("what was written before this start cannot be told: %s", error)
            return
        for scribe in self._scribes:
            if (word := found.get(scribe.spec.target)) is not None:
                scribe.remember(word)

    def _look(self, rows: Rows) -> None:
        """What every target is to hold by what is on disk."""
        try:
            for scribe in self._scribes:
                scribe.follow(partial(_wanted_now, scribe.spec, rows))
        except JournalError as error:  # the next commit brings another look
            log.debug("what is to be written cannot be told: %s", error)


def _wanted_now(spec: StationWrite, rows: Rows) -> WriteValue:
    row = _station(spec.station, rows)
    if spec.what != "hold" or row.last_job is None:
        return wanted(spec, row, None)
    key = job_key(*row.last_job)
    job = dict(rows(key)).get(key)
    return wanted(spec, row, job if isinstance(job, Job) else None)


def _station(name: str, rows: Rows) -> Station:
    key = station_key(name)
    row = dict(rows(key)).get(key)
    return row if isinstance(row, Station) else Station()
