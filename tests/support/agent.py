"""`lineside run` as a process of its own."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The events of a file that is being written: the last line may be half there."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


@dataclass(slots=True)
class Agent:
    """A running agent: its log, and what its file sink holds."""

    folder: Path
    process: asyncio.subprocess.Process

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def events(self, kind: str) -> list[dict[str, Any]]:
        path = self.folder / "data/out/file/events.jsonl"
        events = whole_lines(path) if path.exists() else ()
        return [event for event in events if event["type"] == kind]

    async def until(self, holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait until it holds; what the agent said is shown where it never does."""
        try:
            async with asyncio.timeout(timeout_s):
                while not holds():
                    assert self.process.returncode is None, self.log
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"it never held; the agent said:\n{self.log}") from None

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 15)


@asynccontextmanager
async def running_agent(
    folder: Path, line: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Agent]:
    """The agent of a line's TOML, with its journal in the folder; killed at the end if it still runs."""
    file = folder / "line.toml"
    file.write_text(line)
    with (folder / "agent.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", "run", str(file), "--data", str(folder / "data"),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
        )  # fmt: skip
    try:
        yield Agent(folder, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
