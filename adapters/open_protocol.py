"""Source `open-protocol`: a tightening controller that speaks Atlas Copco's Open Protocol over TCP.

Its page is open_protocol.md; what is on the wire is in `_open_protocol`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from adapters._open_protocol import (
    ACKNOWLEDGE,
    ASK_TIME,
    NEWEST,
    RESULT,
    TIME,
    Broken,
    CommandError,
    Counts,
    Message,
    Reading,
    Tightening,
    UnitIs,
    tightening,
    when,
)
from adapters._open_protocol_link import Link, Peer, connected, host_and_port, shown
from edge.contract import (
    Duration,
    Intake,
    Observation,
    Quality,
    Signal,
    SignalAddress,
    SourceSettings,
)
from edge.errors import NotRecorded

_LIVE_S = 3.0
"""A result that is younger is of now: the controller's clock counts whole seconds."""
_OLDEST_S = 31 * 86_400.0
"""A result that is older says that the clock was set, not that it is old."""
_CROSSED_S = 2.0
"""A result that comes again so soon after its acknowledgement was sent before that had arrived."""


def _connectable(connect: str) -> str:
    host_and_port(connect)
    return connect


class Settings(SourceSettings):
    """`[source.NAME]` with `type = "open-protocol"`."""

    connect: Annotated[str, Field(max_length=255), AfterValidator(_connectable)]
    """The controller's address, with its port where that is not 4545."""
    revision: int | None = Field(default=None, ge=1, le=7)
    """Of the results (MID 0061). Not given: the newest of 4, 3, 2, 1 that the controller knows."""
    unit: UnitIs = "vin"
    """What the unit's serial number is. Where that is empty, and with `scanned`, it is the unit that was
    scanned last at the station."""
    batch: Counts = "ok"
    """What the batch counter counts; it tells the joints of one unit apart."""
    torque_unit: str = Field(default="Nm", min_length=1, max_length=16)
    """Of results of revision 1 and 2, which do not say it."""
    keep_alive: Duration = Field(default=timedelta(seconds=5), le=timedelta(seconds=14))
    """After so long without a word the controller is asked whether it is there; it hangs up after 15 s."""
    answer: Duration = timedelta(seconds=3)
    """How long the controller may take to answer."""

    @model_validator(mode="after")
    def _has_the_part(self) -> "Settings":
        if self.unit.startswith("part-") and self.revision is not None and self.revision < 4:
            raise ValueError(f'unit = "{self.unit}" comes with revision 4 of the results')
        return self

    def needs_a_scan(self) -> bool:
        return self.unit == "scanned"

    def owns(self) -> list[str]:
        """The controller: most allow one client or few."""
        host, port = host_and_port(self.connect)
        return [f"open-protocol {host}:{port}"]

    def reading(self) -> Reading:
        return Reading(self.unit, self.batch, self.torque_unit)

    def peer(self) -> Peer:
        host, port = host_and_port(self.connect)
        newest = range(NEWEST, 3 if self.unit.startswith("part-") else 0, -1)
        revisions = newest if self.revision is None else [self.revision]
        answer_s, keep_alive_s = self.answer.total_seconds(), self.keep_alive.total_seconds()
        return Peer(host, port, self.connect, answer_s, keep_alive_s, revisions)


Address: type[SignalAddress] | None = None
gives = "results"

# --- the source -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ControllerClock:
    """What the controller's clock said, and when; None where it does not say."""

    said: datetime | None
    at_s: float

    def age_s(self, at: datetime | None, now_s: float) -> float | None:
        if self.said is None or at is None:
            return None
        return (self.said - at).total_seconds() + now_s - self.at_s


async def _clock(link: Link, now: Callable[[], float]) -> _ControllerClock:
    """MID 0080, answered by 0081 where the controller can."""
    said = await link.ask(Message(ASK_TIME), TIME)
    return _ControllerClock(None if isinstance(said, CommandError) else when(said.data[:19]), now())


class _Results:
    """Hands results over, and acknowledges each when it is on disk."""

    def __init__(self, link: Link, settings: Settings, intake: Intake) -> None:
        self._link = link
        self._reading = settings.reading()
        self._intake = intake
        self._now = asyncio.get_running_loop().time
        self._clock = _ControllerClock(None, 0.0)
        self._acknowledged = ""
        self._acknowledged_s = 0.0

    async def begin(self) -> None:
        self._clock = await _clock(self._link, self._now)

    async def take(self, message: Message | Broken) -> None:
        """One message that came; what is no result is passed over."""
        if isinstance(message, Broken):
            await self._recorded(self._bad(str(message)))
        elif message.mid == RESULT and await self._recorded(await self._observed(message)):
            await self._acknowledge(message.data)

    async def _acknowledge(self, data: str) -> None:
        """Once for copies that were sent before the first acknowledgement arrived.

        MID 0062 carries no number: a second one would be taken for that of the next result.
        """
        now_s = self._now()
        if data == self._acknowledged and now_s - self._acknowledged_s < _CROSSED_S:
            return
        await self._link.send(Message(ACKNOWLEDGE))
        self._acknowledged, self._acknowledged_s = data, now_s

    async def _observed(self, message: Message) -> Observation:
        try:
            found = tightening(message, self._reading)
        except Broken as error:
            return self._bad(f"{error}: {shown(message.data.encode('latin-1'))}")
        aged_ms = await self._aged_ms(found)
        return self._intake.observe(self._intake.name, found.result, aged_ms=aged_ms, detail=message.data)

    async def _aged_ms(self, found: Tightening) -> int | None:
        """How old a result is that waited in the controller; None for one of now.

        Before it is believed the clock is asked again: it may have been set since, as in the night when
        summer time ends.
        """
        age_s = self._clock.age_s(found.at, self._now())
        if age_s is None or abs(age_s) < _LIVE_S:
            return None
        await self.begin()
        age_s = self._clock.age_s(found.at, self._now())
        return round(age_s * 1000) if age_s is not None and _LIVE_S <= age_s < _OLDEST_S else None

    def _bad(self, reason: str) -> Observation:
        return self._intake.observe(self._intake.name, None, quality=Quality.BAD, detail=reason)

    async def _recorded(self, observation: Observation) -> bool:
        try:
            [outcome] = await self._intake.emit([observation])
        except NotRecorded:
            return False
        return outcome.recorded and observation.quality is Quality.GOOD


async def collect(settings: Settings, signals: Sequence[Signal[Any]], intake: Intake) -> None:
    """Hand over each tightening under the source's name; MID 0062 when it is on disk.

    Raises SourceLost, SourceRefused.
    """
    async with connected(intake.name, settings.peer()) as link:
        await link.start()
        await link.subscribe()
        results = _Results(link, settings, intake)
        await results.begin()
        intake.connected()
        while True:
            await results.take(await link.next())
