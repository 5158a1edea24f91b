"""A hand-written Intake behind the real interface: it remembers what an adapter handed over."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import json

from edge.clock import SystemClock
from edge.contract import (
    Ask,
    Change,
    Channel,
    Done,
    KeptT,
    Lane,
    NoValue,
    Number,
    Observation,
    Outcome,
    Output,
    Quality,
    Stamp,
    Tally,
    Target,
    Value,
    Verdict,
    WriteAsk,
    WriteValue,
)
from edge.errors import NotRecorded
from edge.observation import WorkOrder
from edge.orders import parse, take_in
from edge.sifting import Sampled, Single

_FOLDER = TemporaryDirectory(prefix="lineside-intake-")
"""Of tests that do not care where files lie; gone when their process ends."""


class MemoryIntake:
    """Keeps every observation; answers `outcome(observation)`, or raises while `failing`."""

    def __init__(
        self, name: str, outcome: Callable[[Observation], Outcome] | None = None, data: Path | None = None
    ) -> None:
        self.name = name
        self.data = data or Path(_FOLDER.name)
        self.file = Path("LINE.toml")
        self.line = "line-1"
        self.path = "acme/leeds/assembly"
        self.outputs: Sequence[Output[Any]] = ()
        self.targets: Sequence[Target[Any]] = ()
        self.done: dict[int, Done] = {}
        """Of each ask to write that was answered, what became of it."""
        self.answered: dict[int, str] = {}
        """Of each ask to switch that was answered, the trouble in words."""
        self.messages: list[bytes] = []
        """Of orders, in the order in which they came."""
        self.known: dict[str, WorkOrder] = {}
        self.seen: list[Observation] = []
        self.samples: list[dict[str, Number]] = []
        """Every reading of a lane, by the signals' names."""
        self.changed: list[tuple[str, Value | NoValue, int | None]] = []
        """Every value of a channel, by its signal's name, and how long ago it was."""
        self.ages_ms: list[int] = []
        """Of each handing over of a channel, how long ago it was received."""
        self.connections = 0
        self.renewals = 0
        """How often values were there again on the same connection."""
        self.tallies: dict[str, Tally] = {}
        """Of the source's parts, as they were told last, by their names."""
        self._kept: dict[type[object], object] = {}
        self.failing = False
        self._outcome = outcome or (lambda observation: Outcome(Verdict.ACCEPTED))
        self._clock = SystemClock()
        self._asks: asyncio.Queue[Ask] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._sampled = asyncio.Event()
        self._number = 0

    def observe(
        self,
        signal: str,
        value: Value,
        *,
        quality: Quality = Quality.GOOD,
        aged_ms: int | None = None,
        answers: int = 0,
        detail: str = "",
        ago_ms: int = 0,
    ) -> Observation:
        seen_ms = self._clock.wall_ms() - ago_ms
        return Observation(
            signal, value,
            at_ms=seen_ms - (aged_ms or 0),
            seen_ms=seen_ms, mono_ms=self._clock.mono_ms() - ago_ms, boot=self._clock.boot,
            quality=quality, stamp=Stamp.RECEIPT if aged_ms is None else Stamp.SOURCE,
            detail=detail, answers=answers,
        )  # fmt: skip

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        if self.failing:
            raise NotRecorded("the test says so")
        self.seen.extend(observations)
        async with self._changed:
            self._changed.notify_all()
        return [self._outcome(observation) for observation in observations]

    def lane(self, signals: Sequence[str]) -> Lane:
        return Lane(signals[0].rpartition("/")[0], {}, [Sampled(name) for name in signals])

    def sample(
        self, lane: Lane, values: Sequence[Number], *, why: str = "no number", ago_ms: int = 0
    ) -> None:
        self.samples.append(dict(zip(lane.names, values, strict=True)))
        self._sampled.set()

    def channel(self, signals: Sequence[str]) -> Channel:
        return Channel([Single(name.rpartition("/")[0], Sampled(name), {}) for name in signals])

    def changes(self, channel: Channel, changes: Sequence[Change], *, ago_ms: int = 0) -> None:
        self.ages_ms.append(ago_ms)
        self.changed += [(channel.signals[place].name, value, aged_ms) for place, value, aged_ms in changes]
        self._sampled.set()

    async def orders(self, message: bytes, longest: int) -> bytes:
        self.messages.append(message)
        async with self._changed:
            self._changed.notify_all()
        return json.encode(await take_in(parse("message.json", message), self._take))

    async def _take(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        if self.failing:
            raise NotRecorded("the test says so")
        known = [self.known.get(order.id) == order for order in orders]
        self.known |= {order.id: order for order in orders}
        return [Outcome(Verdict.DUPLICATE if one else Verdict.ACCEPTED) for one in known]

    async def asked(self, timeout_s: float | None = None) -> Ask | None:
        try:
            return await asyncio.wait_for(self._asks.get(), timeout_s)
        except TimeoutError:
            return None

    def switched(self, number: int, trouble: str = "") -> None:
        self.answered[number] = trouble
        self._sampled.set()

    def written(self, number: int, done: Done) -> None:
        self.done[number] = done
        self._sampled.set()

    def connected(self) -> None:
        self.connections += 1

    def recall(self, kind: type[KeptT]) -> KeptT:
        kept = self._kept.setdefault(kind, kind())
        assert isinstance(kept, kind)
        return kept

    def tell(self, tallies: Sequence[Tally]) -> None:
        self.tallies = {one.name: one for one in tallies}
        self._sampled.set()

    def renewed(self) -> None:
        self.renewals += 1
        self._sampled.set()

    # --- the test's side ---

    def ask(self, *signals: str) -> int:
        """Request a fresh read; returns the ask's number."""
        self._number += 1
        self._asks.put_nowait(Ask(self._number, frozenset(signals)))
        return self._number

    def switch(self, on: Iterable[str]) -> int:
        """Ask for these outputs to be on, and no other; returns the ask's number."""
        self._number += 1
        self._asks.put_nowait(Ask(self._number, on=frozenset(on)))
        return self._number

    def write(
        self, target: str, value: WriteValue, *, only_look: bool = False,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> int:  # fmt: skip
        """Ask for a value to be written, or looked for; returns the ask's number."""
        self._number += 1
        self._asks.put_nowait(Ask(self._number, write=WriteAsk(target, value, only_look, is_wanted)))
        return self._number

    def values(self, signal: str) -> list[Value]:
        return [one.value for one in self.seen if one.signal == signal and one.quality is Quality.GOOD]

    async def until_sampled(self, holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait until `holds()`; it is asked again after every reading of a lane, values of a channel, and
        when something was switched. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._sampled.clear()
                await self._sampled.wait()

    async def until(self, holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait until `holds()`; it is asked again after every emit. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(holds)
