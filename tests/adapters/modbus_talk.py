"""Hosts on loopback that say what a test wants, and links to them."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from adapters._modbus.counts import Counts
from adapters._modbus.frames import read_question
from adapters._modbus.lines import RtuTcpLine, SerialLine, TcpLine
from adapters._modbus.plan import Block, Limits
from adapters._modbus.rtu import sealed
from adapters._modbus.units import Manner
from adapters._modbus.wire import Link, Refused, Reply

ASK = read_question(1, "holding", 10, 2)
SENT = sealed(bytes((1,)) + ASK.pdu)
GOOD = sealed(bytes((1, 3, 4, 0, 7, 0, 8)))
OTHER = sealed(bytes((1, 3, 2, 0, 9)))
IDENTIFICATION = bytes.fromhex("2b0e01010000020003") + b"ABC" + b"\x01\x02XY"


def block(start: int, count: int = 1, *, unit: int = 1, table: str = "holding") -> Block:
    return Block((), unit, table, start, count, 1.0)  # type: ignore[arg-type]


def tcp_answer(sent: bytes, pdu: bytes = GOOD[1:-2]) -> bytes:
    return sent[:4] + struct.pack(">HB", len(pdu) + 1, sent[6]) + pdu


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def host(talk: Talk) -> AsyncIterator[int]:
    """A listener on loopback; gives its port."""
    talks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.wait_for(asyncio.gather(*talks), 5)


@asynccontextmanager
async def linked(
    line: TcpLine | SerialLine | RtuTcpLine, gap: int = 8, *, counts: Counts | None = None, **times: float
) -> AsyncIterator[Link]:
    manner = Manner(times.get("timeout_s", 0.1), times.get("worst_s", 0.1), times.get("delay_s", 0.0), None)
    link = Link("plc", line, lambda unit: manner, lambda: None, counts or Counts(), Limits(100, gap))
    await link.open()
    try:
        yield link
    finally:
        link.close()


def tcp(port: int) -> TcpLine:
    return TcpLine("127.0.0.1", port)


def honest_pdu(request: bytes) -> bytes:
    """Each register holds its own address plus 1,000."""
    function, start, count = struct.unpack(">BHH", request)
    return struct.pack(f">BB{count}H", function, 2 * count, *range(1000 + start, 1000 + start + count))


def cells(answer: Reply | Refused) -> list[int]:
    assert isinstance(answer, Reply)
    return [int(cell) for cell in answer.cells]


def rtu_talk(answer: Callable[[bytes], bytes]) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.readexactly(8):
            writer.write(answer(asked))

    return talk


def honest(asked: bytes) -> bytes:
    return sealed(asked[:1] + honest_pdu(asked[1:6]))


def over_tcp(port: int) -> RtuTcpLine:
    return RtuTcpLine("127.0.0.1", port, 19_200, "even", 1)
