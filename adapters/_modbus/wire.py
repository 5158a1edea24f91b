"""One open Modbus connection, TCP or serial: one request at a time, and no answer but to it.

The transport is pymodbus without its retries and reconnects. Every byte that arrives passes
through `_packet` first, and only the exact answer to the open request goes on to pymodbus's decoder: by
itself it takes a reply of another function or length, and on a serial line a late one, for the answer.
"""

import asyncio
import errno
import os
import termios
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pymodbus import ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException
from pymodbus.pdu import ModbusPDU

from adapters._modbus.codec import BIT_TABLES, Cells, Table, WrongReply, reply_bytes, rtu_reply, tcp_reply
from adapters._modbus.lines import SerialLine, TcpLine
from adapters._modbus.outputs import Write
from adapters._modbus.plan import Block
from edge.errors import SourceLost

_NEVER_S = 3600.0
"""pymodbus's own limit for an answer; the one that counts is set here and is far shorter."""

_HINTS = {
    errno.ENOENT: "is the adapter plugged in? ls /dev/serial/by-id shows those that are",
    errno.EACCES: "may this user open it? Serial ports belong to the group dialout",
    errno.EPERM: "may this user open it? Serial ports belong to the group dialout",
    errno.EAGAIN: "another program has it open; fuser -v shows which",
    errno.EBUSY: "another program has it open; fuser -v shows which",
    errno.ENOTTY: "it is not a serial port",
    errno.ECONNREFUSED: "nothing listens there; is Modbus TCP switched on in the device, at this port?",
    errno.EHOSTUNREACH: "is the device on, and the cable in?",
    errno.ENETUNREACH: "does this machine have an address in the device's network?",
}


class NoAnswer(Exception):
    """A request got no answer, or one that was not to it."""

    def __init__(self, why: str, *, late: bool = True) -> None:
        super().__init__(why)
        self.late = late
        """An answer may still come."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The unit answers with an exception."""

    code: int


