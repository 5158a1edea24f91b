"""The whole agent that writes to an OPC UA server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from simulators.labels import label
from tests.adapters.opcua_write_support import told
from tests.support.agent import Agent, running_agent
from tests.support.node_opcua import NAMESPACE, NodeServer, node_server
from tests.support.ptys import plugged

LINE = """
[line]
name = "line-1"
badge = "optional"

[source.press-plc]
type = "opcua"
endpoint = "{url}"
security = "None"

[source.gun-1]
type = "serial-scanner"
port = "{folder}/gun-1"

[[order]]
id = "WO-1"
item = "P7"
quantity = 100

[[station]]
name = "press"
ideal_cycle = "1s"
scanner = "gun-1"
{more}

[[station.write]]
what = "release"
source = "press-plc"
node = "nsu={namespace};s=Write.Release"

[[station.write]]
what = "order"
source = "press-plc"
node = "nsu={namespace};s=Write.Order"

[[station.write]]
what = "hold"
source = "press-plc"
node = "nsu={namespace};s=Odd.ReadOnly"
on = 1
off = 0
"""


@asynccontextmanager
async def agent_of(server: NodeServer, folder: Path, more: str = "") -> AsyncIterator[Agent]:
    text = LINE.format(url=server.url, folder=folder, namespace=NAMESPACE, more=more)
    async with running_agent(folder, text) as agent:
        await agent.until(
            lambda: agent.log.count("gun-1: connected") == agent.log.count("line line-1 is up") > 0
        )
        yield agent


async def holds(server: NodeServer, name: str, value: object, within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while await server.value(name) != value:
            await asyncio.sleep(0.05)


async def test_a_release_is_told_written_and_confirmed_and_stands_again_after_a_kill(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc") as server:
        await server.set("Write.Order", "OLD")
        with plugged(tmp_path / "gun-1") as gun:
            async with agent_of(server, tmp_path) as agent:
                await holds(server, "Write.Order", "")
                await gun.send(label("J", "WO-1").encode() + b"\r")
                await holds(server, "Write.Release", value=True)
                await holds(server, "Write.Order", "WO-1")
                await agent.until(lambda: told(agent, "press.order")[-1:] == ["confirmed WO-1"])
                assert told(agent, "press.order") == [
                    "intended", "confirmed", "intended WO-1", "confirmed WO-1",
                ]  # fmt: skip
                orders = {one["id"]: one["data"] for one in agent.events("write")}.values()
                found = [one["found"] for one in orders if one["target"] == "press.order"]
                assert found == ["OLD", "", "", "WO-1"], "an empty text is what it holds too"
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["confirmed true"])
                assert told(agent, "press.release") == ["confirmed false", "intended true", "confirmed true"]
                [begun] = [one for one in agent.events("order") if one["data"]["run_state"] == "begun"]
                intended = [one for one in agent.events("write") if one["data"]["state"] == "intended"]
                of_job = [one for one in intended if one["data"]["value"] in ("WO-1", "true")]
                assert len(of_job) == 2
                assert all(one["seq"] > begun["seq"] for one in of_job)
                assert {one["context"].get("order") for one in intended} == {None, "WO-1"}
                agent.process.kill()
                await agent.process.wait()
            await server.set("Write.Release", value=False)  # as if the PLC had been off and on
            async with agent_of(server, tmp_path) as agent:
                await holds(server, "Write.Release", value=True)
                twice = ["confirmed false", *["intended true", "confirmed true"] * 2]
                await agent.until(lambda: told(agent, "press.release") == twice)
                assert told(agent, "press.order").count("intended WO-1") == 1
                writes = (await server.ask("stats"))["writes"]
                await server.set("Write.Release", value=False)  # a person at the HMI
                await gun.send(label("C", "PAUSE").encode() + b"\r")
                await holds(server, "Write.Order", "")
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["confirmed false"])
                assert (await server.ask("stats"))["writes"] == writes + 1  # of the order: false was there


async def test_a_place_that_refuses_hinders_nothing_else_and_is_said_once(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", part_ms=50) as server:
        await server.set("Odd.ReadOnly", 7)
        with plugged(tmp_path / "gun-1") as gun:
            async with agent_of(server, tmp_path) as agent:
                await agent.until(lambda: "failed 0" in told(agent, "press.hold"))
                await gun.send(label("J", "WO-1").encode() + b"\r")
                await holds(server, "Write.Release", value=True)
                said = [one for one in agent.log.splitlines() if "press.hold" in one]
                assert len(said) == 1
                assert "read-only" in said[0]
                assert await agent.stop() == 0


async def test_a_program_that_is_loaded_while_the_server_stays_up_costs_no_release(tmp_path: Path) -> None:
    counter = f'total = {{ source = "press-plc", node = "nsu={NAMESPACE};s=Count.Total", counter = "u32" }}'
    async with node_server(tmp_path / "plc") as server:
        with plugged(tmp_path / "gun-1") as gun:
            async with agent_of(server, tmp_path, counter) as agent:
                await agent.until(lambda: told(agent, "press.release") == ["confirmed false"])
                await gun.send(label("J", "WO-1").encode() + b"\r")
                await holds(server, "Write.Release", value=True)
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["confirmed true"])
                loaded = ["Count.Total", "Write.Release"]
                await server.ask("remove", names=loaded)
                await agent.until(lambda: "cannot be read" in agent.log)
                await server.ask("add", names=loaded)
                await holds(server, "Write.Release", value=True)
                twice = ["confirmed false", *["intended true", "confirmed true"] * 2]
                await agent.until(lambda: told(agent, "press.release") == twice)
                assert agent.log.count("press-plc: connected") == 1


async def test_no_release_is_given_for_a_job_that_has_ended_while_the_device_was_asked(
    tmp_path: Path,
) -> None:
    async with node_server(tmp_path / "plc") as server:
        with plugged(tmp_path / "gun-1") as gun:
            async with agent_of(server, tmp_path) as agent:
                await agent.until(lambda: told(agent, "press.release") == ["confirmed false"])
                await server.ask("hold", service="Read", ms=2_000)
                await gun.send(label("J", "WO-1").encode() + b"\r")
                await agent.until(lambda: len(agent.events("order")) > 0)
                await asyncio.sleep(0.3)  # it is wanted, and the look is on its way
                await gun.send(label("C", "PAUSE").encode() + b"\r")
                await agent.until(lambda: agent.events("order")[-1]["data"]["run_state"] != "begun")
                await server.ask("hold", service="Read", ms=0)
                await gun.send(label("J", "WO-1").encode() + b"\r")
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["confirmed true"])
                await agent.until(lambda: told(agent, "press.order")[-1:] == ["confirmed WO-1"])
                again = agent.events("order")[-1]
                of_job = [one for one in agent.events("write") if one["data"]["value"] in ("true", "WO-1")]
                assert again["data"]["run_state"] == "begun"
                assert len(of_job) == 4
                assert all(one["seq"] > again["seq"] for one in of_job)


async def test_a_write_that_was_cut_short_is_looked_at_and_done_once(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc") as server:
        with plugged(tmp_path / "gun-1") as gun:
            async with agent_of(server, tmp_path) as agent:
                await agent.until(lambda: told(agent, "press.release") == ["confirmed false"])
                await server.ask("hold", service="Write", ms=60_000)
                await gun.send(label("J", "WO-1").encode() + b"\r")
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["intended true"])
                await server.restart(before=3)  # and our namespace has another number
                await holds(server, "Write.Release", value=True)
                cut = ["confirmed false", "intended true", "unknown true", "intended true", "confirmed true"]
                await agent.until(lambda: told(agent, "press.release") == cut)
                await server.ask("hold", service="Write", ms=60_000)
                await gun.send(label("C", "PAUSE").encode() + b"\r")
                await agent.until(lambda: told(agent, "press.release")[-1:] == ["intended false"])
                agent.process.kill()
                await agent.process.wait()
            await server.restart()
            await server.set("Write.Release", value=True)
            async with agent_of(server, tmp_path) as agent:
                await holds(server, "Write.Release", value=False)
                done_once = [*cut, "intended false", "intended false", "confirmed false"]
                await agent.until(lambda: told(agent, "press.release") == done_once)
