"""A recorder with a tape, and what its segments must come to when they are replayed."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

from edge.journal import Journal, JournalReader
from edge.journal.reader import Fact
from edge.production import Line
from edge.recorder import Recorder
from edge.recording import BLOCK, Tape, segments
from edge.replay import Replay, Segment, play
from tests.support.clock import ManualClock
from tests.support.line import HandAsker, line, scan, see

MB = 1_000_000


@asynccontextmanager
async def taped(
    of: Line, data: Path, bound: int = 100 * MB, ask: HandAsker | None = None
) -> AsyncIterator[Recorder]:
    """A recorder at work with a journal and a recording in `data`; stopped in order at the end."""
    journal = Journal(data / "journal.db")
    tape = Tape(data / "record", bound, of, journal, "b0")
    recorder = Recorder(of, journal, ask or HandAsker(), tape)
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(recorder.run())
            yield recorder
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    finally:
        tape.close()
        journal.close()


def recorded(data: Path) -> list[Segment]:
    return [Segment(path) for path in segments(data / "record")]


def journaled(data: Path, first: int = 1, last: int | None = None) -> list[Fact]:
    reader = JournalReader(data / "journal.db", "line-1")
    try:
        return reader.facts(first, reader.head() if last is None else last, 1_000_000)
    finally:
        reader.close()


def replayed(of: Line, segment: Segment) -> list[Fact]:
    return [fact for played in play(of, segment) for fact in played.facts]


def assert_the_same(of: Line, data: Path) -> None:
    """Each segment gives its part of the journal to the byte, and the product's own comparison agrees."""
    reader = JournalReader(data / "journal.db", "line-1")
    try:
        for segment in recorded(data):
            facts = replayed(of, segment)
            head = segment.header.head
            assert facts == reader.facts(head + 1, head + len(facts), 1_000_000)
            assert Replay(of, reader).run(segment).difference == ""
    finally:
        reader.close()


def assert_complete(of: Line, data: Path) -> None:
    """All segments together are the whole journal."""
    assert_the_same(of, data)
    assert [fact for segment in recorded(data) for fact in replayed(of, segment)] == journaled(data)


def disk_usage(data: Path) -> int:
    sizes = [path.stat().st_size for path in segments(data / "record")]
    return sum(-(-size // BLOCK) * BLOCK for size in sizes)


async def count_for_ever(data: Path) -> None:
    """To be killed: says the journal's head after every answer."""
    clock = ManualClock()
    async with taped(line(), data, MB) as recorder:
        await recorder.emit([see(clock, "agent", "start")])
        await recorder.emit([scan(clock, "J WO-1001-10")])
        for raw in count(100):
            clock.pass_ms(700)
            await recorder.emit([see(clock, "press.total", raw), see(clock, "agent", "start", detail="now")])
            sys.stdout.write(f"{recorder.head}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(count_for_ever(Path(sys.argv[1])))
