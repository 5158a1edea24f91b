"""Lamps and buzzers beside the guns: what became of a scan, shown where it was made. See feedback.md.

The production core knows nothing of it. What became of a label is known when it is on disk; the lamps are
switched by the adapter that owns their wire, between its own requests. All of it is bounded: it may come
late or not at all, and never holds up a scan or a poll.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from edge.config.feedback import Lamp, StationFeedback
from edge.contract import Ask
from edge.intake import SourceIntake
from edge.observation import Verdict

log = logging.getLogger("lineside.feedback")

ANSWER_S = 2.0
"""So long a source may take to switch; then the rest of the pattern is given up."""
STALE_S = 3.0
"""What became of a scan is not shown later than this: it would be taken for that of the next one."""
WAITING = 4
"""Outcomes that wait behind the one that is shown."""
DARK_S = 0.2
"""Between two outcomes, so that two that are alike can be told apart."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Some outputs are on for some time."""

    on: frozenset[str]
    for_s: float


def pattern(lamps: Iterable[Lamp]) -> list[Phase]:
    """What is on, one phase after the other; after the last all is off."""
    spans = [
        (lamp.output, 2 * turn * lamp.for_s, (2 * turn + 1) * lamp.for_s)
        for lamp in lamps
        for turn in range(lamp.times)
    ]
    edges = sorted({round(edge, 6) for _, begin, end in spans for edge in (begin, end)})
    return [
        Phase(frozenset(name for name, begin, end in spans if begin < (at + until) / 2 < end), until - at)
        for at, until in pairwise(edges)
    ]


class Panel:
    """The outputs of one source, as all stations want them together."""

    def __init__(self, source: str, intakes: Mapping[str, SourceIntake]) -> None:
        self._source = source
        self._intakes = intakes
        self._on: dict[str, frozenset[str]] = {}
        self._number = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._trouble = ""

    async def show(self, station: str, on: frozenset[str]) -> bool:
        """True when the source has tried to switch them; False where it is away or does not answer."""
        self._on[station] = on
        intake = self._intakes.get(self._source)
        if intake is None or not intake.is_connected:
            return False
        self._number += 1
        done = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        number = self._number
        intake.put(Ask(number, on=frozenset[str]().union(*self._on.values())))
        try:
            async with asyncio.timeout(ANSWER_S):
                await done
        except TimeoutError:
            return False
        finally:
            del self._waiting[number]
        return True

    def switched(self, number: int, trouble: str) -> None:
        """The source's answer to this ask and to all before it."""
        if trouble and not self._trouble:
            log.warning("%s: the feedback at a station cannot be switched: %s", self._source, trouble)
        elif self._trouble and not trouble:
            log.warning("%s: the feedback can be switched again", self._source)
        self._trouble = trouble
        for asked, done in self._waiting.items():
            if asked <= number and not done.done():
                done.set_result(None)

    async def dark(self) -> None:
        """Whatever is on goes off."""
        if any(self._on.values()):
            self._on.clear()
            await self.show("", frozenset())


class Beacon:
    """What one station shows: one outcome after the other."""

    def __init__(self, spec: StationFeedback, panel: Panel) -> None:
        self._spec = spec
        self._panel = panel
        self._patterns = {verdict: pattern(lamps) for verdict, lamps in spec.shows.items()}
        self._waiting: deque[tuple[Verdict, float]] = deque()
        self._news = asyncio.Event()

    def heard(self, verdict: Verdict) -> None:
        """A scan was decided. Where too much waits, a refusal is the last to be left out."""
        verdict = Verdict.REFUSED if verdict is Verdict.QUARANTINED else verdict
        if len(self._waiting) >= WAITING:
            least = (one for one in self._waiting if one[0] is not Verdict.REFUSED)
            self._waiting.remove(next(least, self._waiting[0]))
        self._waiting.append((verdict, asyncio.get_running_loop().time()))
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                verdict, at = self._waiting.popleft()
                if now() - at < STALE_S:
                    await self._show(self._patterns.get(verdict, ()))

    async def _show(self, phases: Sequence[Phase]) -> None:
        for phase in phases:
            if not await self._panel.show(self._spec.station, phase.on):
                break
            await asyncio.sleep(phase.for_s)
        if phases:
            await self._panel.show(self._spec.station, frozenset())
            await asyncio.sleep(DARK_S)


class Feedback:
    """All stations that show anything. `run` is its only task."""

    def __init__(self, stations: Sequence[StationFeedback], intakes: Mapping[str, SourceIntake]) -> None:
        self._panels = {name: Panel(name, intakes) for name in {spec.source for spec in stations}}
        self._beacons = [(spec.gun, Beacon(spec, self._panels[spec.source])) for spec in stations]

    def heard(self, gun: str, verdict: Verdict) -> None:
        """At every station that names the gun."""
        for name, beacon in self._beacons:
            if name == gun:
                beacon.heard(verdict)

    def switched(self, source: str, number: int, trouble: str) -> None:
        if source in self._panels:
            self._panels[source].switched(number, trouble)

    async def run(self) -> None:
        """Until cancelled; then all goes off, as long as the sources are still there."""
        try:
            async with asyncio.TaskGroup() as group:
                for _, beacon in self._beacons:
                    group.create_task(beacon.run())
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    await asyncio.gather(*(panel.dark() for panel in self._panels.values()))
