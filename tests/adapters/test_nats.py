"""Three agents and a plant's engine of three nodes (NATS with MQTT 3.1.1): nodes die, every event arrives."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.journal import JournalReader
from simulators.launch import Running, simulator
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
timeout = "3s"
"""
STATION = """
[[station]]
name = "packer-{number}"
ideal_cycle = "100ms"
good = {{ source = "plc", unit = 3, holding = 100, as = "u32", words = "little", every = "50ms" }}
"""
STATIONS = 8
"""They count the same parts: so many events that some are always under way."""


@dataclass(slots=True)
class Agent:
    """One line's agent, as a process of its own, and its machine."""

    name: str
    folder: Path
    machine: Running
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
async def agent(folder: Path, name: str, nodes: list[Node]) -> AsyncIterator[Agent]:
    folder.mkdir()
    brokers = ", ".join(f'"mqtt://127.0.0.1:{node.server.port}"' for node in nodes)
    async with simulator("modbus_packer", "--tcp", "--cycle", "0.05", "--running") as machine:
        file = folder / "line.toml"
        head = LINE.format(name=name, plc=machine.where.port, brokers=brokers)
        file.write_text(head + "".join(STATION.format(number=number) for number in range(STATIONS)))
        with (folder / "agent.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "edge", "run", str(file), "--data", str(folder / "data"),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield Agent(name, folder, machine, process)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await process.wait()


async def until(holds: Callable[[], bool], agents: list[Agent], within_s: float = 60) -> None:
    try:
        async with asyncio.timeout(within_s):
            while not holds():
                await asyncio.sleep(0.1)
    except TimeoutError:
        said = "\n\n".join(f"{one.name}: {one.log}" for one in agents)
        raise AssertionError(f"it never held; the agents said:\n{said}") from None


async def test_every_event_of_every_agent_arrives_whatever_dies(tmp_path: Path) -> None:
    async with cluster(tmp_path / "nats") as nodes, contextlib.AsyncExitStack() as stack:
        collector = Collector([node.server.port for node in nodes], "acme/#")
        await stack.enter_async_context(collector.listening())
        # Each prefers another node.
        agents = [
            await stack.enter_async_context(agent(tmp_path / name, name, nodes[turn:] + nodes[:turn]))
            for turn, name in enumerate(("line-1", "line-2", "line-3"))
        ]

        def heard(more: int) -> Callable[[], bool]:
            """So many more events of each line have arrived than have by now."""
            wanted = {one.name: len(collector.ids[one.name]) + more for one in agents}
            return lambda: all(len(collector.ids[name]) >= count for name, count in wanted.items())

        await until(heard(500), agents)
        nodes[0].server.kill()
        await until(heard(500), agents)
        await nodes[0].server.start()
        await healthy(nodes)
        await until(heard(500), agents)

        for node in nodes[1:]:
            node.server.kill()
        marooned = {one.name: one.head() for one in agents}
        await until(lambda: all("not delivering" in one.log for one in agents), agents)
        await until(lambda: all(one.head() > marooned[one.name] + 500 for one in agents), agents)
        for node in nodes[1:]:
            await node.server.start()
        await healthy(nodes)
        await until(heard(1_000), agents)

        for one in agents:
            await one.machine.do("stop")
        await until(lambda: all(len(collector.ids[one.name]) >= one.head() for one in agents), agents)
        assert all(collector.ids[one.name] == set(one.ids()) for one in agents)
        assert all("MQTT 3.1.1 is spoken" in one.log for one in agents)
        assert not any("Traceback" in one.log for one in agents)
