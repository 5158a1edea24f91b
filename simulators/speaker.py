"""A device that sends bytes and may wait for an answer: a gun, a rig, a scale, whatever they say."""

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from simulators.carriers import Carrier, SerialCarrier

_LONGEST = 4096
_LOOK_AGAIN_S = 0.02


class Speaker:
    """On a carrier; a path is a serial port that its host opens there."""

    def __init__(self, carrier: Carrier | Path) -> None:
        self.carrier = SerialCarrier(carrier) if isinstance(carrier, Path) else carrier
        self._heard = b""
        self._arrived = asyncio.Event()

    def open(self) -> AbstractContextManager[None]:
        """Plugged in."""
        return self.carrier.open(self._hear)

    def send(self, data: bytes) -> None:
        """Send, and expect nothing."""
        self.carrier.send(data)

    async def ask(self, data: bytes, answers: Sequence[bytes], patience_s: float) -> bytes | None:
        """Send; the first of these answers that comes in time, or None. Earlier answers do not count."""
        self.forget()
        self.carrier.send(data)
        with contextlib.suppress(TimeoutError):
            return await self.heard(answers, patience_s)
        return None

    async def heard(self, answers: Sequence[bytes], patience_s: float | None) -> bytes:
        """Wait for the first of these; what came before it is forgotten with it. Raises TimeoutError."""
        async with asyncio.timeout(patience_s):
            while not (found := [answer for answer in answers if answer in self._heard]):
                self._arrived.clear()
                await self._arrived.wait()
        first = min(found, key=lambda answer: (self._heard.index(answer), -len(answer)))
        self._heard = self._heard[self._heard.index(first) + len(first) :]
        return first

    async def line(self, end: bytes) -> bytes:
        """What the host says next, up to its end and without it."""
        while end not in self._heard:
            self._arrived.clear()
            await self._arrived.wait()
        said, _, self._heard = self._heard.partition(end)
        return said

    def forget(self) -> None:
        """What has come so far."""
        self.carrier.take()
        self._heard = b""

    async def hang_up(self, away_s: float) -> None:
        """Unplugged, and plugged in again after so long."""
        self.carrier.hang_up(away_s)
        await asyncio.sleep(away_s + _LOOK_AGAIN_S)

    def _hear(self, data: bytes) -> None:
        self._heard = (self._heard + data)[-_LONGEST:]
        self._arrived.set()
