"""The scripted operator: badges in, scans job cards, scraps parts, stops the press once."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge.demo.floor import LEAK_TEST, PACKER, PRESS, Floor
from edge.errors import JournalError
from edge.journal import JournalReader
from simulators.labels import label
from simulators.launch import Running
from simulators.records import Scan

PATIENCE_S = 60.0
"""So long the operator repeats a scan that nobody answers."""

REFUSALS = 3
"""A scan that came while no agent listened is refused when one does: it is made again, for it did nothing."""

FIRST, SECOND = "WO-1001", "WO-1002"


@dataclass(frozen=True, slots=True)
class Booked:
    """Parts that the operator declared scrap."""

    station: str
    order: str
    parts: int


@dataclass(slots=True)
class Log:
    """What the operator did; part of the ground truth."""

    scans: list[Scan] = field(default_factory=list)
    booked: list[Booked] = field(default_factory=list)


class ScanNotTaken(Exception):
    """The line would not take a scan that the script needs."""

    def __init__(self, text: str, answer: str) -> None:
        super().__init__(f"the scan of {text} was {answer}")


class Operator:
    """One person with two guns."""

    def __init__(self, floor: Floor, journal: Path, say: Callable[[str], None]) -> None:
        self.log = Log()
        self.goes_home = asyncio.Event()
        """Set it to end the shift early: machines are stopped, the rest of the script is left out."""
        self._floor = floor
        self._journal = journal
        self._say = say

    async def work(self, for_s: float) -> None:
        """The whole script; `for_s` from the machines' start to their stop."""
        floor = self._floor
        await self._begin()
        start = asyncio.get_running_loop().time()
        script: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (0.30, lambda: self._scrap(floor.gun_1, PRESS, FIRST, "BURR", 2)),
            (0.50, lambda: self._change_over(SECOND)),
            (0.68, lambda: self._press("stop")),
            (0.76, lambda: self._press("start")),
            (0.88, lambda: self._scrap(floor.gun_2, PACKER, SECOND, "LABEL", 1)),
        ]
        for share, act in script:
            if await self._waits_until(start + share * for_s):
                await act()
        await self._waits_until(start + for_s)
        await self._end()

    async def _waits_until(self, moment: float) -> bool:
        """False when it is time to go home first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                await self.goes_home.wait()
        return not self.goes_home.is_set()

    async def _press(self, command: str) -> None:
        self._tell(f"{command}s the press")
        await self._floor.press.do(command)

    async def _begin(self) -> None:
        floor = self._floor
        self._tell("badges in at both stations")
        for gun in (floor.gun_1, floor.gun_2):
            await self._scan(gun, label("E", "4711"))
        await self._change_over(FIRST)
        self._tell(f"starts the machines on {FIRST}")
        for machine in (floor.press, floor.packer, floor.rig):
            await machine.do("start")

    async def _change_over(self, order: str) -> None:
        self._tell(f"scans the job cards of {order}")
        await self._scan(self._floor.gun_1, label("J", f"{order}-10"))
        await self._scan(self._floor.gun_2, label("J", f"{order}-20"))

    async def _scrap(self, gun: Running, station: str, order: str, reason: str, parts: int) -> None:
        self._tell(f"scraps {parts} at the {station}: {reason}")
        await self._scan(gun, label("X", reason))
        await self._scan(gun, label("Q", str(parts)))
        self.log.booked.append(Booked(station, order, parts))

    async def _end(self) -> None:
        self._tell("stops the machines")
        for machine in (self._floor.press, self._floor.packer, self._floor.rig):
            await machine.do("stop")

    def _tell(self, words: str) -> None:
        self._say(f"operator {words}")

    async def _scan(self, gun: Running, text: str) -> None:
        """Scan until it is taken: a duplicate has been, before an answer got lost. Raises ScanNotTaken."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        first: Scan | None = None
        refused = 0
        while True:
            answer = await gun.scan(text)
            self.log.scans.append(answer)
            first = first or answer
            if answer.answer in ("confirmed", "duplicate"):
                return
            if answer.answer == "refused" and self._is_recorded(text, first.sent_ms):
                return
            refused += answer.answer == "refused"
            if asyncio.get_running_loop().time() > deadline or refused == REFUSALS:
                raise ScanNotTaken(text, answer.answer)

    def _is_recorded(self, text: str, since_ms: float) -> bool:
        """A look at the screen: was it taken before the answer got lost in a power cut?"""
        try:
            reader = JournalReader(self._journal, "demo")
        except JournalError:
            return False
        try:
            records = reader.records(max(1, reader.head() - 500), reader.head(), 501)
        finally:
            reader.close()
        return any(
            one.type == "scan"
            and one.data["label"] == text
            and one.data["outcome"] == "accepted"
            and one.at_ms >= since_ms - 1
            for one in records
        )


def meanings() -> dict[str, dict[str, str | None]]:
    """Of each station: what each job card's label makes of it."""
    press = {label("J", f"{order}-10"): order for order in (FIRST, SECOND)}
    packer = {label("J", f"{order}-20"): order for order in (FIRST, SECOND)}
    return {PRESS: dict(press), PACKER: dict(packer), LEAK_TEST: dict(packer)}
