"""A device on a serial port that sends bytes and may wait for an answer: a gun, a rig, whatever they say."""

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from simulators.ptyport import PtyPort

_LONGEST = 4096


class Speaker:
    """Its host opens the port at `link`."""

    def __init__(self, link: Path) -> None:
        self._port = PtyPort(link)
        self._heard = b""
        self._arrived = asyncio.Event()

    def open(self) -> AbstractContextManager[None]:
        """Plugged in."""
        return self._port.open(self._hear)

    def send(self, data: bytes) -> None:
        """Send, and expect nothing."""
        self._port.send(data)

    async def ask(self, data: bytes, answers: Sequence[bytes], patience_s: float) -> bytes | None:
        """Send; the first of these answers that comes in time, or None. Earlier answers do not count."""
        self._port.take()
        self._heard = b""
        self._port.send(data)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while not any(answer in self._heard for answer in answers):
                    self._arrived.clear()
                    await self._arrived.wait()
        found = [answer for answer in answers if answer in self._heard]
        return min(found, key=self._heard.index, default=None)

    def _hear(self, data: bytes) -> None:
        self._heard = (self._heard + data)[-_LONGEST:]
        self._arrived.set()
