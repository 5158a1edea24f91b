"""A device on a pty that can be unplugged, and an intake whose disk can be slow."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from edge.contract import Observation, Outcome, SourceError
from tests.support.intake import MemoryIntake


class PtyDevice:
    """The device's end of a cable. `link` is the port's name and survives a replug.

    The other end is kept open here too, so that what is sent before anybody opens the port
    waits in it, as in a USB adapter.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self._fds: tuple[int, int] | None = None
        self.plug()

    @property
    def port(self) -> str:
        return str(self.link)

    @property
    def far_fd(self) -> int:
        """The port's own end, to set the terminal from the test."""
        assert self._fds is not None
        return self._fds[1]

    @property
    def _fd(self) -> int:
        assert self._fds is not None, "unplugged"
        return self._fds[0]

    def plug(self) -> None:
        near, far = os.openpty()
        tty.setraw(far)
        os.set_blocking(near, False)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(far))
        self._fds = near, far

    def unplug(self) -> None:
        if self._fds is not None:
            self.link.unlink()
            for fd in self._fds:
                os.close(fd)
            self._fds = None

    async def send(self, data: bytes) -> None:
        """Write all of it; wait while the port's buffer is full."""
        async with asyncio.timeout(10):
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except BlockingIOError:
                    await asyncio.sleep(0.001)

    def heard_now(self) -> bytes:
        """What the agent has written since the last time."""
        try:
            return os.read(self._fd, 65_536)
        except BlockingIOError:
            return b""

    async def heard(self, count: int, timeout_s: float = 10.0) -> bytes:
        """Wait for `count` bytes of the agent's; gives more if there is more."""
        heard = b""
        async with asyncio.timeout(timeout_s):
            while len(heard) < count:
                heard += self.heard_now()
                await asyncio.sleep(0.001)
        return heard

    async def silent(self, for_s: float = 0.1) -> bool:
        """True if the agent writes nothing for so long."""
        until_s = asyncio.get_running_loop().time() + for_s
        while asyncio.get_running_loop().time() < until_s:
            if self.heard_now():
                return False
            await asyncio.sleep(0.005)
        return True


@contextmanager
def plugged(link: Path) -> Iterator[PtyDevice]:
    """A device until the end of the block."""
    device = PtyDevice(link)
    try:
        yield device
    finally:
        device.unplug()


class SlowIntake(MemoryIntake):
    """Says when the port is open; hands nothing to the disk while `disk` is cleared."""

    def __init__(self, name: str, outcome: Callable[[Observation], Outcome] | None = None) -> None:
        super().__init__(name, outcome)
        self.open = asyncio.Event()
        self.disk = asyncio.Event()
        self.disk.set()
        self.waiting = asyncio.Event()

    def connected(self) -> None:
        super().connected()
        self.open.set()

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        self.waiting.set()
        await self.disk.wait()
        return await super().emit(observations)


@asynccontextmanager
async def running(
    collect: Coroutine[None, None, None], intake: SlowIntake
) -> AsyncIterator[asyncio.Task[SourceError | None]]:
    """The source, open and listening; cancelled at the end. The task gives how it was lost."""

    async def lost() -> SourceError | None:
        try:
            await collect
        except SourceError as error:
            return error
        return None

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(lost())
        await intake.open.wait()
        yield task
        task.cancel()
