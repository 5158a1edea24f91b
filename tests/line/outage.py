"""A day without any far end, in a process of its own, so that its memory can be looked at.

    python -m tests.line.outage FOLDER EVENTS

prints one object of JSON: what it took, and how it was made good.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from adapters import file
from edge.contract import Outlet, Receipt, Record, Sink, Unmarked
from edge.delivery import Delivery
from edge.errors import SinkLost
from edge.housekeeping import Housekeeper
from edge.journal import Journal, Ranges
from edge.journal.retention import Keep
from edge.journal.room import Room
from edge.journal.sinks import SinkReader
from edge.observation import Value
from edge.recorder import Recorder
from tests.bench.process import resident_mb
from tests.support.clock import ManualClock
from tests.support.line import HandAsker, line, see

WARM = 20_000
"""Events before memory is looked at first."""
PARTS = 5_000
"""In one commit, so that it need not wait; one part every 50 ms by the clock of the line."""
LIVE_EVERY_S = 0.05
BACKLOG_RATE = 20_000


@dataclass
class Found:
    """What came of it."""

    events: int = 0
    growth_mb: float = 0.0
    """Of memory, from the first 20,000 events to the end of the outage."""
    drain_growth_mb: float = 0.0
    """From then to the end."""
    journal_mb: float = 0.0
    recorded_per_s: float = 0.0
    drained_per_s: float = 0.0
    live: int = 0
    """Events that were made while the backlog was drained."""
    slowest_live_s: float = 0.0
    missing: int = 0
    alarm: str = ""


@dataclass
class FarEnd(Unmarked):
    """A file that is out of reach at first; it notes when what arrived."""

    folder: Path
    is_there: bool = False
    arrived: Ranges = field(default_factory=Ranges)
    live_from: int = sys.maxsize
    at_s: dict[int, float] = field(default_factory=dict)
    inner: Sink | None = None

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Sink]:
        if not self.is_there:
            raise SinkLost("file", "is not there")
        settings = file.Settings.model_validate({"type": "file", "keep": 2})
        async with file.connect(settings, Outlet("file", "line-1", "", self.folder)) as self.inner:
            yield self

    def connect(self) -> AbstractAsyncContextManager[Sink]:
        return self._connect()

    async def write(self, records: Sequence[Record]) -> Receipt:
        assert self.inner is not None
        receipt = await self.inner.write(records)
        now_s = time.monotonic()
        self.arrived.add_all(receipt.acknowledged)
        self.at_s |= {one.seq: now_s for one in records if one.seq >= self.live_from}
        return receipt

    async def show(self, states: Mapping[str, bytes]) -> None:
        pass


class Maker:
    """Parts, one after the other."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._clock = ManualClock()
        self._total = 0

    async def make(self, parts: int) -> None:
        seen = []
        for _ in range(parts):
            self._clock.pass_ms(50)
            self._total += 1
            seen.append(see(self._clock, "press.total", self._total))
        await self._recorder.emit(seen)


async def suffer(folder: Path, events: int) -> Found:
    path = folder / "journal.db"
    journal = Journal(path)
    recorder = Recorder(line(), journal, HandAsker())
    reader = SinkReader(path, "line-1")
    settings = file.Settings.model_validate({
        "type": "file", "linger": "50ms", "backlog_rate": BACKLOG_RATE, "batch": 1000,
    })  # fmt: skip
    far_end = FarEnd(folder / "out")
    delivery = Delivery("file", settings, reader, recorder, dict)
    keeper = Housekeeper(
        recorder, Room(path, Keep().cap), Keep(), ("file",), {"file": delivery}, ManualClock(), _say
    )
    async with asyncio.TaskGroup() as group:
        recording = group.create_task(recorder.run())
        others = [group.create_task(delivery.run(far_end.connect)), group.create_task(keeper.run())]
        maker = Maker(recorder)
        found = await _outage(recorder, maker, path, events)
        await _drain(recorder, maker, far_end, found)
        found.alarm = keeper.status.alarm
        for task in (*others, recording):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    found.missing = sum(last - first + 1 for first, last in far_end.arrived.missing(1, journal.head))
    reader.close()
    journal.close()
    return found


async def _say(value: Value, detail: str) -> bool:
    return True


async def _outage(recorder: Recorder, maker: Maker, path: Path, events: int) -> Found:
    while recorder.head < WARM:
        await maker.make(PARTS)
    held_mb, began_s, before = resident_mb(), time.monotonic(), recorder.head
    while recorder.head < events:
        await maker.make(PARTS)
    found = Found(recorder.head, resident_mb() - held_mb)
    found.recorded_per_s = (recorder.head - before) / (time.monotonic() - began_s)
    found.journal_mb = sum(one.stat().st_size for one in path.parent.glob("journal.db*")) / 1e6
    return found


async def _drain(recorder: Recorder, maker: Maker, far_end: FarEnd, found: Found) -> None:
    """The far end is back; parts are made on."""
    held_mb, backlog = resident_mb(), recorder.head
    far_end.live_from, far_end.is_there = backlog + 1, True
    made_s: dict[int, float] = {}
    while far_end.inner is None:
        await asyncio.sleep(0.05)
    began_s = time.monotonic()
    while next(far_end.arrived.missing(1, backlog), None) is not None:
        at_s = time.monotonic()
        await maker.make(1)
        made_s[recorder.head] = at_s
        await asyncio.sleep(LIVE_EVERY_S)
    found.drained_per_s = backlog / (time.monotonic() - began_s)
    async with asyncio.timeout(10):
        while next(far_end.arrived.missing(1, recorder.head), None) is not None:
            await asyncio.sleep(0.05)
    found.drain_growth_mb = resident_mb() - held_mb
    found.live = len(made_s)
    found.slowest_live_s = max(far_end.at_s[seq] - at_s for seq, at_s in made_s.items())


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(suffer(Path(sys.argv[1]), int(sys.argv[2]))))))
