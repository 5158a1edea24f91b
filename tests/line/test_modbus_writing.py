"""The whole agent writes to a Modbus device: told, written, confirmed; killed at the worst instants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from simulators.labels import label
from tests.adapters.modbus_support import Device, build_device, device
from tests.support.agent import Agent, running_agent
from tests.support.ptys import PtyDevice, plugged

LINE = """
[line]
name = "line-1"
badge = "optional"

[source.bus-1]
type = "modbus"
host = "tcp://127.0.0.1:{port}"
timeout = "{timeout}"
probe_every = "1s"

[source.gun-1]
type = "serial-scanner"
port = "{folder}/gun-1"

[[order]]
id = "1042"
item = "P7"
quantity = 100

[[station]]
name = "press"
ideal_cycle = "1s"
scanner = "gun-1"
good = {{ source = "bus-1", unit = 3, holding = 0, as = "u16", every = "100ms" }}

[[station.write]]
what = "release"
source = "bus-1"
unit = 3
coil = 7

[[station.write]]
what = "order"
source = "bus-1"
unit = 3
address = 40031
as = "u32"
order = "CDAB"
none = 0
{more}
"""
OTHER_UNIT = """
[[station]]
name = "packer"
ideal_cycle = "1s"
good = { source = "bus-1", unit = 9, holding = 0, as = "u16", every = "100ms" }
"""
ORDER = [1042, 0]
"""In its two registers."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_device(tmp_path_factory.mktemp("device"))


@asynccontextmanager
async def agent_of(plc: Device, folder: Path, more: str = "", timeout: str = "300ms") -> AsyncIterator[Agent]:
    text = LINE.format(port=plc.port, folder=folder, more=more, timeout=timeout)
    log = folder / "agent.log"
    before = log.read_text().count("gun-1: connected") if log.exists() else 0
    async with running_agent(folder, text) as agent:
        await agent.until(lambda: agent.log.count("gun-1: connected") > before)
        yield agent


async def start(gun: PtyDevice) -> None:
    await gun.send(label("J", "1042").encode() + b"\r")


def told(agent: Agent, target: str) -> list[str]:
    """In their order; a file may get an event again after a kill."""
    found = {one["id"]: one["data"] for one in agent.events("write") if one["data"]["target"] == target}
    return [f"{one['state']} {one['value']}".strip() for one in found.values()]


async def holds(plc: Device, what: str, value: int, within_s: float = 20.0) -> None:
    """Such as `coil 7`."""
    async with asyncio.timeout(within_s):
        while int(await plc.asked(f"in 3 get {what}")) != value:
            await asyncio.sleep(0.02)


async def wrote(plc: Device) -> list[str]:
    return [one for one in await plc.wrote() if one]


async def test_a_release_and_an_order_number_are_there_and_stand_again_after_a_power_cut(
    program: Path, tmp_path: Path
) -> None:
    async with device(program, "tcp") as plc:
        with plugged(tmp_path / "gun-1") as gun:
            async with agent_of(plc, tmp_path) as agent:
                await start(gun)
                await agent.until(lambda: told(agent, "press.order")[-1:] == ["confirmed 1042"])
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["confirmed true"])
                assert sorted(await wrote(plc)) == ["3 coil 7 1", "3 holding 30 1042 0"]
                assert told(agent, "press.release") == ["confirmed false", "intended true", "confirmed true"]
                [begun] = [one for one in agent.events("order") if one["data"]["run_state"] == "begun"]
                intended = [one for one in agent.events("write") if one["data"]["state"] == "intended"]
                assert all(one["seq"] > begun["seq"] for one in intended)
                assert {one["context"]["order"] for one in intended} == {"1042"}
                await plc.kill()
                await agent.until(lambda: "bus-1: unavailable" in agent.log)
                await plc.start()  # with nothing in its registers
                twice = ["confirmed false", *["intended true", "confirmed true"] * 2]
                await agent.until(lambda: told(agent, "press.release") == twice)
                await agent.until(lambda: told(agent, "press.order")[-1:] == ["confirmed 1042"])
                await holds(plc, "holding 30", ORDER[0])
                assert "has lost true: it is written again" in agent.log