class Link:
    """The connection of one source. Any method may raise SourceLost."""

    def __init__(
        self,
        source: str,
        line: TcpLine | SerialLine,
        timeout_s: float,
        worst_answer_s: float,
        on_lost: Callable[[], None],
    ) -> None:
        self._source = source
        self._line = line
        self._timeout_s = timeout_s
        self._worst_answer_s = worst_answer_s
        self._on_lost = on_lost
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        self._made = asyncio.Event()
        self._sent = b""
        """The open request as it went out; empty while there is none."""
        self._wrong = ""
        self._noise = 0
        self._heard_at = 0.0
        self._limit: asyncio.Timeout | None = None
        self._reader: asyncio.Task[object] | None = None
        """Who waits for the answer."""

    # --- opening and closing ---

    async def open(self) -> None:
        """Connect."""
        client = self._client = self._new_client()
        self._made.clear()
        try:
            async with asyncio.timeout(self._timeout_s):
                # Not client.connect(): it keeps the reason of a failure to itself.
                client.ctx.transport, _ = await client.ctx.call_create()
                await self._made.wait()
        except TimeoutError as error:
            raise self._lost(f"{self._line} does not answer; is it on, and the address right?") from error
        except (OSError, ValueError, termios.error) as error:
            raise self._lost(f"cannot open {self._line}: {_words(error)}") from error

    def _new_client(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        line = self._line
        if isinstance(line, TcpLine):
            return AsyncModbusTcpClient(
                line.host, port=line.port, timeout=_NEVER_S, retries=0, reconnect_delay=0,
                trace_packet=self._packet, trace_connect=self._connect,
            )  # fmt: skip
        return AsyncModbusSerialClient(
            line.path, baudrate=line.baud, parity=line.parity_letter, stopbits=line.stop_bits,
            timeout=_NEVER_S, retries=0, reconnect_delay=0,
            trace_packet=self._packet, trace_connect=self._connect,
        )  # fmt: skip

    def close(self) -> None:
        """Let go of the port or socket; harmless when it is closed."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def check(self) -> None:
        """Raises SourceLost where the far end has closed or the port has gone."""
        if self._client is None or not self._client.connected:
            gone = "the connection was closed by" if isinstance(self._line, TcpLine) else "the port is gone:"
            raise self._lost(f"{gone} {self._line}")

    def _lost(self, reason: str) -> SourceLost:
        return SourceLost(self._source, reason)

    # --- one request ---

    async def read(self, block: Block) -> Cells | Refused:
        """Ask for a block. Raises NoAnswer; `recover` before the next then."""
        answer = reply_bytes(_FUNCTIONS[block.table], block.count)
        pdu = await self._request(lambda: self._ask(block), answer)
        if pdu.isError():
            return Refused(pdu.exception_code)
        return pdu.bits if block.table in BIT_TABLES else pdu.registers

    async def write(self, write: Write) -> Refused | None:
        """Switch one output. Raises NoAnswer, after which nobody knows how it is; `recover` then, too."""
        pdu = await self._request(lambda: self._order(write), 4)
        return Refused(pdu.exception_code) if pdu.isError() else None

    async def _request(self, ask: Callable[[], Awaitable[ModbusPDU]], answer: int) -> ModbusPDU:
        """One request, whose answer has so many bytes of data."""
        self.check()
        await self._silence()
        self._wrong, self._noise, self._reader = "", 0, asyncio.current_task()
        try:
            async with asyncio.timeout(self._answer_s(answer)) as self._limit:
                pdu = await ask()
        except TimeoutError:
            self.check()
            raise NoAnswer(self._why()) from None
        except ModbusException as error:
            raise converted(error, self._source, self._line) from error
        finally:
            self._limit, self._sent = None, b""
        # Python 3.11's wait_for, on which pymodbus waits, swallows a cancel that comes with the answer.
        if self._given_up():
            raise asyncio.CancelledError
        return pdu

    async def _ask(self, block: Block) -> ModbusPDU:
        assert self._client is not None
        calls = {
            "holding": self._client.read_holding_registers,
            "input": self._client.read_input_registers,
            "coil": self._client.read_coils,
            "discrete": self._client.read_discrete_inputs,
        }
        return await calls[block.table](block.start, count=block.count, device_id=block.unit)

    async def _order(self, write: Write) -> ModbusPDU:
        assert self._client is not None
        client, at, unit = self._client, write.place.start, write.place.unit
        if write.place.table == "coil":
            return await client.write_coil(at, bool(write.value), device_id=unit)
        if write.place.bit is None:
            return await client.write_register(at, write.value, device_id=unit)
        mask = 1 << write.place.bit
        return await client.mask_write_register(
            address=at, and_mask=0xFFFF & ~mask, or_mask=mask * write.value, device_id=unit
        )

    def _answer_s(self, answer: int) -> float:
        """How long to wait: the time set for the unit, and on a serial line that of the bytes."""
        if isinstance(self._line, TcpLine):
            return self._timeout_s
        octets = 8 + 5 + answer
        return self._timeout_s + octets * self._line.octet_s

    def _why(self) -> str:
        if self._wrong:
            return self._wrong
        limit = f"no answer within {self._timeout_s:g} s"
        if self._noise:
            return f"{limit}, but {self._noise} bytes that are not one"
        return limit

    # --- after a request without an answer ---

    async def recover(self) -> None:
        """Make sure that a late answer cannot be taken for the next request's.

        On a serial line: wait until it has been silent for the longest time that a unit may
        take. On TCP: connect anew.
        """
        if isinstance(self._line, TcpLine):
            self.close()
            await self.open()
        else:
            await self._drain()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        while (left_s := max(since, self._heard_at) + self._worst_answer_s - loop.time()) > 0:
            self.check()
            if loop.time() - since > 10 * self._worst_answer_s:
                raise self._lost(f"{self._line} is never silent; is there a second master, or a wrong speed?")
            await asyncio.sleep(left_s)

    async def _silence(self) -> None:
        """On a serial line, keep the silence between two frames; NoAnswer where there is none."""
        if isinstance(self._line, TcpLine):
            return
        loop = asyncio.get_running_loop()
        since = loop.time()
        while (left_s := self._heard_at + self._line.gap_s - loop.time()) > 0:
            if loop.time() - since > self._worst_answer_s:
                raise NoAnswer("the line is not silent enough to ask")
            await asyncio.sleep(left_s)

    # --- called by pymodbus ---

    def _connect(self, connected: bool) -> None:
        if connected:
            self._made.set()
            return
        self._give_up()
        self._on_lost()

    def _packet(self, sending: bool, data: bytes) -> bytes:
        """All bytes received since the request went out; gives the whole answer, or nothing yet."""
        if sending:
            self._sent = data
            return data
        self._heard_at = asyncio.get_running_loop().time()
        if not self._sent or self._given_up():
            return b""
        self._noise = len(data)
        try:
            return self._reply(data)
        except WrongReply as error:
            self._wrong = self._wrong or str(error)
            self._give_up()
            return b""

    def _reply(self, data: bytes) -> bytes:
        return (tcp_reply if isinstance(self._line, TcpLine) else rtu_reply)(self._sent, data)

    def _given_up(self) -> bool:
        return self._reader is not None and self._reader.cancelling() > 0

    def _give_up(self) -> None:
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)


_FUNCTIONS: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


def converted(error: ModbusException, source: str, line: TcpLine | SerialLine) -> SourceLost | NoAnswer:
    """What an error of pymodbus means here."""
    if isinstance(error, ConnectionException):
        return SourceLost(source, f"the connection to {line} is gone")
    return NoAnswer(f"the answer cannot be read: {error}")


def _words(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number is None or number < 0:
        return str(getattr(error, "strerror", None) or error)
    hint = _HINTS.get(number)
    return os.strerror(number) + (f" ({hint})" if hint else "")
