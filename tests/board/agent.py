"""An agent as the board sees it: its journal and its status socket, moved by the test's hand."""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from edge.clock import SystemClock
from edge.config import LineConfig, load
from edge.contract import Ask
from edge.journal import Journal
from edge.observation import Observation, Outcome, Value
from edge.recorder import Recorder
from edge.status import AgentStatus, SinkStatus, SourceStatus, serve_status
from simulators.labels import label


def write_line(
    folder: Path,
    stations: Sequence[str] = ("press", "packer"),
    quantity: int = 400,
    item: str = "P7",
    batch: str = "L12",
) -> Path:
    """The TOML of a line whose stations count over Modbus and hear a gun each."""
    text = f"""
        [line]
        name = "line-1"
        timezone = "Europe/London"
        badge = "optional"
        data = "data"

        [[order]]
        id = "WO-1001"
        item = '{item}'
        revision = "C"
        quantity = {quantity}
        batch = '{batch}'
        operations = [10]

        [source.plc]
        type = "modbus"
        host = "tcp://127.0.0.1:9"
        """
    for number, name in enumerate(stations):
        text += f"""
        [source.gun-{name}]
        type = "serial-scanner"
        port = "{folder / f"gun-{name}"}"

        [[station]]
        name = "{name}"
        ideal_cycle = "500ms"
        fastest_cycle = "1ms"
        scanner = "gun-{name}"
        total = {{ source = "plc", unit = 3, holding = {number * 10}, as = "u16" }}
        reject = {{ source = "plc", unit = 3, holding = {number * 10 + 1}, as = "u16" }}
        state = {{ source = "plc", unit = 3, holding = {number * 10 + 2}, as = "u16", map = "packml" }}
        """
    file = folder / "line.toml"
    file.write_text(textwrap.dedent(text))
    return file


class FakeAgent:
    """A real recorder and a real status socket; the sources and sinks are what the test says."""

    def __init__(self, config: LineConfig) -> None:
        self.config = config
        self.sources = {name: SourceStatus("connected", "", 60.0, 0.2) for name in config.sources}
        self.sinks = {name: SinkStatus("connected", "", 120, 0) for name in config.sinks}
        self._journal = Journal(config.journal)
        self._recorder = Recorder(config.line, self._journal, _nobody_asks)
        self._clock = SystemClock()
        self._killed = False

    @property
    def head(self) -> int:
        """seq of the newest event."""
        return self._recorder.head

    async def scan(self, station: str, letter: str, body: str) -> Outcome:
        """A label of the house, such as `scan("press", "J", "WO-1001-10")`."""
        return await self.scan_text(station, label(letter, body))

    async def scan_text(self, station: str, text: str) -> Outcome:
        return await self.see(f"gun-{station}", text)

    async def see(self, signal: str, value: Value) -> Outcome:
        """One observation of now; returns when it is on disk."""
        now, mono = self._clock.wall_ms(), self._clock.mono_ms()
        [outcome] = await self._recorder.emit([Observation(signal, value, now, now, mono, self._clock.boot)])
        return outcome

    async def start_job(self, station: str) -> None:
        """Operator, counters at zero, order WO-1001, the machine runs."""
        await self.scan(station, "E", "4711")
        await self.see(f"{station}.total", 0)
        await self.see(f"{station}.reject", 0)
        await self.see(f"{station}.state", 6)
        await self.scan(station, "J", "WO-1001-10")

    async def run(self) -> None:
        """Until cancelled, which is how it is killed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            group.create_task(serve_status(self.config.data, self._recorder, self._status))

    def close(self) -> None:
        self._killed = True
        self._journal.close()

    def _status(self) -> AgentStatus:
        if self._killed:
            raise BrokenPipeError  # ends the connections, as the end of a process would
        return AgentStatus(self._recorder.head, self.sources, self.sinks)


def _nobody_asks(_: Iterable[str]) -> list[Ask]:
    """No source is connected, so no fresh read is to be had."""
    return []


@asynccontextmanager
async def fake_agent(file: Path) -> AsyncIterator[FakeAgent]:
    """`async with fake_agent(file) as agent:`, gone without a word at the end."""
    agent = FakeAgent(load(file))
    running = asyncio.ensure_future(agent.run())
    try:
        yield agent
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        agent.close()