async def test_a_unit_that_was_away_behind_its_gateway_gets_its_values_again(
    program: Path, tmp_path: Path
) -> None:
    async with device(program, "tcp") as plc:
        with plugged(tmp_path / "gun-1") as gun:
            async with agent_of(plc, tmp_path, OTHER_UNIT) as agent:
                await start(gun)
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["confirmed true"])
                await agent.until(lambda: told(agent, "press.order")[-1:] == ["confirmed 1042"])
                await plc.tell("mute 3")
                await agent.until(lambda: "unit 3 is lost" in agent.log)
                await plc.tell("in 3 set coil 7 0")  # it was off, and has forgotten
                await plc.tell("speak 3")
                await holds(plc, "coil 7", 1)
                twice = ["confirmed false", *["intended true", "confirmed true"] * 2]
                await agent.until(lambda: told(agent, "press.release") == twice)
                assert agent.log.count("bus-1: connected") == 1


async def test_killed_between_the_intention_and_the_wire_it_is_written_once_after(
    program: Path, tmp_path: Path
) -> None:
    """A dead unit has the bus for its timeout: so long the write waits for its turn."""
    async with device(program, "tcp") as plc:
        with plugged(tmp_path / "gun-1") as gun:
            async with agent_of(plc, tmp_path, OTHER_UNIT, "3s") as agent:
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["confirmed false"])
                await agent.until(lambda: told(agent, "press.order")[-1:] == ["confirmed 0"])
                await plc.tell("slow 3 600")
                await start(gun)
                await agent.until(lambda: len(agent.events("order")) > 0)
                await plc.tell("mute 9")
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["intended true"])
                agent.process.kill()
                await agent.process.wait()
            before = await wrote(plc)
            await plc.tell("slow 3 0")
            await plc.tell("speak 9")
            async with agent_of(plc, tmp_path, OTHER_UNIT) as agent:
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["confirmed true"])
                await agent.until(lambda: told(agent, "press.order")[-1:] == ["confirmed 1042"])
            after = await wrote(plc)
    assert before == []
    assert sorted(after) == ["3 coil 7 1", "3 holding 30 1042 0"]


ONLY_WRITTEN = """
[line]
name = "line-1"

[source.bus-1]
type = "modbus"
host = "tcp://127.0.0.1:{port}"
probe_every = "500ms"

[[station]]
name = "press"
ideal_cycle = "1s"
{lamp}

[[station.write]]
what = "release"
source = "bus-1"
unit = 3
holding = 10
as = "u16"
off = 5
on = 6
"""
LAMP = """
scanner = "gun-1"

[source.gun-1]
type = "serial-scanner"
port = "{folder}/gun-1"

[station.feedback]
source = "bus-1"
accepted = {{ unit = 3, coil = 4 }}
"""


@pytest.mark.parametrize("lamp", ["", LAMP], ids=["alone", "with a lamp"])
async def test_a_source_that_is_only_written_is_written_and_written_again_after_a_power_cut(
    program: Path, tmp_path: Path, lamp: str
) -> None:
    async with device(program, "tcp") as plc:
        with plugged(tmp_path / "gun-1"):
            await written_again(plc, tmp_path, lamp.format(folder=tmp_path))


async def written_again(plc: Device, folder: Path, lamp: str) -> None:
    text = ONLY_WRITTEN.format(port=plc.port, lamp=lamp)
    async with running_agent(folder, text) as agent:
        await agent.until(lambda: told(agent, "press.release") == ["intended 5", "confirmed 5"])
        await holds(plc, "holding 10", 5)
        await plc.kill()
        await agent.until(lambda: "bus-1: unavailable" in agent.log)
        await plc.start()
        await holds(plc, "holding 10", 5)
        await agent.until(lambda: told(agent, "press.release") == ["intended 5", "confirmed 5"] * 2)


@pytest.mark.long
async def test_whenever_it_is_killed_nothing_is_written_that_was_not_intended(
    program: Path, tmp_path: Path
) -> None:
    async with device(program, "tcp") as plc:
        with plugged(tmp_path / "gun-1") as gun:
            for number in range(30):
                async with agent_of(plc, tmp_path) as agent:
                    scan = label("J", "1042") if number % 2 == 0 else label("C", "PAUSE")
                    await gun.send(scan.encode() + b"\r")
                    await asyncio.sleep(
                        0.06 + 0.006 * number
                    )  # somewhere between the look and the confirmation
                    agent.process.kill()
                    await agent.process.wait()
            async with agent_of(plc, tmp_path) as agent:
                await start(gun)
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["confirmed true"])
                await agent.until(lambda: told(agent, "press.order")[-1:] == ["confirmed 1042"])
                await holds(plc, "coil 7", 1)
                on_wire = await wrote(plc)
                for target, place in (("press.release", "coil 7"), ("press.order", "holding 30")):
                    sent = sum(place in one for one in on_wire)
                    intended = sum(one.startswith("intended") for one in told(agent, target))
                    assert sent <= intended
                assert all("coil 7" in one or "holding 30" in one for one in on_wire)
