"""Writing to nodes: types, refusals and read-backs on a server of another make, and the agent killed."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters import opcua
from adapters._opcua.binary import Text
from adapters._opcua.wire import Sample
from adapters._opcua.write import Write, same, text_of, typed
from adapters._writes import Desk, MisfitError, SilentError, UnfitError, carried_out
from edge.contract import (
    Ask,
    Done,
    DoneState,
    Quality,
    Signal,
    SourceLost,
    SourceRefused,
    Target,
    WriteAsk,
    WriteValue,
)
from simulators.labels import label
from tests.support.agent import Agent, running_agent
from tests.support.intake import MemoryIntake
from tests.support.node_opcua import NAMESPACE, NodeServer, node_server
from tests.support.ptys import PtyDevice

# --- values and types -------------------------------------------------------------------------------

BOOLEAN, SBYTE, BYTE, INT16, UINT32, INT64, FLOAT, DOUBLE, STRING, DATE, TEXT = (
    1,
    2,
    3,
    4,
    7,
    8,
    10,
    11,
    12,
    13,
    21,
)


@pytest.mark.parametrize(
    ("value", "kind", "wire"),
    [
        (True, BOOLEAN, True), (1, BOOLEAN, True), (0.0, BOOLEAN, False), (True, INT16, 1), (5, SBYTE, 5),
        (5.0, BYTE, 5), ("1042", UINT32, 1042), ("-7", INT64, -7), (2, FLOAT, 2.0), (0.1, DOUBLE, 0.1),
        ("WO-1", STRING, "WO-1"), (7, STRING, "7"), (True, STRING, "true"), ("WO-1", TEXT, "WO-1"),
    ],
)  # fmt: skip
def test_a_value_is_made_what_the_node_holds(value: WriteValue, kind: int, wire: WriteValue) -> None:
    found = typed(value, kind)
    assert found == wire
    assert type(found) is type(wire)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (2, BOOLEAN), ("true", BOOLEAN), ("WO-1", UINT32), ("", UINT32), ("٣", UINT32), (-1, UINT32),
        (1 << 32, UINT32), (0.5, INT16), (300, BYTE), ("1.5", DOUBLE), (1e39, FLOAT), ("x", DATE), (1, 0),
        ("9" * 21, INT64),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_words(value: WriteValue, kind: int) -> None:
    with pytest.raises(UnfitError, match=r"does not fit there|too large"):
        typed(value, kind)


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)


@given(VALUES, st.integers(0, 30))
def test_whatever_is_wanted_fits_or_is_refused(value: WriteValue, kind: int) -> None:
    try:
        found = typed(value, kind)
    except UnfitError:
        return
    raw = Text("en", found) if kind == TEXT and isinstance(found, str) else found
    assert same(found, Sample(raw, kind=kind))
    assert isinstance(text_of(Sample(raw, kind=kind)), str)


@given(st.floats(-3e38, 3e38))
def test_a_float_is_read_back_as_it_was_rounded(value: float) -> None:
    back = struct.unpack("<f", struct.pack("<f", value))[0]
    assert same(typed(value, FLOAT), Sample(back, kind=FLOAT))
    assert math.isclose(back, value, rel_tol=1e-6, abs_tol=1e-44)


def test_a_text_that_a_plc_pads_is_the_same() -> None:
    assert same("WO-1", Sample("WO-1\0\0\0", kind=STRING))
    assert same("WO-1", Sample("WO-1   ", kind=STRING))
    assert same("", Sample(None, kind=STRING))
    assert not same("WO-1", Sample("WO-10", kind=STRING))
    assert not same("WO-1042", Sample("WO-1", kind=STRING))
    assert not same("WO-1", Sample(None, kind=STRING))
    assert not same(True, Sample(1, kind=INT16))


@pytest.mark.parametrize(
    "keys", [{}, {"node": "ns=2;s=A", "path": "2:A"}, {"node": "A"}, {"node": 7}, {"index": 1}]
)
def test_an_address_is_one_node(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Write(**keys)


# --- the same for every protocol -----------------------------------------------------------------------


class Cell:
    """A place that shows what is written after so many looks."""

    def __init__(self, late: int = 0) -> None:
        self.late = late
        self.holds: WriteValue = ""
        self.error: Exception | None = None
        self.begun = asyncio.Event()
        self.steps: list[str] = []

    async def look(self, value: WriteValue) -> tuple[bool, str]:
        self.begun.set()
        if self.error is not None:
            raise self.error
        self.late -= 1
        shows = "" if self.late >= 0 else self.holds
        return shows == value, str(shows)

    async def ready(self, value: WriteValue) -> None:
        self.steps.append("ready")

    async def write(self, value: WriteValue, is_wanted: Callable[[], bool]) -> bool:
        if not is_wanted():
            return False
        self.steps.append("write")
        self.holds = value
        return True


async def test_what_shows_a_little_late_is_confirmed() -> None:
    late = Cell(2)
    assert await carried_out(WriteAsk("x", "A", only_look=False), late, 2.0) == Done(DoneState.THERE, "A")
    late = Cell(2)
    assert await carried_out(WriteAsk("x", "A", only_look=False), late, 0.0) == Done(DoneState.OTHER, "")
    late.late = 2
    assert await carried_out(WriteAsk("x", "A", only_look=True), late, 2.0) == Done(DoneState.OTHER, "")


async def test_what_is_not_wanted_any_more_is_not_written() -> None:
    cell = Cell()
    told = await carried_out(WriteAsk("x", "A", only_look=False, is_wanted=lambda: False), cell, 2.0)
    assert told == Done(DoneState.STALE, detail="another value was wanted before it was written")
    assert cell.steps == ["ready"]


async def test_what_is_not_wanted_any_more_is_not_waited_for() -> None:
    cell = Cell(1_000_000)
    ask = WriteAsk("x", "A", only_look=False, is_wanted=lambda: "write" not in cell.steps)
    told = await carried_out(ask, cell, 60.0)
    assert told.state is DoneState.STALE
    assert "it was written" in told.detail
    asked = iter([True, True, False])
    ask = WriteAsk("x", "A", only_look=False, is_wanted=lambda: next(asked))
    assert await carried_out(ask, cell, 60.0) == Done(DoneState.OTHER, "")


async def test_a_value_that_is_none_that_fits_there_is_told_apart() -> None:
    cell = Cell()
    cell.error = MisfitError("the node is a UInt32")
    told = await carried_out(WriteAsk("x", "A", only_look=True), cell, 0.0)
    assert told == Done(DoneState.UNFIT, detail="the node is a UInt32")


@pytest.mark.parametrize("error", [UnfitError("it is read-only"), SourceRefused("plc", "it is read-only")])
async def test_what_is_refused_is_an_answer(error: Exception) -> None:
    cell = Cell()
    cell.error = error
    done = await carried_out(WriteAsk("x", "A", only_look=True), cell, 0.0)
    assert done == Done(DoneState.REFUSED, detail="it is read-only")


async def test_no_answer_on_a_connection_that_stands_is_told_apart() -> None:
    cell = Cell()
    cell.error = SilentError("unit 3 does not answer")
    done = await carried_out(WriteAsk("x", "A", only_look=False), cell, 0.0)
    assert done == Done(DoneState.SILENT, detail="unit 3 does not answer")


async def test_a_write_whose_answer_is_lost_is_looked_at_and_not_sent_again() -> None:
    class Lossy(Cell):
        takes = True

        async def write(self, value: WriteValue, is_wanted: Callable[[], bool]) -> bool:
            self.steps.append("write")
            if self.takes:
                self.holds = value
            raise SilentError("unit 3: no answer")

    cell = Lossy()
    assert await carried_out(WriteAsk("x", "A", only_look=False), cell, 0.0) == Done(DoneState.THERE, "A")
    cell.takes = False
    assert await carried_out(WriteAsk("x", "B", only_look=False), cell, 0.0) == Done(
        DoneState.OTHER, "A", "it was written, but unit 3: no answer; it reads back A"
    )
    assert cell.steps == ["ready", "write"] * 2


async def test_what_a_device_says_is_cut_and_printable() -> None:
    cell = Cell()
    cell.holds = "\x1b[31m" + "A" * 100_000
    told = await carried_out(WriteAsk("x", "A", only_look=True), cell, 0.0)
    assert told == Done(DoneState.OTHER, "?[31m" + "A" * 195)
    cell.error = UnfitError("\0" * 100_000)
    assert (await carried_out(WriteAsk("x", "A", only_look=True), cell, 0.0)).detail == "?" * 500


@asynccontextmanager
async def desk(*cells: Cell) -> AsyncIterator[tuple[Desk, MemoryIntake, asyncio.Task[None]]]:
    intake = MemoryIntake("plc")
    names = [f"press.{number}" for number in range(len(cells))]
    intake.targets = [Target(name, Write(node="i=1"), timedelta(seconds=60)) for name in names]
    one = Desk(intake, dict(zip(names, cells, strict=True)))
    task = asyncio.create_task(one.run())
    try:
        yield one, intake, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_place_that_takes_its_time_holds_up_no_other() -> None:
    slow, quick = Cell(1_000_000), Cell()
    async with desk(slow, quick) as (one, intake, _):
        one.put(Ask(1, write=WriteAsk("press.0", "A", only_look=False)))
        await slow.begun.wait()
        one.put(Ask(2, write=WriteAsk("press.1", "A", only_look=False)))
        await intake.until_sampled(lambda: 2 in intake.done)
        assert intake.done == {2: Done(DoneState.THERE, "A")}


async def test_asks_that_nobody_serves_are_few_and_strangers_are_none() -> None:
    slow = Cell(1_000_000)
    async with desk(slow) as (one, intake, task):
        for number in range(1_000):
            one.put(Ask(number, write=WriteAsk("press.0", "A", only_look=False)))
        one.put(Ask(1_001, write=WriteAsk("packer.0", "A", only_look=False)))
        one.put(Ask(1_002))
        await slow.begun.wait()
        assert intake.done == {}
        assert not task.done()


async def test_a_connection_that_is_gone_ends_it() -> None:
    cell = Cell()
    cell.error = SourceLost("plc", "gone")
    async with desk(cell) as (one, intake, task):
        one.put(Ask(1, write=WriteAsk("press.0", "A", only_look=True)))
        with pytest.raises(ExceptionGroup) as failed:
            await task
    assert failed.group_contains(SourceLost, match="gone")
    assert intake.done == {}


# --- a server of another make -----------------------------------------------------------------------------


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


async def done(intake: MemoryIntake, target: str, value: WriteValue, *, only_look: bool = False) -> Done:
    number = intake.write(target, value, only_look=only_look)
    await intake.until_sampled(lambda: number in intake.done)
    return intake.done[number]


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


# --- the whole agent ------------------------------------------------------------------------------

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


@contextmanager
def plugged(link: Path) -> Iterator[PtyDevice]:
    gun = PtyDevice(link)
    try:
        yield gun
    finally:
        gun.unplug()


@asynccontextmanager
async def agent_of(server: NodeServer, folder: Path, more: str = "") -> AsyncIterator[Agent]:
    text = LINE.format(url=server.url, folder=folder, namespace=NAMESPACE, more=more)
    async with running_agent(folder, text) as agent:
        await agent.until(
            lambda: agent.log.count("gun-1: connected") == agent.log.count("line line-1 is up") > 0
        )
        yield agent


def told(agent: Agent, target: str) -> list[str]:
    """In their order; a file may get an event again after a kill."""
    found = {one["id"]: one["data"] for one in agent.events("write") if one["data"]["target"] == target}
    return [f"{one['state']} {one['value']}".strip() for one in found.values()]


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
