"""What is made of a reply: values with the time of its receipt, and before them what their device is."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from adapters._modbus.answers import NoAnswer, Refused, Reply
from adapters._modbus.bus import BUSY, Bus
from adapters._modbus.codec import exception_words
from adapters._modbus.device import Watch
from adapters._modbus.outbox import Outbox
from adapters._modbus.plan import Block, Point, block_of
from adapters._modbus.sight import Sight
from adapters._modbus.together import Samples, samples_of
from edge.contract import Intake, Observation, Quality, Value
from edge.observation import AGENT, NOT_READ, Missed

log = logging.getLogger("lineside.source")


class Guard(NamedTuple):
    """A unit that says who it is, and the requests that ask it."""

    watch: Watch
    identity: Sequence[Block]


class _Vouched(NamedTuple):
    """A reply that is surely of the device as it is now, and what is to be handed over of it."""

    reply: Reply
    seen: list[Observation]
    is_word: bool = False
    """What its device says of itself is among them, and before them."""


class Readings:
    """Of one connection."""

    def __init__(
        self, intake: Intake, outbox: Outbox, bus: Bus, guards: Mapping[int, Guard],
        points: Iterable[Point] = (),
    ) -> None:  # fmt: skip
        """`points` are all that are read."""
        self._intake = intake
        self._outbox = outbox
        self._bus = bus
        self._guards = guards
        self._watched = {name: one.watch for one in guards.values() for name in one.watch.names}
        self._now = asyncio.get_running_loop().time
        self._samples: dict[int, Samples] = {}
        """Of each request that was polled, by its id; each holds its block, so that no other gets it."""
        self._bad: dict[str, str] = {}
        """Signals whose last word was bad quality, and why."""
        self._sight = Sight(one for one in points if one.signal not in self._watched)

    # --- values -----------------------------------------------------------------------------------

    async def take(self, block: Block, reply: Reply) -> None:
        """Hand over all values of a poll. Where its unit gave no answer to a second question it is dropped:
        the next one has it all."""
        is_word = False
        samples = self._samples_of(block)
        if self._guards and block.unit in self._guards:
            if (vouched := await self._vouched(block, samples.rest, reply)) is None:
                return
            if still := self._guards[block.unit].watch.standstill(self._now()):
                told = [point for point in block.points if point.signal not in self._watched]
                await self._outbox.put(self.complain(told, still))
                return
            reply, seen, is_word = vouched
        else:
            seen = self._observed(block, samples.rest, reply) if samples.rest else []
        if seen:
            seen = [*self._unread(samples.rest, reply), *seen]
        if self._bad:
            self._heal(seen, samples.sampled)
        samples.hand_over(reply.cells, self._intake, self._ago_ms(reply))
        if seen:
            await self._outbox.put(seen, is_word=is_word)

    async def answer(self, block: Block, reply: Reply, number: int) -> None:
        """Hand over what was asked for. Raises NoAnswer."""
        if block.unit in self._guards:
            vouched = await self._vouched(block, block.points, reply, number)
            if vouched is None:
                raise NoAnswer("it did not say who it is", late=False)
            if still := self._guards[block.unit].watch.standstill(self._now()):
                await self._outbox.put(self.complain(block.points, still, number), urgent=True)
                return
            _, seen, is_word = vouched
        else:
            seen, is_word = self._observed(block, block.points, reply, number), False
        seen = [*self._unread(block.points, reply), *seen]
        self._heal(seen)
        await self._outbox.put(seen, urgent=True, is_word=is_word)

    def _unread(self, points: Sequence[Point], reply: Reply) -> list[Observation]:
        """What was not read for much longer than its period, though the source stood: said before its values,
        which are then those after a gap."""
        away = self._sight.read(points, reply.at, self._bad)
        if away is None:
            return []
        now, since_s = self._intake.observe(AGENT, None, ago_ms=self._ago_ms(reply)), reply.at - away.since_s
        missed = Missed(
            NOT_READ, self._intake.name, now.seen_ms - round(since_s * 1000), now.seen_ms,
            detail=f"not read for {since_s:.1f} s: {away.signals[0]}"
            + (f" and {len(away.signals) - 1} more" if away.signals[1:] else ""),
            signals=away.signals,
        )  # fmt: skip
        log.warning("%s: %s", self._intake.name, missed.detail)
        return [replace(now, value=missed)]

    def _heal(self, seen: Iterable[Observation], sampled: Iterable[Point] = ()) -> None:
        """They are handed over with good values: when one is bad again, that is said again."""
        for point in sampled:
            self._bad.pop(point.signal, None)
        for one in seen:
            if one.quality is not Quality.BAD:
                self._bad.pop(one.signal, None)

    def _samples_of(self, block: Block) -> Samples:
        samples = self._samples.get(id(block))
        if samples is None:
            samples = self._samples[id(block)] = samples_of(block, self._intake)
        return samples

    def forget(self, unit: int) -> None:
        """The unit's requests are others from now on."""
        for key in [key for key, samples in self._samples.items() if samples.block.unit == unit]:
            del self._samples[key]

    def _ago_ms(self, reply: Reply) -> int:
        return max(0, int((self._now() - reply.at) * 1000))

    def _observed(
        self, block: Block, points: Iterable[Point], reply: Reply, answers: int = 0
    ) -> list[Observation]:
        seen, cells, ago_ms = [], reply.cells, self._ago_ms(reply)
        for point in points:
            value = point.decode(cells, point.start - block.start)
            if self._watched and point.signal in self._watched:
                self._watched[point.signal].take(point.signal, value, reply.at)
            elif value is None:
                seen += self.complain([point], f"{point} {point.form.nothing}", answers)
            else:
                seen.append(self._intake.observe(point.signal, value, answers=answers, ago_ms=ago_ms))
        return seen

    # --- what the device is -----------------------------------------------------------------------

    async def _vouched(
        self, block: Block, points: Sequence[Point], reply: Reply, answers: int = 0
    ) -> _Vouched | None:
        """After a counter went back, the device is asked who it is; what it says is handed over first.

        Where it says something new, the reply may be from before: it is read again. None where there was
        no answer.
        """
        watch = self._guards[block.unit].watch
        seen = self._observed(block, points, reply, answers)
        if not watch.must_look(seen):
            words = self._words(watch)
            return _Vouched(reply, [*words, *seen], bool(words))
        try:
            await self._look(self._guards[block.unit])
            words = self._words(watch)
            if not words:
                return _Vouched(reply, seen)
        except NoAnswer:
            return None
        try:
            again = await self._bus.read(block)
        except NoAnswer:
            again = Refused(0)
        if isinstance(again, Refused):
            await self._outbox.put(words, is_word=True)
            return None
        seen = self._observed(block, points, again, answers)
        watch.must_look(seen)
        return _Vouched(again, [*words, *seen], is_word=True)

    def _words(self, watch: Watch) -> list[Observation]:
        words = watch.words(self._intake)
        if words and watch.is_anew:
            self._intake.renewed()
        return words

    async def _look(self, guard: Guard) -> None:
        """Raises NoAnswer."""
        for block in guard.identity:
            found = await self._bus.read(block)
            if isinstance(found, Refused) and found.code in BUSY:
                raise NoAnswer(exception_words(found.code), late=False)
            if isinstance(found, Refused) and len(block.points) > 1:
                await self._look(Guard(guard.watch, [block_of([point]) for point in block.points]))
                continue
            for point in block.points:
                cells = None if isinstance(found, Refused) else found.cells
                value: Value = None if cells is None else point.decode(cells, point.start - block.start)
                guard.watch.take(point.signal, value, self._now())

    def doubt(self, unit: int) -> None:
        """It may have been off since its last answer."""
        if unit in self._guards:
            self._guards[unit].watch.doubt()

    # --- bad quality ------------------------------------------------------------------------------

    def complain(self, points: Iterable[Point], detail: str, answers: int = 0) -> list[Observation]:
        """Bad quality, said once for each signal and reason, and to everybody who asks. Of what a unit
        says of itself nothing is handed over."""
        seen = []
        for point in points:
            if point.signal in self._watched:
                continue
            if answers or self._bad.get(point.signal) != detail:
                self._bad[point.signal] = detail
                bad = self._intake.observe(
                    point.signal, None, quality=Quality.BAD, detail=detail, answers=answers
                )
                last_s = self._sight.last_s(point.signal)
                if last_s is not None and not point.signal.endswith((".state", ".mode")):
                    # From the last good reading on nobody has seen it, whenever that was noticed.
                    ago_ms = round((self._now() - last_s) * 1000)
                    bad = replace(bad, at_ms=bad.at_ms - max(0, ago_ms))
                seen.append(bad)
        return seen

    def refused(self, points: Iterable[Point], detail: str) -> list[Observation]:
        """The unit answers, and does not tell them."""
        points = tuple(points)
        for point in points:
            if point.signal in self._watched:
                self._watched[point.signal].missing(point.signal, self._now())
        return self.complain(points, detail)

    def why_bad(self, point: Point) -> str:
        """The last reason; empty where its last value was good."""
        return self._bad.get(point.signal, "")
