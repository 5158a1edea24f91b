"""What systemd hears from the agent and the board, on a socket such as its own."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.watchdog import Watchdog
from tests.board.agent import write_line

PATIENCE_S = 20.0


@dataclass(slots=True)
class Service:
    """A program of ours as a service, and systemd's end of its socket."""

    process: asyncio.subprocess.Process
    socket: socket.socket

    async def hears(self) -> str:
        """The next message."""
        loop = asyncio.get_running_loop()
        said = await asyncio.wait_for(loop.sock_recv(self.socket, 4096), PATIENCE_S)
        return said.decode()

    async def hears_at_last(self, message: str) -> list[str]:
        """Wait for a message; returns those before it."""
        before: list[str] = []
        while (said := await self.hears()) != message:
            before.append(said)
        return before


@asynccontextmanager
async def service(address: str, *arguments: str | Path) -> AsyncIterator[Service]:
    """`lineside ARGUMENTS` with NOTIFY_SOCKET; `@name` is an abstract address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.setblocking(False)
        ear.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", *map(str, arguments),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": address},
        )  # fmt: skip
        try:
            yield Service(process, ear)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.mark.parametrize("kind", ["path", "abstract"])
async def test_the_agent_is_ready_alive_and_stopping(tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"@lineside-{secrets.token_hex(8)}"
    async with service(address, "run", write_line(tmp_path)) as agent:
        assert await agent.hears() == "READY=1"
        assert await agent.hears() == "WATCHDOG=1"
        assert await agent.hears() == "WATCHDOG=1"
        agent.process.terminate()
        assert set(await agent.hears_at_last("STOPPING=1")) <= {"WATCHDOG=1"}
        assert await asyncio.wait_for(agent.process.wait(), PATIENCE_S) == 0


async def test_an_agent_that_hangs_feeds_no_watchdog(tmp_path: Path) -> None:
    async with service(str(tmp_path / "notify"), "run", write_line(tmp_path)) as agent:
        await agent.hears_at_last("WATCHDOG=1")
        agent.process.send_signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await agent.hears_at_last("never")
        agent.process.send_signal(signal.SIGCONT)
        await agent.hears_at_last("WATCHDOG=1")


async def test_a_faulty_file_is_never_ready(tmp_path: Path) -> None:
    async with service(str(tmp_path / "notify"), "run", tmp_path / "none.toml") as agent:
        assert await asyncio.wait_for(agent.process.wait(), PATIENCE_S) == 1
        with pytest.raises(BlockingIOError):
            agent.socket.recv(100)


async def test_the_board_is_ready_alive_and_stopping(tmp_path: Path) -> None:
    async with service(str(tmp_path / "notify"), "board", write_line(tmp_path), "--port", "0") as board:
        assert set(await board.hears_at_last("READY=1")) <= {"WATCHDOG=1"}
        await board.hears_at_last("WATCHDOG=1")
        board.process.terminate()
        await board.hears_at_last("STOPPING=1")
        assert await asyncio.wait_for(board.process.wait(), PATIENCE_S) == 0


def test_without_systemd_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Watchdog().ready()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody-listens"))
    Watchdog().ready()
