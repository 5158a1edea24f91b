"""A probe of a device in this process, and the agent's own reading with what it printed."""

import asyncio
import inspect
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from adapters._modbus import probe as modbus
from adapters._modbus.probe import Report
from edge.config import load
from edge.observation import Quality
from edge.probe.find import Found
from edge.probe.modbus import Bus, Typed, concluded, wished
from tests.adapters.modbus_support import Device
from tests.support.ptys import SlowIntake, running

BUS = cast(Bus, modbus)
Plain = Callable[[bytes], bytes | None]
Answering = Callable[[bytes, int], bytes | None]
READS = {1, 2, 3, 4, 17, 43}
"""Functions that write nothing."""


async def probed(
    url: str, for_s: float = 0.0, timeout_s: float | None = None, **typed: Any
) -> tuple[Found, Report, list[str]]:
    told: list[str] = []
    words = Typed(url, **typed)
    report = await BUS.probe(wished(BUS, words, for_s, 0.0, timeout_s), asyncio.Event(), told.append)
    return concluded(report, words), cast(Report, report), told


async def read_with(folder: Path, toml: str, is_there: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the agent's own adapter reads with it: signals, and telemetry by its last name."""
    (folder / "line.toml").write_text(toml)
    config = load(folder / "line.toml", folder)
    [source] = config.sources.values()
    intake = SlowIntake(source.name)

    def last() -> dict[str, Any]:
        single = {one.signal: one.value for one in intake.seen if one.quality is Quality.GOOD}
        lanes = {name: value for sample in intake.samples for name, value in sample.items()}
        texts = {name: value for name, value, _ in intake.changed}
        return {name.rpartition("/")[2]: value for name, value in (single | lanes | texts).items()}

    async with running(source.module.collect(source.settings, source.signals, intake), intake):
        async with asyncio.timeout(10):
            while not is_there(last()):
                await asyncio.sleep(0.005)
    return last()


async def functions(one: Device) -> set[int]:
    return set(map(int, (await one.asked("functions")).split()))


@asynccontextmanager
async def tcp_device(
    answer: Plain | Answering, *, closes: bool = False
) -> AsyncIterator[tuple[str, list[int]]]:
    """Answers each PDU by `answer`, which may take the unit too; gives its URL, and every
    function code that ever came.
    """
    seen: list[int] = []
    takes_unit = len(inspect.signature(answer).parameters) == 2
    of_unit = cast(Answering, answer if takes_unit else lambda pdu, _: cast(Plain, answer)(pdu))
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            while True:
                head = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
                seen.append(pdu[0])
                said = of_unit(pdu, head[6])
                if said is not None:
                    writer.write(head[:4] + struct.pack(">HB", len(said) + 1, head[6]) + said)
                if closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.wait_for(asyncio.gather(*talks), 5)


def registers(pdu: bytes) -> bytes:
    function, start, count = struct.unpack(">BHH", pdu[:5])
    if function in (1, 2):
        return bytes([function, (count + 7) // 8]) + bytes((count + 7) // 8)
    return struct.pack(f">BB{count}H", function, 2 * count, *((start + at) % 7 for at in range(count)))


def pairs(values: dict[int, int]) -> Callable[[bytes], bytes]:
    """A meter with input registers only: an even number of them, from an even address on."""

    def answer(pdu: bytes) -> bytes:
        if pdu[0] != 4:
            return bytes([pdu[0] | 0x80, 1])
        _, start, count = struct.unpack(">BHH", pdu)
        if start % 2 or count % 2:
            return b"\x84\x03"
        if start + count > 80:
            return b"\x84\x02"
        return struct.pack(f">BB{count}H", 4, 2 * count, *(values.get(start + at, 0) for at in range(count)))

    return answer
