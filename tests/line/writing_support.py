"""What the tests of writing share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from edge.config.writes import StationWrite, shown
from edge.contract import Ask, Done, DoneState, WriteValue
from edge.errors import NotRecorded
from edge.observation import WriteWord
from edge.production.context import Context
from edge.production.state import Run, Station
from edge.scribe import Patience, Scribe
from tests.support.clock import ManualClock

SPEC = StationWrite("press", "release", "press-plc", "press.release", "press-plc ns=2;s=R", True, False, 10)
ORDER = replace(SPEC, what="order", target="press.order", on="", off="-")
HOLD = replace(SPEC, what="hold", target="press.hold")
RUN = Run("r1", "press", "WO-1", 10, 0, 100)
BUSY = Station(context=Context(order="WO-1", operation=10, run="r1"), run=RUN, last_job=("WO-0", None))

QUICK = Patience(
    answer_s=0.3, again_s=(0.01, 0.02, 0.03), unreadable_s=0.05, unrecorded_s=0.01, minute_s=0.5, hour_s=3_600
)


class Wire:
    """A source that reads and writes a value at once, and says what was done; `told` is the journal's."""

    def __init__(self) -> None:
        self.is_connected = True
        self.holds: WriteValue = False
        self.steps: list[str] = []
        self.scribe: Scribe | None = None
        self.refuses = ""
        self.keeps = False
        """It takes a write, and goes on holding what it held."""
        self.is_silent = False
        self.cuts = False
        """It loses the connection with the write."""
        self.is_full = False
        self.changed = asyncio.Event()
        self.held: list[Ask] = []
        self.holds_asks = False
        """It answers nothing until `release`."""
        self.is_unfit = False
        self.silence = ""
        """The connection stands, and this does not answer."""
        self.words: list[WriteWord] = []
        self.after_telling: Callable[[], None] | None = None

    def release(self) -> None:
        self.holds_asks = False
        held, self.held = self.held, []
        for ask in held:
            self.put(ask)

    def put(self, ask: Ask) -> None:
        assert ask.write is not None
        if self.is_silent:
            return
        if self.holds_asks:
            self.held.append(ask)
            self.changed.set()
            return
        if self.silence:
            self.answer(ask.number, Done(DoneState.SILENT, detail=self.silence))
            return
        if self.is_unfit:
            self.answer(ask.number, Done(DoneState.UNFIT, detail="it does not fit there"))
            return
        if not ask.write.only_look and not ask.write.is_wanted():
            self.answer(ask.number, Done(DoneState.STALE, detail="nothing was written"))
            return
        if not ask.write.only_look:
            self.step(f"wrote {shown(ask.write.value)}")
            if not (self.refuses or self.keeps):
                self.holds = ask.write.value
            if self.cuts:
                self.is_connected = False
                self.answer(ask.number, None)
                return
        refused = self.refuses and not ask.write.only_look
        is_there = self.holds == ask.write.value
        state = DoneState.REFUSED if refused else DoneState.THERE if is_there else DoneState.OTHER
        self.answer(ask.number, Done(state, shown(self.holds), self.refuses if refused else ""))

    def answer(self, number: int, done: Done | None) -> None:
        assert self.scribe is not None
        asyncio.get_running_loop().call_soon(self.scribe.written, number, done)

    def connect(self) -> None:
        self.is_connected = True
        assert self.scribe is not None
        self.scribe.connected()

    async def tell(self, word: WriteWord) -> None:
        if self.is_full:
            raise NotRecorded("the disk is full")
        self.step(f"{word.state} {word.value}")
        self.words.append(word)
        if self.after_telling is not None:
            self.after_telling()

    def step(self, words: str) -> None:
        self.steps.append(words)
        self.changed.set()

    async def until(self, *steps: str) -> None:
        """These and no others, in this order."""
        try:
            async with asyncio.timeout(5):
                while len(self.steps) < len(steps):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pass
        assert self.steps == list(steps)
        self.steps.clear()

    async def quiet(self, seconds: float = 0.15) -> None:
        """Nothing happens for so long."""
        try:
            async with asyncio.timeout(seconds):
                self.changed.clear()
                await self.changed.wait()
        except TimeoutError:
            pass
        assert self.steps == []


@asynccontextmanager
async def scribe(
    spec: StationWrite = SPEC, clock: ManualClock | None = None, before: WriteWord | None = None,
    patience: Patience = QUICK,
) -> AsyncIterator[tuple[Scribe, Wire]]:  # fmt: skip
    wire: Any = Wire()
    one = Scribe(spec, timedelta(0), {"press-plc": wire}, clock or ManualClock(), wire.tell, patience)
    wire.scribe = one
    if before is not None:
        one.remember(before)
    task = asyncio.create_task(one.run())
    try:
        yield one, wire
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


FAILED = ("intended true", "wrote true", "failed true")
WROTE_TRUE = ("intended true", "wrote true", "confirmed true")
