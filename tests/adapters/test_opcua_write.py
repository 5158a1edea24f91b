"""Writing to nodes of a server of another make: types, refusals and read-backs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from adapters import opcua
from adapters._opcua.write import Write
from edge.contract import (
    Done,
    DoneState,
    Quality,
    Signal,
    Target,
    WriteValue,
)
from tests.adapters.opcua_write_support import done
from tests.support.intake import MemoryIntake
from tests.support.node_opcua import NAMESPACE, NodeServer, node_server


def nodes(**names: str) -> list[Target[Write]]:
    made = {name: Write(node=f"nsu={NAMESPACE};s={node}") for name, node in names.items()}
    return [Target(name, address, timedelta(milliseconds=300)) for name, address in made.items()]


@asynccontextmanager
async def session(
    server: NodeServer,
    folder: Path,
    targets: list[Target[Write]],
    signals: Sequence[Signal[opcua.Address]] = (),
) -> AsyncIterator[MemoryIntake]:
    intake = MemoryIntake("press-plc", data=folder)
    intake.targets = targets
    settings = opcua.Settings(type="opcua", endpoint=server.url, security="None")
    task = asyncio.create_task(opcua.collect(settings, signals, intake))
    try:
        yield intake
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_values_of_every_kind_are_written_and_read_back(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc") as server:
        targets = nodes(
            release="Write.Release",
            hold="Write.Hold",
            order="Write.Order",
            number="Write.Number",
            real="Write.Real",
        )
        targets.append(Target("path", Write(path=f"nsu={NAMESPACE};Write/Order"), timedelta(seconds=1)))
        async with session(server, tmp_path, targets) as intake:
            assert await done(intake, "release", True, only_look=True) == Done(DoneState.OTHER, "false")
            assert (await server.ask("stats"))["writes"] == 0
            cases: list[tuple[str, WriteValue, str]] = [
                ("release", True, "true"), ("hold", True, "1"), ("order", "WO-1042", "WO-1042"),
                ("number", "1042", "1042"), ("real", 0.1, "0.10000000149011612"),
                ("path", "WO-7", "WO-7"),
            ]  # fmt: skip
            for target, value, found in cases:
                assert await done(intake, target, value) == Done(DoneState.THERE, found)
                assert await done(intake, target, value, only_look=True) == Done(DoneState.THERE, found)
            written = [await server.value(f"Write.{name}") for name in ("Release", "Hold", "Order", "Number")]
            assert written == [True, 1, "WO-7", 1042]


async def test_each_refusal_says_what_is_wrong_and_the_session_lives_on(tmp_path: Path) -> None:
    targets = nodes(
        readonly="Odd.ReadOnly", nowhere="Write.Nothing", array="Array.Int32", number="Write.Number",
        date="Scalar.DateTime", bad="Odd.Bad", order="Write.Order",
    )  # fmt: skip
    targets.append(Target("alien", Write(node="nsu=urn:other;s=X"), timedelta(seconds=1)))
    targets.append(Target("astray", Write(path=f"nsu={NAMESPACE};Write/Nothing"), timedelta(seconds=1)))
    cases: list[tuple[str, WriteValue, str]] = [
        ("readonly", 1, "the node is read-only: have the server's program make it writable (BadNotWritable)"),
        ("nowhere", "A", "the server has no such node"),
        ("array", 1, "holds an array"),
        ("number", "WO-1", "the node is a UInt32, 0 to 4294967295: 'WO-1' does not fit there"),
        ("date", "now", "the node is a DateTime: 'now' does not fit there"),
        ("bad", 1, "BadDeviceFailure"),
        ("alien", 1, "the server has no namespace urn:other"),
        ("astray", 1, "leads nowhere: check it against the server's browse tree"),
    ]  # fmt: skip
    async with node_server(tmp_path / "plc") as server, session(server, tmp_path, targets) as intake:
        for target, value, words in cases:
            told = await done(intake, target, value)
            unfit = "does not fit there" in words
            assert told.state is (DoneState.UNFIT if unfit else DoneState.REFUSED), told
            assert words in told.detail
        await server.ask("refuse", service="Write", status="BadUserAccessDenied")
        assert "BadUserAccessDenied" in (await done(intake, "order", "A")).detail
        await server.ask("refuse", service="Write", status=None)
        assert (await done(intake, "order", "A")).state is DoneState.THERE


async def test_a_node_that_never_had_a_value_is_typed_by_its_data_type(tmp_path: Path) -> None:
    targets = nodes(order="Write.Order", mode="Enum.State")
    async with node_server(tmp_path / "plc") as server, session(server, tmp_path, targets) as intake:
        await server.set("Write.Order", None, status="BadWaitingForInitialData")
        assert await done(intake, "order", "WO-1", only_look=True) == Done(DoneState.OTHER, None)
        assert await done(intake, "order", "WO-1") == Done(DoneState.THERE, "WO-1")
        assert (await done(intake, "mode", 9, only_look=True)).state is DoneState.OTHER


async def test_a_write_that_is_slow_holds_up_no_fresh_read(tmp_path: Path) -> None:
    address = opcua.Address(node=f"nsu={NAMESPACE};s=Count.Total")
    total = Signal("press.total", address, timedelta(milliseconds=100))
    async with (
        node_server(tmp_path / "plc") as server,
        session(server, tmp_path, nodes(order="Write.Order"), [total]) as intake,
    ):
        await intake.until(lambda: intake.connections > 0 and bool(intake.values("press.total")))
        await server.ask("hold", service="Write", ms=1_500)
        writing = intake.write("order", "WO-1")
        asked = intake.ask("press.total")
        await intake.until(lambda: any(one.answers == asked for one in intake.seen))
        assert writing not in intake.done
        await intake.until_sampled(lambda: writing in intake.done)
        assert intake.done[writing].state is DoneState.THERE


async def test_values_that_were_bad_and_are_good_again_have_the_targets_looked_at(tmp_path: Path) -> None:
    address = opcua.Address(node=f"nsu={NAMESPACE};s=Count.Total")
    total = Signal("press.total", address, timedelta(milliseconds=100))
    async with (
        node_server(tmp_path / "plc") as server,
        session(server, tmp_path, nodes(order="Write.Order"), [total]) as intake,
    ):
        await intake.until(lambda: bool(intake.values("press.total")))
        await server.set("Count.Total", 5, status="BadNotConnected")
        await intake.until(lambda: intake.seen[-1].quality is Quality.BAD)
        assert await done(intake, "order", "A") == Done(DoneState.THERE, "A")
        assert intake.renewals == 0
        await asyncio.sleep(1.5)  # longer than a probe: what is good again at once was never away
        await server.set("Count.Total", 5)
        await intake.until_sampled(lambda: intake.renewals == 1)
        assert intake.connections == 1


async def test_a_node_that_a_program_made_anew_somewhere_else_is_found_by_its_path(tmp_path: Path) -> None:
    targets = [Target("order", Write(path=f"nsu={NAMESPACE};Write/Order"), timedelta(seconds=1))]
    async with node_server(tmp_path / "plc") as server, session(server, tmp_path, targets) as intake:
        assert await done(intake, "order", "A") == Done(DoneState.THERE, "A")
        await server.ask("remove", names=["Write.Order"])
        assert "leads nowhere" in (await done(intake, "order", "A", only_look=True)).detail
        await server.ask("add", names=["Write.Order"])
        assert await done(intake, "order", "A", only_look=True) == Done(DoneState.OTHER, "")
