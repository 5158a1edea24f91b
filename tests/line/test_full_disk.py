"""A real agent whose disk fills, and one with a far end that is gone for good."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.housekeeping import RoomStatus
from edge.journal.sinks import SinkReader
from edge.plural import counted
from edge.status import follow_status
from simulators.labels import label
from simulators.launch import simulator
from tests.journal.test_room import ballast
from tests.line.test_agent import LINE, agent, made, packer, produced
from tests.support.agent import Agent
from tests.support.servers import free_port

SMALL = LINE.replace('badge = "optional"', 'badge = "optional"\njournal = "64MB"')
DEAD = """
[sink.dead]
type = "influxdb"
url = "http://127.0.0.1:{port}"
bucket = "line-1"
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The agent's data folder, on a file system of 24 MB."""
    disk = tmp_path / "data"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24M", "lineside-test", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def room(running: Agent) -> RoomStatus:
    async with asyncio.timeout(10), aclosing(follow_status(running.folder / "data")) as lines:
        async for status in lines:
            assert status.room is not None
            return status.room
    raise AssertionError("no answer")


async def test_polling_goes_on_and_the_counters_have_what_was_made(tmp_path: Path, disk: Path) -> None:
    async with (
        packer(tmp_path, "--tcp") as machine,
        simulator("scanner", "--link", str(tmp_path / "gun-1")) as gun,
        agent(tmp_path, f'host = "tcp://127.0.0.1:{machine.where.port}"', SMALL) as running,
    ):
        await running.until(lambda: "gun-1: connected" in running.log)
        await running.until(lambda: len(running.events("count")) == 2)
        assert (await gun.scan(label("J", "WO-1-10"))).answer == "confirmed"
        await machine.do("start")
        await running.until(lambda: produced(running, "WO-1") > 10)
        assert (await room(running)).alarm == ""
        filler = ballast(disk)
        await running.until(lambda: "nothing is recorded until it can be" in running.log)
        before = made(tmp_path)
        assert (await gun.scan(label("J", "WO-1-10"))).answer != "confirmed"
        await running.until(lambda: made(tmp_path) > before + 20)
        await running.until(lambda: "ERROR   the journal takes" in running.log)
        assert "make room on the disk" in (await room(running)).alarm
        filler.unlink()
        await running.until(lambda: "recording again" in running.log)
        await machine.do("stop")
        await running.until(lambda: produced(running, "WO-1") == made(tmp_path))
        gaps = [one["data"] for one in running.events("gap")]
        assert sum(one["recovered"] for one in gaps) >= 20
        assert [one["data"]["cause"] for one in running.events("loss")] == ["not-recorded"]
        await running.until(lambda: "there is room in the journal again" in running.log)
        assert running.log.count("nothing is recorded until it can be") == 1, running.log
        assert "packer-plc: lost" not in running.log
        assert "Traceback" not in running.log


def forget(folder: Path, sink: str) -> tuple[int, str]:
    arguments = ["sink", "forget", sink, "--line", str(folder / "line.toml"), "--data", str(folder / "data")]
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


async def test_what_waits_for_a_dead_sink_is_freed_by_the_agent_or_without_it(tmp_path: Path) -> None:
    dead = LINE + DEAD.format(port=free_port())
    async with agent(tmp_path, 'host = "tcp://127.0.0.1:1"', dead) as running:
        await running.until(lambda: "dead: not delivering" in running.log)
        status, said = await asyncio.to_thread(forget, tmp_path, "dead")
        assert (status, said.startswith("dead: ")) == (0, True), said
        assert "no longer wait for it; it gets what comes from now on" in said
        await running.until(lambda: [one["data"]["subject"] for one in running.events("loss")] == ["dead"])
        assert running.events("loss")[0]["data"]["records"] > 0
        assert await running.stop() == 0
    with closing(SinkReader(tmp_path / "data/journal.db", "line-1")) as reader:
        waited = reader.head() - sum(last - first + 1 for first, last in reader.progress("dead"))
        assert 0 < waited < 6, "what came after it waits"
        wait = "waits" if waited == 1 else "wait"
    status, said = await asyncio.to_thread(forget, tmp_path, "dead")
    assert (status, said) == (
        0,
        f"dead: {counted(waited, 'record')} no longer {wait} for it; it gets what comes from now on\n",
    )
    status, said = await asyncio.to_thread(forget, tmp_path, "dad")
    assert (status, "no sink is called 'dad'; known are dead, file" in said) == (1, True), said
