"""The journal's only user in the agent: commits and maintenance, one at a time, in a thread of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from edge.deciding import Tape
from edge.errors import NotRecorded
from edge.journal import Journal
from edge.journal.recent import Recent
from edge.pending import Batch
from edge.production.state import Row

ResultT = TypeVar("ResultT")

Span = tuple[int, int]
"""First and last seq."""
Lately = Recent


@dataclass(slots=True)
class Receipts:
    """What far ends have acknowledged and rejected, until a commit has taken it along."""

    progress: dict[str, list[Span]] = field(default_factory=dict)
    recent: dict[str, list[Lately]] = field(default_factory=dict)
    rejected: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def wait(self) -> bool:
        return bool(self.progress or self.rejected)

    def note(self, sink: str, ranges: Iterable[Span], recent: Iterable[Lately] | None) -> None:
        self.progress[sink] = list(iter(ranges))  # of Ranges, a list would make room for every number in them
        if recent is not None:
            self.recent[sink] = list(recent)

    def taken(self) -> "Receipts":
        """What the next commit takes along."""
        recent = {sink: self.recent[sink] for sink in self.progress.keys() & self.recent.keys()}
        return Receipts(dict(self.progress), recent, list(self.rejected))

    def kept(self, taken: "Receipts") -> None:
        """That is on disk; what was noted since then waits on."""
        self.rejected = self.rejected[len(taken.rejected) :]
        for sink, ranges in taken.progress.items():
            if self.progress[sink] is ranges:
                del self.progress[sink]


class Committer:
    """Nothing else touches the journal while it is `alone`."""

    def __init__(self, journal: Journal, tape: Tape | None) -> None:
        self.journal = journal
        self.head = journal.head
        self.receipts = Receipts()
        self.cancelled = False
        """The recorder was cancelled while something was being written."""
        self._tape = tape
        self._alone = asyncio.Lock()
        self._writer = ThreadPoolExecutor(1, "journal")

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """No maintenance while rows are read to decide by.

        A cancel must not lose what was taken to be decided: it is noted, and the wait goes on.
        """
        while True:
            try:
                await self._alone.acquire()
                break
            except asyncio.CancelledError:
                self.cancelled = True
        try:
            yield
        finally:
            self._alone.release()

    async def commit(self, batch: Batch, rows: Mapping[str, Row]) -> None:
        """Put a batch on disk, and what far ends have answered. Raises NotRecorded, JournalError."""
        taken = self.receipts.taken()

        def write() -> int:
            head = self.journal.commit(
                batch.events, rows, batch.quarantined, taken.progress, tuple(taken.rejected), batch.moves,
                taken.recent, telemetry=batch.telemetry, timings=batch.timings,
            )  # fmt: skip
            if self._tape is not None:
                self._tape.pass_over(len(batch.telemetry))
                self._tape.keep()
            return head

        self.head = await self._whole(self._in_writer(write))
        self.receipts.kept(taken)

    async def keep_tape(self) -> None:
        """What was decided without an event is on the tape alone."""
        if self._tape is not None:
            await self._whole(self._in_writer(self._tape.keep))

    def forget_tape(self) -> None:
        if self._tape is not None:
            self._tape.forget()

    async def maintain(self, work: Callable[[Journal], ResultT], is_stopped: Callable[[], bool]) -> ResultT:
        """See `Recorder.maintain`."""
        cancelled = False
        async with self._alone:
            if is_stopped():
                raise NotRecorded("the agent is stopping")
            working = self._in_writer(lambda: work(self.journal))
            while not working.done():
                try:
                    await asyncio.wait([working])
                except asyncio.CancelledError:
                    cancelled = True
        if cancelled:
            working.exception()  # nobody is left to hear of it
            raise asyncio.CancelledError
        return working.result()

    def close(self) -> None:
        self._writer.shutdown(wait=True)

    def _in_writer(self, work: Callable[[], ResultT]) -> asyncio.Future[ResultT]:
        return asyncio.get_running_loop().run_in_executor(self._writer, work)

    async def _whole(self, commit: asyncio.Future[ResultT]) -> ResultT:
        """Wait for a commit to its end: a cancel must not leave memory and disk apart."""
        while True:
            try:
                return await asyncio.shield(commit)
            except asyncio.CancelledError:
                self.cancelled = True
