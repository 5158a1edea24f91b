"""Source `testrig`: a test rig or a scale that sends what it measured, on a serial port or over TCP.

Its page is testrig.md. `_rig_format` and `_rig_parse` say how a result is written and read, `_rig_checksum`
how a frame is known to be whole, `_rig_talk` who says what when. Here is what needs a clock and a wire.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Literal, Self

from msgspec.structs import replace
from pydantic import Field, model_validator

from adapters._flood import Flood
from adapters._frames import Frame, Framing, shown
from adapters._rig_answers import Answered, Asker
from adapters._rig_checksum import MARKED, Checksum
from adapters._rig_format import ResultFormat
from adapters._rig_parse import Parsed
from adapters._rig_talk import ENQ, EOT, Due, Gather, Load, Talk, Turn, says_something
from adapters._stream import Arrival, Line, open_line
from adapters._stream_settings import Bytes, LineSettings
from edge.contract import (
    Duration,
    Intake,
    Observation,
    Quality,
    Signal,
    SignalAddress,
    SourceLost,
    refuse,
)
from edge.errors import NotRecorded


class Settings(LineSettings, ResultFormat):
    """`[source.NAME]` with `type = "testrig"`."""

    longest: int = Field(default=4096, ge=1, le=65_536)
    """Bytes of a frame at the most, without its begin, end and trailer."""
    idle: Duration = timedelta(seconds=1)
    """A frame without an end is given up after so long without a byte."""
    handshake: Literal["ack", "enq", "none"] = "ack"
    """`ack`: each frame is answered. `enq`: the rig asks with ENQ before it sends. `none`: no answers."""
    confirm: Bytes = "\x06"
    """Written back once the result is on disk; empty: nothing."""
    refuse: Bytes = "\x15"
    """Written back when it was refused, broken or could not be recorded; empty: nothing."""
    checksum: Literal["auto", "none", "xor"] | Checksum = "auto"
    """How a frame says that it is whole; `auto`: `*HH` is checked where it is there."""
    gather: Gather | None = None
    """A result of several frames, a line each."""
    ask: Bytes = ""
    """Written to a device that only answers."""
    every: Duration = timedelta(seconds=1)
    """How often it is asked."""
    patience: Duration = timedelta(seconds=3)
    """So long its answer may take: a scale may wait until it has come to rest."""
    load: Load | None = None
    """Of all the weights that come, one for each load."""

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, data: Any) -> Any:
        """A `*HH` is looked for in key=value alone; without a handshake there is nothing to answer."""
        if not isinstance(data, dict):
            return data
        usual: dict[str, str] = {}
        if data.get("format", "key=value") != "key=value":
            usual["checksum"] = "none"
        if data.get("handshake") == "none":
            usual |= {"confirm": "", "refuse": ""}
        return usual | data

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """In the place of those of the parts, so that all faults are told together."""
        refuse(*self.clashes())
        return self

    def clashes(self) -> Iterator[str]:
        """What of it cannot be together, a sentence each."""
        yield from LineSettings.clashes(self)
        yield from ResultFormat.clashes(self)
        if self.handshake == "none" and (self.confirm or self.refuse):
            yield 'confirm and refuse are never written with handshake = "none"; leave them out'
        if self.handshake == "enq" and not self.confirm:
            yield 'handshake = "enq" needs a confirm: the rig waits for it'
        if self.ask and self.handshake != "none":
            yield 'with ask write handshake = "none": a device that only answers takes an ACK for a command'
        if {"every", "patience"} & self.model_fields_set and not self.ask:
            yield "every and patience are of a device that is asked; write ask too"
        behind = self.checksum.trailer() if isinstance(self.checksum, Checksum) else 0
        if behind and self.trailer not in (0, behind):
            yield f"trailer is {self.trailer}, but the checksum takes {behind} bytes; leave it out"
        if behind and not self.ends():
            yield "a checksum behind the end needs an end, and a pause is none"
        yield from self._clashes_of_text()

    def _clashes_of_text(self) -> Iterator[str]:
        if self.encoding == "utf-16":
            yield 'encoding = "utf-16" is for files: on a wire half a character may look like an end'
        if self.format in ("key=value", "csv") and self.separator.encode(self.encoding) in self.ends():
            yield f"{self.separator!r} cannot be both `separator` and `end`"
        if self.gather and self.holds != "lines":
            yield 'gather makes one result of several lines; write holds = "lines"'
        if self.load and self.load.step not in [one.name for one in self.step]:
            yield f"load.step: no step has the name {self.load.step!r}"
        if self.gather and self.gather.answer == "each" and self.handshake == "none":
            yield 'gather.answer = "each" needs a handshake'

    @property
    def begin_bytes(self) -> bytes:
        """The begin as it is on the wire."""
        return self.begin.encode("latin-1")

    @property
    def sum(self) -> Checksum | None:
        """How a frame says that it is whole."""
        if isinstance(self.checksum, Checksum):
            return self.checksum
        return None if self.checksum == "none" else MARKED

    @property
    def sum_may_lack(self) -> bool:
        return self.checksum == "auto"

    @property
    def message(self) -> ResultFormat:
        """How a result is written."""
        return self

    def framing(self) -> Framing:
        """How the frames are cut; what the handshake and the checksum need is added."""
        singles = self.singles or (ENQ + EOT if self.handshake == "enq" else "")
        trailer = self.checksum.trailer() if isinstance(self.checksum, Checksum) else self.trailer
        return Framing(
            self.ends(), self.longest, self.idle.total_seconds(),
            begin=self.begin_bytes, trailer=trailer, singles=singles.encode("latin-1"),
        )  # fmt: skip

    @property
    def resends(self) -> bool:
        """Whether the same text may be the same result: a scale that is never answered sends nothing again,
        and two parts may well weigh the same."""
        return self.handshake != "none" or self.unit == "sent"

    def waited(self) -> Literal["refuse", "take", "drop"]:
        """A rig that waits for an answer sends again what waited in the port; any other would lose it.

        What is read all the time says nothing that the next reading does not say.
        """
        if self.ask or self.load:
            return "drop"
        return "take" if self.handshake == "none" and self.unit == "sent" else "refuse"

    def needs_a_scan(self) -> bool:
        """Whether its results are those of the unit that was scanned last."""
        return self.unit == "scanned"

    def warnings(self) -> list[str]:
        """What is allowed but unwise, a sentence each."""
        return [*super().warnings(), *self.doubts()]


Address: type[SignalAddress] | None = None
gives = "results"


async def collect(settings: Settings, signals: Sequence[Signal[Any]], intake: Intake) -> None:
    """Hand over each result under the source's name; ACK the rig when it is on disk.

    Raises SourceLost, SourceRefused.
    """
    async with open_line(settings, intake, waited=settings.waited()) as line:
        intake.connected()
        await _converse(settings, line, intake)


async def _converse(settings: Settings, line: Line, intake: Intake) -> None:
    now_s = asyncio.get_running_loop().time
    talk = Talk(settings)
    every_s, patience_s = settings.every.total_seconds(), settings.patience.total_seconds()
    asker = Asker(every_s, patience_s, now_s()) if settings.ask else None
    flood = Flood()
    answered = Answered(settings.baud if settings.port else None)
    while True:
        dues = [one for one in (talk.due_s, flood.due_s, asker.due_s if asker else None) if one is not None]
        try:
            arrival = await line.next_within(min(dues) - now_s() if dues else None)
        except SourceLost:
            await _tell_flood(intake, flood.words(now_s()))
            raise
        if flood.due_s is not None and now_s() >= flood.due_s:
            await _tell_flood(intake, flood.words(now_s()))
        if asker:
            await _ask(settings, line, intake, asker, answered=arrival is not None)
        if arrival is None:
            await _take(settings, line, intake, answered, flood, None, talk.expire(now_s()))
        else:
            crossed = answered.crossed(arrival.frame, now_s())
            turns = await _read(talk, arrival.frame, now_s())
            confirmed = await _take(settings, line, intake, answered, flood, arrival, turns, crossed=crossed)
            if not crossed:
                answered.confirmed(arrival.frame if confirmed else None, now_s())


async def _read(talk: Talk, frame: Frame, now_s: float) -> list[Turn]:
    """What a frame comes to. A long one is read in a thread: the agent has other devices."""
    if talk.takes_long(frame):
        return await asyncio.to_thread(talk.take, frame, now_s)
    return talk.take(frame, now_s)


async def _take(
    settings: Settings, line: Line, intake: Intake, answered: Answered, flood: Flood,
    arrival: Arrival | None, turns: Sequence[Turn], *, crossed: bool = False,
) -> bool:  # fmt: skip
    """Hand over, and answer unless the rig waits for no answer to this. Whether a result was confirmed.

    A rig that has said more has given this up: its answer would be taken for that of the next result. What
    has nothing to record does not make good what was refused before it and not answered.
    """
    stamped = arrival.stamped if arrival else intake.observe(intake.name, None)
    confirmed = False
    for turn in turns:
        answer = await _answer(settings, intake, stamped, turn, flood)
        if turn.due is Due.CONFIRM and arrival and arrival.frame.kind == "frame" and answered.refused:
            answer = settings.refuse
        if crossed or turn.due is Due.NOTHING:
            continue
        if line.said_since(says_something):
            answered.refused = answer != settings.confirm
        else:
            answered.refused = False
            await line.write(answer.encode("latin-1"))
            confirmed = turn.due is Due.VERDICT and answer == settings.confirm
    return confirmed


async def _ask(settings: Settings, line: Line, intake: Intake, asker: Asker, *, answered: bool) -> None:
    """Ask when it is time. Raises SourceLost where no answer ever comes."""
    now_s = asyncio.get_running_loop().time()
    if answered:
        asker.heard()
    if not asker.is_due(now_s):
        return
    if asker.in_vain:
        what = f"{line.name} does not answer {settings.ask!r}"
        raise SourceLost(intake.name, f"{what}; is it switched on, and are `baud`, `parity` and `ask` right?")
    asker.asked(now_s)
    await line.write(settings.ask.encode("latin-1"))


async def _tell_flood(intake: Intake, words: str) -> None:
    if words:
        await _recorded(intake, [intake.observe(intake.name, None, quality=Quality.BAD, detail=words)])


async def _answer(settings: Settings, intake: Intake, stamped: Observation, turn: Turn, flood: Flood) -> str:
    """Hand over, and what is to be written back. Of a flood of broken ones most are only counted."""
    now_s = asyncio.get_running_loop().time()
    observed = [_observed(settings, stamped, one, turn.raw) for one in turn.results]
    told = [one for one in observed if one.quality is Quality.GOOD or flood.is_told(one.detail, now_s)]
    recorded = await _recorded(intake, told) and len(told) == len(observed)
    match turn.due:
        case Due.NOTHING:
            return ""
        case Due.CONFIRM:
            return settings.confirm
        case Due.REFUSE:
            return settings.refuse
        case Due.VERDICT:
            return settings.confirm if recorded else settings.refuse


def _observed(settings: Settings, stamped: Observation, parsed: Parsed, raw: bytes) -> Observation:
    """A result with its text, by which a repeated one is recognised; or why it is none."""
    if parsed.result is not None:
        detail = parsed.raw if settings.resends else f"{parsed.raw} @ {stamped.seen_ms}"
        return replace(stamped, value=parsed.result, detail=detail)
    detail = f"{parsed.reason}: {shown(raw)}" if raw else parsed.reason
    return replace(stamped, quality=Quality.BAD, detail=detail)


async def _recorded(intake: Intake, observations: list[Observation]) -> bool:
    """Whether all of them are results that are on disk."""
    if not observations:
        return True
    try:
        outcomes = await intake.emit(observations)
    except NotRecorded:
        return False
    good = all(one.quality is Quality.GOOD for one in observations)
    return good and all(one.recorded for one in outcomes)
