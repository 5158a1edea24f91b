"""`lineside run` as a process of its own, on devices that are late, away, silent or wrong."""

import asyncio
import contextlib
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from simulators.far_ends import free_port
from simulators.labels import label
from simulators.launch import Running, simulator
from tests.support.agent import Agent, running_agent

pytestmark = pytest.mark.timeout(90)

LINE = """
[line]
name = "line-1"
badge = "optional"

[[order]]
id = "WO-1"
item = "P7"
quantity = 50
operations = [10]

[source.packer-plc]
type = "modbus"
{packer}

[source.gun-1]
type = "serial-scanner"
port = "{folder}/gun-1"

[source.rig-1]
type = "testrig"
port = "{folder}/rig-1"

[[station]]
name = "packer"
ideal_cycle = "100ms"
scanner = "gun-1"
rig = "rig-1"
good = {{ source = "packer-plc", unit = 3, holding = 100, as = "u32", words = "little", every = "50ms" }}
reject = {{ source = "packer-plc", unit = 3, holding = 102, as = "u32", words = "little", every = "50ms" }}
state = {{ source = "packer-plc", unit = 3, holding = 104, as = "u16", map = "packml" }}

[sink.file]
type = "file"
linger = "1ms"
"""


def agent(folder: Path, packer: str, line: str = LINE) -> AbstractAsyncContextManager[Agent]:
    return running_agent(folder, line.format(folder=folder, packer=packer))


def produced(running: Agent, order: str | None) -> int:
    """Parts of the packer in the file, of this order or of none."""
    counts = running.events("count")
    return sum(one["data"]["produced"] for one in counts if one["context"].get("order") == order)


def made(folder: Path) -> int:
    truth = folder / "packer.jsonl"
    return len(truth.read_text().splitlines()) if truth.exists() else 0


async def scan_until_answered(gun: Running, text: str) -> str:
    """As a person does it: where a loaded box answers too late for the gun, the label is scanned again."""
    for _ in range(4):
        if (answer := (await gun.scan(text)).answer) != "none":
            break
    return answer


def packer(folder: Path, *more: str, cycle: float = 0.05) -> contextlib.AbstractAsyncContextManager[Running]:
    told = (
        "--truth", str(folder / "packer.jsonl"), "--station", "packer",
        "--cycle", str(cycle), "--scrap", "0.1",
    )  # fmt: skip
    return simulator("modbus_packer", *told, *more)


async def test_devices_that_come_late_are_waited_for_and_said_once(tmp_path: Path) -> None:
    port = free_port()
    async with agent(tmp_path, f'host = "tcp://127.0.0.1:{port}"') as running:
        await running.until(lambda: running.log.count("unavailable") >= 3)
        lost_at = len(running.log)
        async with packer(tmp_path, "--tcp", "--port", str(port), "--running"):
            await running.until(lambda: "packer-plc: back" in running.log)
            await running.until(lambda: produced(running, None) > 10)
        assert running.log[:lost_at].count("packer-plc: unavailable") == 1
        for name in ("gun-1", "rig-1"):
            assert running.log.count(f"{name}: unavailable") == 1, running.log
        assert "Traceback" not in running.log
        assert await running.stop() == 0


async def test_parts_without_an_order_are_unassigned_and_a_strange_label_changes_nothing(
    tmp_path: Path,
) -> None:
    async with (
        packer(tmp_path, "--tcp") as machine,
        simulator("scanner", "--link", str(tmp_path / "gun-1")) as gun,
        agent(tmp_path, f'host = "tcp://127.0.0.1:{machine.where.port}"') as running,
    ):
        await running.until(
            lambda: all(f"{name}: connected" in running.log for name in ("gun-1", "packer-plc"))
        )
        await running.until(lambda: len(running.events("count")) == 2)
        await machine.do("start")
        await running.until(lambda: produced(running, None) > 5)
        for wrong in ("4006381333931", label("J", "WO-9-10"), "$JWO-1-10X", label("Q", "3")):
            assert (await gun.scan(wrong)).answer == "refused"
        refused = running.events("scan")
        await running.until(lambda: len(running.events("scan")) == 4)
        assert {one["data"]["outcome"] for one in running.events("scan")} == {"refused"}, refused
        assert all(one["data"]["words"] for one in running.events("scan"))
        assert running.events("order") == []
        await machine.do("stop")
        await running.until(lambda: produced(running, None) == made(tmp_path))


