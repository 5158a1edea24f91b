"""Values that are written to a device: looked for, written, read back, answered. The same for every protocol.

One task for each target, so that a device that takes its time over one holds up neither another nor a read.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from edge.contract import Ask, Done, DoneState, Intake, SourceRefused, WriteAsk, WriteValue

WAITING = 4
"""Asks of one target; its asker waits for each answer, so more than one is rare."""
LOOK_AGAIN_S = 0.2
"""Between two looks at a place that still shows the value before."""
LONGEST_FOUND = 200
LONGEST_DETAIL = 500
_NOT_WRITTEN = "another value was wanted before it was written"
_NOT_READ_BACK = "it was written, and another value was wanted before it was read back"


class UnfitError(Exception):
    """The place cannot be read or written; its text is for a person."""


class MisfitError(UnfitError):
    """The value is none that fits there."""


class SilentError(Exception):
    """No answer came on a connection that stands: nobody knows what the device holds. Its text is for a
    person."""


class Place(Protocol):
    """One target on this connection. All methods raise UnfitError, SilentError, and SourceLost with the
    connection."""

    async def look(self, value: WriteValue) -> tuple[bool, str | None]:
        """Read, on the wire: whether it holds the value, and what it holds, as text."""

    async def ready(self, value: WriteValue) -> None:
        """Ask all that must be known before a write: after this `write` sends at once."""

    async def write(self, value: WriteValue, is_wanted: Callable[[], bool]) -> bool:
        """Returns when the device has taken it, or says so. After SilentError it may have taken it: the look
        that follows tells.

        Asks `is_wanted` right before the wire has it; False where it was not wanted any more: nothing was
        sent.
        """


class Desk:
    """Takes the asks of one connection to its places."""

    def __init__(self, intake: Intake, places: Mapping[str, Place]) -> None:
        """`places` by the names of the intake's targets."""
        self._intake = intake
        self._places = places
        self._confirm_s = {one.name: one.confirm.total_seconds() for one in intake.targets}
        self._queues = {name: asyncio.Queue[Ask](WAITING) for name in places}

    def put(self, ask: Ask) -> None:
        """Never waits. Of too many the oldest is forgotten: its asker waits no more."""
        queue = self._queues.get(ask.write.target) if ask.write is not None else None
        if queue is None:
            return
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(ask)

    async def run(self) -> None:
        """Until cancelled or the connection is gone: raises a group of SourceLost. Returns where there is no
        place."""
        async with asyncio.TaskGroup() as group:
            for name in self._places:
                group.create_task(self._serve(name), name=f"write {name}")

    async def _serve(self, name: str) -> None:
        queue, place = self._queues[name], self._places[name]
        while True:
            ask = await queue.get()
            if ask.write is not None:
                done = await carried_out(ask.write, place, self._confirm_s[name])
                self._intake.written(ask.number, done)


async def carried_out(ask: WriteAsk, place: Place, confirm_s: float) -> Done:
    """Look, or write and read back; what is not wanted any more is not written. Raises SourceLost."""
    silence = ""
    try:
        if not ask.only_look:
            await place.ready(ask.value)
            try:
                if not await place.write(ask.value, ask.is_wanted):
                    return Done(DoneState.STALE, detail=_NOT_WRITTEN)
            except SilentError as error:  # it may have been taken: it is not sent again, but looked at
                silence = str(error)
            if not ask.is_wanted():
                return Done(DoneState.STALE, detail=_NOT_READ_BACK)
        is_there, found = await _read_back(ask, place, 0.0 if ask.only_look else confirm_s)
    except MisfitError as error:
        return Done(DoneState.UNFIT, detail=plain(str(error), LONGEST_DETAIL))
    except UnfitError as error:
        return Done(DoneState.REFUSED, detail=plain(str(error), LONGEST_DETAIL))
    except SilentError as error:
        return Done(DoneState.SILENT, detail=plain(str(error), LONGEST_DETAIL))
    except SourceRefused as error:
        return Done(DoneState.REFUSED, detail=plain(error.reason, LONGEST_DETAIL))
    held = None if found is None else plain(found, LONGEST_FOUND)
    if is_there:
        return Done(DoneState.THERE, held)
    detail = silence and f"it was written, but {silence}; it reads back {held or 'an empty text'}"
    return Done(DoneState.OTHER, held, plain(detail, LONGEST_DETAIL))


def plain(text: str, longest: int) -> str:
    """A device's own words go to a log and to the journal: printable, and no longer than this."""
    return "".join(one if one.isprintable() else "?" for one in text[:longest])


async def _read_back(ask: WriteAsk, place: Place, confirm_s: float) -> tuple[bool, str | None]:
    """A device may show the value before for a moment; the last look is what counts."""
    now = asyncio.get_running_loop().time
    until = now() + confirm_s
    while True:
        is_there, found = await place.look(ask.value)
        if is_there or now() >= until or not ask.is_wanted():
            return is_there, found
        await asyncio.sleep(LOOK_AGAIN_S)
