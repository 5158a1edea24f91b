"""The life of a source on a serial line that speaks for itself: a frame, a record, an answer."""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec.structs import replace

from adapters._serial_frames import shown
from adapters._serial_port import Arrival, LineSettings, serial_line
from edge.contract import Intake, Observation, Quality, Value, Verdict
from edge.errors import NotRecorded


class Broken(ValueError):
    """A whole frame that makes no sense; the text says why."""


Read = Callable[[bytes], tuple[Value, str]]
"""A frame's bytes to its value and detail; raises Broken."""


async def converse(
    settings: LineSettings,
    intake: Intake,
    read: Read,
    thanks: Mapping[Verdict, str],
    repeats: Literal["answer-each", "answer-last"],
) -> None:
    """Take a frame, hand it over, answer when it is on disk; until the port is gone.

    `thanks` is what is written for each verdict; for any other, for a broken frame and for one
    that was not recorded it is `settings.refuse`. With "answer-last", of equal frames that wait
    behind each other only the last is answered. Raises SourceLost, SourceRefused.
    """
    async with serial_line(settings, intake) as line:
        intake.connected()
        while True:
            arrival = await line.next()
            answer = await _recorded(_observed(arrival, read), intake, thanks)
            if repeats == "answer-each" or not line.repeated(arrival.frame):
                await line.write((settings.refuse if answer is None else answer).encode("latin-1"))


def _observed(arrival: Arrival, read: Read) -> Observation:
    frame, reason = arrival.frame, arrival.frame.broken
    if not reason:
        try:
            value, detail = read(frame.raw)
            return replace(arrival.stamped, value=value, detail=detail)
        except Broken as error:
            reason = str(error)
    detail = f"{reason}: {shown(frame.raw)}" if frame.raw else reason
    return replace(arrival.stamped, quality=Quality.BAD, detail=detail)


async def _recorded(observation: Observation, intake: Intake, thanks: Mapping[Verdict, str]) -> str | None:
    """The thanks that are due once it is on disk; None: it must be refused."""
    try:
        [outcome] = await intake.emit([observation])
    except NotRecorded:
        return None
    return thanks.get(outcome.verdict) if observation.quality is Quality.GOOD else None