async def test_modbus_rtu_on_a_serial_port_counts_for_the_order(tmp_path: Path) -> None:
    async with (
        packer(tmp_path, "--rtu", "--pty", str(tmp_path / "bus"), "--first-good", str(2**32 - 5)) as machine,
        simulator("scanner", "--link", str(tmp_path / "gun-1")) as gun,
        agent(tmp_path, f'port = "{tmp_path}/bus"') as running,
    ):
        await running.until(lambda: len(running.events("count")) == 2)
        await running.until(lambda: "gun-1: connected" in running.log)
        assert (await gun.scan(label("J", "WO-1-10"))).answer == "confirmed"
        await machine.do("start")
        await running.until(lambda: produced(running, "WO-1") > 20)
        await machine.do("stop")
        await running.until(lambda: produced(running, "WO-1") == made(tmp_path))
        assert produced(running, None) == 0
        assert any(one["data"]["quality"] == "rollover" for one in running.events("count"))


async def test_a_result_cut_in_the_middle_is_said_and_its_resend_recorded_once(tmp_path: Path) -> None:
    async with (
        simulator("testrig", "--link", str(tmp_path / "rig-1"), "--cycle", "0.2", "--cut", "3",
                  "--cut-pause", "1.5", "--truth", str(tmp_path / "rig.jsonl")) as rig,
        agent(tmp_path, 'host = "tcp://127.0.0.1:1"') as running,
    ):  # fmt: skip
        await running.until(lambda: "rig-1: connected" in running.log)
        await rig.do("start")
        await running.until(lambda: len(running.events("test")) >= 7)
        await rig.do("stop")
        sent = [json.loads(line) for line in (tmp_path / "rig.jsonl").read_text().splitlines()]
        units = [one["unit"] for one in sent if one["event"] == "made"]
        await running.until(lambda: len(running.events("test")) >= len(units))
        assert [one["data"]["unit"] for one in running.events("test")] == units
        broken = [one for one in running.events("health") if one["data"]["state"] == "unreadable"]
        assert {one["data"]["subject"] for one in broken} == {"rig-1"}


async def test_what_was_made_while_the_agent_was_off_is_one_gap_of_the_run(tmp_path: Path) -> None:
    async with (
        packer(tmp_path, "--tcp") as machine,
        simulator("scanner", "--link", str(tmp_path / "gun-1")) as gun,
    ):
        host = f'host = "tcp://127.0.0.1:{machine.where.port}"'
        async with agent(tmp_path, host) as running:
            await running.until(lambda: len(running.events("count")) == 2)
            await running.until(lambda: "gun-1: connected" in running.log)
            assert (await gun.scan(label("J", "WO-1-10"))).answer == "confirmed"
            await machine.do("start")
            await running.until(lambda: produced(running, "WO-1") > 10)
            assert await running.stop() == 0
        before = made(tmp_path)
        while made(tmp_path) < before + 10:
            await asyncio.sleep(0.02)
        async with agent(tmp_path, host) as running:
            await machine.do("stop")
            await running.until(lambda: produced(running, "WO-1") == made(tmp_path))
            gaps = [one["data"] for one in running.events("gap")]
            assert sum(one["recovered"] for one in gaps) >= 10
            assert all(one["certain"] and one["assigned"] for one in gaps)


async def test_a_second_agent_on_the_same_journal_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async with agent(tmp_path, 'host = "tcp://127.0.0.1:1"') as running:
        await running.until(lambda: "line line-1 is up" in running.log)
        async with agent(tmp_path, 'host = "tcp://127.0.0.1:1"') as second:
            assert await asyncio.wait_for(second.process.wait(), 20) == 1
        assert "another agent is using it" in running.log
        assert "Traceback" not in running.log
