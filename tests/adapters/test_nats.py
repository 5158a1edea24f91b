"""Three agents and a plant's engine of three nodes (NATS with MQTT 3.1.1): nodes die, every event arrives."""

import asyncio
import contextlib
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.journal import JournalReader
from tests.support.nats import Collector, Node, cluster, healthy

pytestmark = pytest.mark.timeout(180)

LINE = """
[line]
name = "{name}"
path = "acme/leeds"
badge = "optional"

[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:{plc}"

[sink.plant]
type = "mqtt"
broker = [{brokers}]
timeout = "2s"
"""
STATION = """
[[station]]
name = "packer-{number}"
ideal_cycle = "100ms"
good = {{ source = "plc", unit = 3, holding = {number}, as = "u16", every = "50ms" }}
"""
STATIONS = 4
PARTS_A_SECOND = 20
"""Of each station: so many events that some are always under way."""
MORE = 80
"""Events of each line between two deaths."""
_REQUEST = struct.Struct(">HHHBBHH")


class Device(asyncio.Protocol):
    """Modbus TCP: every holding register counts parts. For all lines, each with connections of its own."""

    stopped_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for at in range(0, len(data), _REQUEST.size):  # one that is cut in two times out, and is asked again
            transaction, _, _, unit, function, start, count = _REQUEST.unpack_from(data, at)
            now_s = Device.stopped_s or time.monotonic()
            values = [int(now_s * PARTS_A_SECOND + start + number) & 0xFFFF for number in range(count)]
            head = struct.pack(">HHHBBB", transaction, 0, 3 + 2 * count, unit, function, 2 * count)
            self._transport.write(head + struct.pack(f">{count}H", *values))


@dataclass(slots=True)
class Agent:
    """One line's agent, as a process of its own, and its machine."""

    name: str
    folder: Path
    process: asyncio.subprocess.Process

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def ids(self) -> list[str]:
        """Of every event on its disk."""
        with self._journal() as reader:
            return [one.id for one in reader.records(1, reader.head(), 1_000_000)]

    def head(self) -> int:
        """How many there are."""
        with self._journal() as reader:
            return reader.head()

    def _journal(self) -> contextlib.closing[JournalReader]:
        return contextlib.closing(JournalReader(self.folder / "data" / "journal.db", self.name))


@contextlib.asynccontextmanager
async def agent(folder: Path, name: str, nodes: list[Node], plc: int) -> AsyncIterator[Agent]:
    folder.mkdir()
    brokers = ", ".join(f'"mqtt://127.0.0.1:{node.server.port}"' for node in nodes)
    file = folder / "line.toml"
    head = LINE.format(name=name, plc=plc, brokers=brokers)
    file.write_text(head + "".join(STATION.format(number=number) for number in range(STATIONS)))
    with (folder / "agent.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", "run", str(file), "--data", str(folder / "data"),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield Agent(name, folder, process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


@contextlib.asynccontextmanager
async def device() -> AsyncIterator[int]:
    """The port of the machines of all lines."""
    server = await asyncio.get_running_loop().create_server(Device, "127.0.0.1", 0)
    Device.stopped_s = None
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def until(holds: Callable[[], bool], agents: list[Agent], within_s: float = 60) -> None:
    try:
        async with asyncio.timeout(within_s):
            while not holds():
                await asyncio.sleep(0.1)
    except TimeoutError:
        said = "\n\n".join(f"{one.name}: {one.log}" for one in agents)
        raise AssertionError(f"it never held; the agents said:\n{said}") from None


async def kill(nodes: list[Node], agents: list[Agent]) -> None:
    """With -9, while they owe an answer to whoever is connected to them: they stall before."""
    for node in nodes:
        node.server.stall()
    heads = {one.name: one.head() for one in agents}
    await until(lambda: all(one.head() > heads[one.name] + 20 for one in agents), agents)
    for node in nodes:
        node.server.kill()


async def test_every_event_of_every_agent_arrives_whatever_dies(tmp_path: Path) -> None:
    async with (
        cluster(tmp_path / "nats") as nodes, device() as plc, contextlib.AsyncExitStack() as stack
    ):  # fmt: skip
        collector = Collector([node.server.port for node in nodes], "acme/#")
        await stack.enter_async_context(collector.listening())
        # Each prefers another node.
        agents = [
            await stack.enter_async_context(agent(tmp_path / name, name, nodes[turn:] + nodes[:turn], plc))
            for turn, name in enumerate(("line-1", "line-2", "line-3"))
        ]

        def heard(more: int) -> Callable[[], bool]:
            """So many more events of each line have arrived than have by now."""
            wanted = {one.name: len(collector.ids[one.name]) + more for one in agents}
            return lambda: all(len(collector.ids[name]) >= count for name, count in wanted.items())

        await until(heard(MORE), agents)
        await kill(nodes[:1], agents)
        await until(heard(MORE), agents)
        await nodes[0].server.start()
        await healthy(nodes)
        await until(heard(MORE), agents)

        await kill(nodes[1:], agents)
        marooned = {one.name: one.head() for one in agents}
        await until(lambda: all("not delivering" in one.log for one in agents), agents)
        await until(lambda: all(one.head() > marooned[one.name] + MORE for one in agents), agents)
        for node in nodes[1:]:
            await node.server.start()
        await healthy(nodes)
        await until(heard(MORE), agents)

        Device.stopped_s = time.monotonic()
        await until(lambda: all(len(collector.ids[one.name]) >= one.head() for one in agents), agents)
        assert all(collector.ids[one.name] == set(one.ids()) for one in agents)
        assert all("MQTT 3.1.1 is spoken" in one.log for one in agents)
        assert not any("Traceback" in one.log for one in agents)
