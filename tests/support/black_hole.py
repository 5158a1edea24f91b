"""A proxy on loopback that turns into a black hole: all is swallowed, and nobody gets a FIN or a RST."""

import asyncio
import contextlib
import socket
from types import TracebackType

_AT_ONCE = 65_536
_FILLERS = 8
_LOOK_S = 0.01


class BlackHole:
    """`async with BlackHole(port) as hole:` forwards `hole.port` to `port`, both on 127.0.0.1.

    A connection that was open when the hole came stays dead for ever, as behind a firewall that has
    forgotten it: each end keeps its own half, and hears nothing of the other's end. A new one is not
    accepted while the hole is there: its SYN is dropped by the kernel, for the listening socket's queue
    is full.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.connections = 0
        """How many were accepted since the start, and forwarded."""
        self._target = target
        self._listening = socket.socket()
        self._open = asyncio.Event()
        self._flows: list[_Flow] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._fillers: list[socket.socket] = []

    async def __aenter__(self) -> "BlackHole":
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(0)  # one in the queue, and it is full
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        self._open.set()
        self._tasks.append(asyncio.create_task(self._accept()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in (*self._fillers, self._listening, *(flow.near for flow in self._flows)):
            one.close()

    async def swallow(self) -> None:
        """From now on nothing goes through."""
        self._open.clear()
        for flow in self._flows:
            flow.is_dead = True
        loop = asyncio.get_running_loop()
        for _ in range(_FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            self._fillers.append(filler)
            try:
                await asyncio.wait_for(loop.sock_connect(filler, ("127.0.0.1", self.port)), 0.2)
            except TimeoutError:
                return
        raise AssertionError("the queue of the listening socket never was full")

    def heal(self) -> None:
        """New connections are accepted again; those that were open stay dead."""
        for one in self._fillers:
            one.close()
        self._fillers.clear()
        self._open.set()

    async def _accept(self) -> None:
        while True:
            await self._open.wait()
            try:
                near, _ = self._listening.accept()
            except BlockingIOError:
                await asyncio.sleep(_LOOK_S)
                continue
            flow = _Flow(near, self._target)
            self._flows.append(flow)
            self.connections += 1
            self._tasks.append(asyncio.create_task(flow.run()))


class _Flow:
    """One connection and its other half."""

    def __init__(self, near: socket.socket, target: int) -> None:
        self.is_dead = False
        self.near = near
        self._target = target

    async def run(self) -> None:
        self.near.setblocking(False)
        far = socket.socket()
        far.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(far, ("127.0.0.1", self._target))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pipe(self.near, far))
                tasks.create_task(self._pipe(far, self.near))
        except* OSError:
            pass
        finally:
            self.near.close()
            far.close()

    async def _pipe(self, one: socket.socket, other: socket.socket) -> None:
        """Raises OSError at the end, which ends the other direction too; in the hole, it ends nothing."""
        loop = asyncio.get_running_loop()
        ended: OSError | None = None
        while ended is None:
            try:
                data = await loop.sock_recv(one, _AT_ONCE)
                if data and not self.is_dead:
                    await loop.sock_sendall(other, data)
                elif not data:
                    ended = ConnectionResetError("closed")
            except OSError as error:
                ended = error
        if self.is_dead:
            with contextlib.suppress(OSError):
                one.close()
            await asyncio.Event().wait()
        raise ended
