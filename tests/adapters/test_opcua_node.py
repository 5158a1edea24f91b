"""The OPC UA source against node-opcua: every kind of value, found by every address, also after a restart."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters import opcua
from adapters._opcua.connect import connect
from adapters._opcua.security import Party
from adapters._opcua.session import Pace, Plan, Session
from edge.contract import Observation, Quality, Signal, SourceError, Value
from tests.support.intake import MemoryIntake
from tests.support.node_opcua import NAMESPACE, NodeServer, node_server
from tests.support.tasks import background

FAST = timedelta(milliseconds=50)
SCALARS: Mapping[str, Value] = {
    "Scalar.Boolean": True, "Scalar.SByte": -5, "Scalar.Byte": 200, "Scalar.Int16": -30_000,
    "Scalar.UInt16": 60_000, "Scalar.Int32": -2_000_000_000, "Scalar.UInt32": 4_000_000_000,
    "Scalar.Int64": 2**63 - 1, "Scalar.UInt64": 2**64 - 1, "Scalar.Float": 1.5, "Scalar.Double": 2.25,
    "Scalar.String": "Grüße", "Scalar.DateTime": "2026-05-04T06:12:09.412Z",
    "Scalar.Guid": "72962b91-fa75-4ae6-8d28-b404dc7daf63", "Scalar.LocalizedText": "Läuft",
    "Enum.State": 5, "Enum.Mode": 2, "Odd.ReadOnly": 3, "State": 6, "Running": True,
}  # fmt: skip
NO_VALUE = ("Scalar.NullString", "Scalar.NaN", "Scalar.Infinity", "Odd.Bad", "Odd.Empty")
PARTS: Mapping[str, tuple[dict[str, object], Value]] = {
    "third": ({"node": "Array.Int32", "index": 2}, 30),
    "text": ({"node": "Array.String", "index": 0}, "a"),
    "row": ({"node": "Array.Matrix", "index": 4}, 5.0),
    "force": ({"node": "Struct.Cycle", "member": "Force"}, 12.5),
    "inner": ({"node": "Struct.Cycle", "member": "Count.Total"}, 5),
    "listed": ({"node": "Struct.Cycle", "member": "Counts[1].Total"}, 7),
    "point": ({"node": "Struct.Cycle", "member": "Points[2]"}, 3.0),
    "kind": ({"node": "Struct.Cycle", "member": "State"}, 9),
    "named": ({"node": "Struct.Cycle", "member": "State", "enumeration": "name"}, "Jammed"),
    "words": ({"node": "Struct.Cycle", "member": "Text"}, "gut"),
    "when": ({"node": "Struct.Cycle", "member": "At"}, "2026-05-04T00:00:00.000Z"),
    "given": ({"node": "Struct.Optional", "member": "Sometimes"}, 2.5),
    "chosen": ({"node": "Struct.Choice", "member": "Real"}, 4.5),
    "pressing": ({"node": "Enum.State", "enumeration": "name"}, "Pressing"),
    "auto": ({"node": "Enum.Mode", "enumeration": "name"}, "Auto"),
    "second": ({"node": "Struct.Counts", "index": 1, "member": "Total"}, 2),
    "path": ({"path": f"nsu={NAMESPACE};Scalar/Int16"}, -30_000),
    "total": ({"model": "packml", "part": "total"}, 40),
    "reject": ({"model": "packml", "part": "reject"}, 40),
    "cycles": ({"model": "machinery", "part": "total"}, 40),
}
FAULTS: Mapping[str, tuple[dict[str, object], str]] = {
    "unknown": ({"node": "Nowhere"}, "Nowhere"),
    "beyond": ({"node": "Array.Int32", "index": 9}, "4"),
    "nobody": ({"node": "Struct.Cycle", "member": "Weight"}, "Weight"),
    "absent": ({"node": "Struct.Optional", "member": "Seldom"}, "no value"),
    "other": ({"node": "Struct.Choice", "member": "Whole"}, "no value"),
    "lost": ({"path": f"nsu={NAMESPACE};Scalar/Nothing"}, "Nothing"),
    "flat": ({"node": "Scalar.Int32", "index": 0}, "Scalar.Int32"),
    "whole": ({"node": "Array.Int32"}, "index"),
}


def signal(name: str, **address: object) -> Signal[opcua.Address]:
    if "node" in address:
        address = {**address, "node": f"nsu={NAMESPACE};s={address['node']}"}
    return Signal(name, opcua.Address.model_validate(address), FAST)


@asynccontextmanager
async def collecting(
    server: NodeServer, folder: Path, signals: Sequence[Signal[opcua.Address]]
) -> AsyncIterator[MemoryIntake]:
    """What one connection after the other hands over."""
    intake = MemoryIntake("press", data=folder)
    settings = opcua.Settings.model_validate(
        {"type": "opcua", "endpoint": server.url, "security": "None", "publish": "100ms"}
    )

    async def again_and_again() -> None:
        while True:
            try:
                await opcua.collect(settings, signals, intake)
            except SourceError:
                continue

    async with background(again_and_again()):
        yield intake


def latest(intake: MemoryIntake) -> dict[str, Observation]:
    return {one.signal: one for one in intake.seen}


async def all_told(intake: MemoryIntake, names: Sequence[str]) -> dict[str, Observation]:
    await intake.until(lambda: set(names) <= latest(intake).keys())
    return latest(intake)


@pytest.fixture
def everything() -> list[Signal[opcua.Address]]:
    scalars = [signal(name, node=name) for name in (*SCALARS, *NO_VALUE)]
    parts = [signal(name, **address) for name, (address, _) in {**PARTS, **FAULTS}.items()]
    return [*scalars, *parts]


MODELS: dict[str, Any] = {"models": ["packml", "machinery"], "first": 40}


async def test_every_kind_of_value_is_found_also_when_all_indexes_have_moved(
    tmp_path: Path, everything: list[Signal[opcua.Address]]
) -> None:
    async with (
        node_server(tmp_path / "plc", **MODELS) as server,
        collecting(server, tmp_path, everything) as intake,
    ):
        check(await all_told(intake, [one.name for one in everything]))
        intake.seen.clear()
        await server.restart(before=7)
        check(await all_told(intake, [one.name for one in everything]))
        assert intake.connections == 2


def check(told: Mapping[str, Observation]) -> None:
    good = {**SCALARS, **{name: value for name, (_, value) in PARTS.items()}}
    wrong = {
        name: (told[name].value, told[name].detail, value)
        for name, value in good.items()
        if told[name].value != value or type(told[name].value) is not type(value)
    }
    assert not wrong
    for name in (*NO_VALUE, *FAULTS):
        assert told[name].quality is Quality.BAD, told[name]
        assert told[name].detail, name
    silent = {name: told[name].detail for name, (_, word) in FAULTS.items() if word not in told[name].detail}
    assert not silent


async def test_an_uncertain_value_is_kept_as_such(tmp_path: Path) -> None:
    async with (
        node_server(tmp_path / "plc") as server,
        collecting(server, tmp_path, [signal("odd", node="Odd.Uncertain")]) as intake,
    ):
        await intake.until(lambda: bool(intake.seen))
        first = intake.seen[0]
        assert (first.value, first.quality, first.detail) == (
            7,
            Quality.UNCERTAIN,
            "UncertainLastUsableValue",
        )
        await server.set("Odd.Uncertain", 8)
        await intake.until(lambda: intake.seen[-1].value == 8)
        assert intake.seen[-1].quality is Quality.GOOD


async def test_the_models_state_and_mode_follow_the_machine(tmp_path: Path) -> None:
    watched = [
        signal(f"{model}.{part}", model=model, part=part)
        for model in ("packml", "machinery")
        for part in ("state", "mode")
    ]
    async with (
        node_server(tmp_path / "plc", **MODELS) as server,
        collecting(server, tmp_path, watched) as intake,
    ):
        first = await all_told(intake, [one.name for one in watched])
        assert all(one.quality is Quality.GOOD for one in first.values()), first
        before = {name: one.value for name, one in first.items()}
        for machine, state in (("PackML.Filler", "Held"), ("Machinery.Press", "NotExecuting")):
            await server.set(f"{machine}.State", state)
        await server.set("PackML.Filler.Mode", 3)
        await server.set("Machinery.Press.Mode", "Maintenance")
        await intake.until(lambda: all(latest(intake)[name].value != before[name] for name in before))
        await server.set("PackML.Filler.State", "Aborted")
        await intake.until(lambda: latest(intake)["packml.state"].value in (9, "Aborted"))
        assert all(one.quality is Quality.GOOD for one in latest(intake).values())
        assert not any(isinstance(one.value, float) and math.isnan(one.value) for one in intake.seen)


async def test_a_node_that_goes_and_comes_back_otherwise_says_each_reason(tmp_path: Path) -> None:
    """A program is loaded into the PLC: the node is gone, is a text, is wider than the file says."""
    total, name = f"nsu={NAMESPACE};s=Write.Hold", "press.total"
    address = opcua.Address.model_validate({"node": total})
    settings = opcua.Settings.model_validate({"type": "opcua", "endpoint": "opc.tcp://h", "security": "None"})
    async with node_server(tmp_path / "plc") as server:
        intake = MemoryIntake("press", data=tmp_path)
        settings = settings.model_copy(update={"endpoint": server.url})
        pace = Pace(probe_s=0.1, sweep_s=0.1, mend_s=0.3)
        async with connect(settings, Party("press", tmp_path)) as (link, _):
            session = Session(link, [Signal(name, address, FAST, bits=16)], intake, Plan(0.1), pace)
            async with background(session.run()):
                await intake.until(lambda: intake.values(name) == [0])
                await server.ask("remove", names=["Write.Hold"])
                await intake.until(lambda: bool(details(intake)))
                await server.ask("add", names=["Write.Hold"], type="String", value="a")
                await intake.until(lambda: "it is a String" in details(intake)[-1])
                await server.ask("remove", names=["Write.Hold"])
                await intake.until(lambda: "it is a String" not in details(intake)[-1])
                await server.ask("add", names=["Write.Hold"], type="UInt32", value=70_000)
                await intake.until(lambda: intake.values(name)[-1] == 70_000)
    gone = f"{total}: the server has no such node any more: it may come back with its next program; "
    said = list(dict.fromkeys(details(intake)))
    assert [one.startswith(gone) for one in said] == [True, False]


def details(intake: MemoryIntake) -> list[str]:
    return [one.detail for one in intake.seen if one.quality is Quality.BAD]
