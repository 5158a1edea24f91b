"""What systemd hears of an agent whose disk is full, and of one whose disk hangs."""

import asyncio
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from edge.commands import send_orders
from edge.errors import NotRecorded
from edge.observation import WorkOrder
from tests.board.agent import write_line
from tests.journal.test_room import ballast
from tests.service.test_notify import Service, service

ALIVE = "WATCHDOG=1"


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The agent's data folder, on a file system of its own, which only root can make."""
    yield from _mounted(tmp_path, request.param)


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """The same, where it can be frozen."""
    yield from _mounted(tmp_path, "ext4")


def _mounted(folder: Path, kind: str) -> Iterator[Path]:
    disk, image = folder / "data", folder / "image"
    disk.mkdir()
    commands = [["mount", "-t", "tmpfs", "-o", "size=48M", "lineside-test", str(disk)]]
    if kind == "ext4":
        image.touch()
        with image.open("r+b") as file:
            file.truncate(64_000_000)
        make = ["mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", str(image)]
        commands = [make, ["mount", "-o", "loop", str(image), str(disk)]]
    try:
        for command in commands:
            subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def silence(agent: Service) -> None:
    """For so long that a live agent would have spoken three times."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3.5):
            await agent.hears()


def heard(agent: Service) -> None:
    """Throw away what it has said so far."""
    try:
        while True:
            agent.socket.recv(4096)
    except BlockingIOError:
        pass


async def test_a_full_disk_feeds_the_watchdog(tmp_path: Path, disk: Path) -> None:
    """It is known and alarmed, and a restart makes no room."""
    async with service(str(tmp_path / "notify"), "run", write_line(tmp_path)) as agent:
        await agent.hears_at_last(ALIVE)
        filler = ballast(disk)
        await until_full(disk)
        heard(agent)
        assert [await agent.hears() for _ in range(4)] == [ALIVE] * 4
        with pytest.raises(NotRecorded, match="full"):
            await send_orders(disk, [WorkOrder("WO-LATE", "P7", 1)])
        filler.unlink()
        await agent.hears_at_last(ALIVE)
        await until_taken(disk)


async def until_full(disk: Path) -> None:
    """The log of the journal may have some room left."""
    with pytest.raises(NotRecorded, match="full"):
        await orders_without_end(disk)


async def orders_without_end(disk: Path) -> None:
    for number in count(1):
        await send_orders(disk, [WorkOrder(f"WO-{number}", "P7", 1)])


async def until_taken(disk: Path) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await send_orders(disk, [WorkOrder("WO-LATE", "P7", 1)])
            except NotRecorded:
                await asyncio.sleep(0.1)
            else:
                return


async def test_a_disk_that_hangs_feeds_no_watchdog(tmp_path: Path, ext4: Path) -> None:
    async with service(str(tmp_path / "notify"), "run", write_line(tmp_path)) as agent:
        await agent.hears_at_last(ALIVE)
        subprocess.run(["fsfreeze", "--freeze", str(ext4)], check=True)
        try:
            sending = asyncio.create_task(send_orders(ext4, [WorkOrder("WO-1", "P7", 1)]))
            await asyncio.wait([sending], timeout=2)
            assert not sending.done()
            heard(agent)
            await silence(agent)
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(ext4)], check=True)
        await agent.hears_at_last(ALIVE)
        [outcome] = await sending
        assert outcome.recorded
