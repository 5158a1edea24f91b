"""One connection at a time to a line, made anew where the far end has closed it after it answered."""

import asyncio
from collections.abc import Callable

from adapters._modbus.counts import Counts
from adapters._modbus.lines import RtuTcpLine, SerialLine, TcpLine
from adapters._modbus.ports import OPENING, SerialPort, Socket, reason
from edge.errors import SourceLost

_PAUSES_S = (0.0, 0.1, 0.3)
"""Before each try to connect anew: a device that allows one connection has to notice the end of the last."""
_SHORT = 3
"""Connections in a row that were closed after one answer each: then that is the device's habit."""
_IDLE = 2
"""Connections in a row that were closed after the same time without a request: then that is its habit."""
_SAME_S, _SAME = 0.3, 0.2
"""Two such times are the same where they differ by so much, or by this share of the longer one."""
_CONNECT_S = 1.5
"""To connect takes what the network takes, however quickly the device answers then."""
_FAREWELL_S = 0.05
"""How long such a device is given to close before the next request goes out."""


class Connection:
    """The port or socket of one line. Any method may raise SourceLost."""

    def __init__(
        self,
        source: str,
        line: TcpLine | SerialLine | RtuTcpLine,
        counts: Counts,
        heard: Callable[[bytes], None],
        closed: Callable[[], None],
    ) -> None:
        self._source = source
        self.line = line
        self._counts = counts
        self._heard = heard
        self._closed = closed
        self._port: Socket | SerialPort | None = None
        self.is_open = False
        self.answers = 0
        """Since it was opened."""
        self.opened = 0
        """How often it was."""
        self._short = 0
        self._has_answered = False
        self._asked_at = 0.0
        """When the last request went out, or it was opened."""
        self._answers_then = -1
        """As many as there were before the last request."""
        self._idle_s: list[float] = []
        """After which times without a request the last connections were closed by the far end."""
        self._unused = 0
        """Connections that the far end closed before anything was asked, at some other time."""

    async def open(self, timeout_s: float) -> None:
        """Connect; what was open before is closed first."""
        self.close()
        line = self.line
        try:
            if isinstance(line, SerialLine):
                self._port = SerialPort(line, self._heard, self._gone)
                self._opened(self._port)
                return
            async with asyncio.timeout(max(timeout_s, _CONNECT_S)):
                self._port = await Socket.open(line, self._heard, self._gone)
            self._opened(self._port)
        except TimeoutError as error:
            raise self.lost(f"{line} does not answer; is it on, and the address right?") from error
        except OPENING as error:
            raise self.lost(f"cannot open {line}: {reason(error)}") from error

    def _opened(self, port: Socket | SerialPort) -> None:
        """The far end may have closed it already."""
        self.opened += 1
        self.answers, self.is_open = 0, port.is_open
        self._asked_at, self._answers_then = asyncio.get_running_loop().time(), -1

    async def again(self, timeout_s: float, unit: int) -> None:
        """Close the connection and make a new one, for a request to this unit."""
        self.close()
        self._counts.of(unit).reconnects += 1
        for pause_s in _PAUSES_S[:-1]:
            await asyncio.sleep(min(pause_s, timeout_s))
            try:
                await self.open(timeout_s)
                return
            except SourceLost:
                pass
        await asyncio.sleep(min(_PAUSES_S[-1], timeout_s))
        await self.open(timeout_s)

    def close(self) -> None:
        """Let go of the port or socket; harmless when it is closed."""
        if self._port is not None:
            self._port.close()
            self._port = None
        self.is_open = False

    @property
    def is_ready(self) -> bool:
        """The next request may go out at once; else `ready` makes it so."""
        return self.is_open and self._short < _SHORT

    @property
    def closes_by_habit(self) -> bool:
        """The far end closes each connection after one answer, or after some time without a request: that
        it did says nothing of the device."""
        is_left = self._is_unused and not self.is_open
        return self._short >= _SHORT or self._closes_when_idle or is_left

    @property
    def _closes_when_idle(self) -> bool:
        return len(self._idle_s) >= _IDLE or self._unused >= _IDLE

    @property
    def _is_unused(self) -> bool:
        """Those before it were answered on, and on this one nothing was asked."""
        return self._has_answered and self._answers_then < 0

    def check(self) -> None:
        """Raises SourceLost where the port has gone, or the far end has closed before it ever answered."""
        if self.is_open or self.answers or self._closes_when_idle or self._is_unused:
            return
        gone = "the port is gone:" if isinstance(self.line, SerialLine) else "the connection was closed by"
        raise self.lost(f"{gone} {self.line}")

    async def ready(self, timeout_s: float, unit: int) -> None:
        """Have a connection for the next request."""
        if self._short >= _SHORT and self.answers and self.is_open:
            await self._farewell()
        if self.is_open:
            return
        self.check()
        try:
            await self.again(timeout_s, unit)
        except SourceLost as error:
            raise self.lost(f"the connection was closed by {self.line}; {error.reason}") from error

    async def _farewell(self) -> None:
        assert self._port is not None
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self._port.gone.wait()
        except TimeoutError:
            self._short = 0

    def write(self, data: bytes) -> None:
        if self._port is not None:
            self._asked_at, self._answers_then = asyncio.get_running_loop().time(), self.answers
            self._port.write(data)

    def lost(self, why: str) -> SourceLost:
        return SourceLost(self._source, why)

    def _gone(self) -> None:
        self.is_open = False
        if isinstance(self.line, SerialLine):
            self.answers = 0
        self._has_answered = self._has_answered or self.answers > 0
        idle_s = asyncio.get_running_loop().time() - self._asked_at
        if isinstance(self.line, SerialLine) or not self._has_answered or self.answers == self._answers_then:
            self._idle_s.clear()
            self._unused = 0
        elif idle_s > _SAME_S or self._is_unused:
            self._note_idle(idle_s)
            self._closed()
            return
        self._short = self._short + 1 if self.answers == 1 else 0
        if self._short == _SHORT:
            self._counts.note(
                f"{self.line} closes the connection after each answer; it is made anew for each request, "
                "which costs time. Is a keep-alive or idle time set in the device?"
            )
        self._closed()

    def _is_as_last(self, idle_s: float) -> bool:
        last_s = self._idle_s[-1] if self._idle_s else idle_s
        return abs(idle_s - last_s) <= max(_SAME_S, _SAME * max(idle_s, last_s))

    def _note_idle(self, idle_s: float) -> None:
        """It was closed so long after the last request, or after it was opened."""
        was_known = self._closes_when_idle
        if self._is_unused and not self._is_as_last(idle_s):
            self._unused += 1
        elif self._is_as_last(idle_s):
            self._idle_s = [*self._idle_s[-_IDLE:], idle_s]
        else:
            self._idle_s = [idle_s]
        if self._closes_when_idle and not was_known:
            self._counts.note(
                f"{self.line} closes a connection on which nothing was asked for {idle_s:.1f} s; it is made "
                "anew when the next request is due. Is a keep-alive or idle time set in the device?"
            )
