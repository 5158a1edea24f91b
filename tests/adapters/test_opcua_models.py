"""Machines by their companion specification, structures and names of numbers, on node-opcua's server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters import opcua
from adapters._opcua.address import Address
from adapters._opcua.connect import connect
from adapters._opcua.link import Link
from adapters._opcua.resolve import Resolved, combine, resolve
from adapters._opcua.security import Party
from adapters._opcua.settings import Settings
from adapters._opcua.values import Reading, reading
from edge.config import load
from edge.contract import Quality, Signal, Value
from tests.support.intake import MemoryIntake
from tests.support.node_opcua import NAMESPACE, node_server

N = f"nsu={NAMESPACE};"


def settings(url: str) -> Settings:
    return Settings.model_validate({"type": "opcua", "endpoint": url, "security": "None"})


@asynccontextmanager
async def linked(url: str, folder: Path) -> AsyncIterator[Link]:
    async with connect(settings(url), Party(source="plc", line="line-1", data=folder)) as (link, _):
        await link.learn_limits()
        yield link


async def found(link: Link, bits: int | None = None, **keys: Any) -> Resolved:
    signal = Signal("press.x", Address.model_validate(keys), timedelta(seconds=1), bits=bits)
    (made,) = await resolve(link, [signal])
    return made


async def now(link: Link, **keys: Any) -> Reading:
    made = await found(link, **keys)
    assert made.fault == "", made.fault
    readings = [reading(one, made.pick) for one in await link.read([made.node, *made.more])]
    return combine(readings) if made.more else readings[0]


async def value(link: Link, **keys: Any) -> Value:
    read = await now(link, **keys)
    assert read.quality is Quality.GOOD, read.detail
    return read.value


STRUCTURES: list[tuple[dict[str, Any], Value]] = [
    ({"node": f"{N}s=Struct.Cycle", "member": "Number"}, 77),
    ({"node": f"{N}s=Struct.Cycle", "member": "Points[1]"}, 2),
    ({"node": f"{N}s=Struct.Cycle", "member": "Count.Total"}, 5),
    ({"node": f"{N}s=Struct.Cycle", "member": "Counts[1].Total"}, 7),
    ({"node": f"{N}s=Struct.Cycle", "member": "State"}, 9),
    ({"node": f"{N}s=Struct.Cycle", "member": "State", "enumeration": "name"}, "Jammed"),
    ({"node": f"{N}s=Struct.Optional", "member": "Sometimes"}, 2.5),
    ({"node": f"{N}s=Struct.Choice", "member": "Real"}, 4.5),
    ({"node": f"{N}s=Array.Int32", "index": 3}, 40),
    ({"node": f"{N}s=Array.Matrix", "index": 4}, 5.0),
    ({"node": f"{N}s=Enum.State"}, 5),
    ({"node": f"{N}s=Enum.State", "enumeration": "name"}, "Pressing"),
    ({"node": f"{N}s=Enum.Mode", "enumeration": "name"}, "Auto"),
    ({"path": f"{N}Odd/Slash%2FName"}, 1),
    ({"path": f"Objects/{N}Count/Reject"}, 0),
]

MISFITS: list[tuple[dict[str, Any], str]] = [
    (
        {"node": f"{N}s=Struct.Cycle"},
        'it is a structure: name a member, as in member = "Number"; it has Number, Force',
    ),
    (
        {"node": f"{N}s=Struct.Cycle", "member": "Nope"},
        "has no member Nope; it has Number, Force, Name, Good",
    ),
    (
        {"node": f"{N}s=Struct.Cycle", "member": "Points"},
        'is an array: say which element, as in member = "Points[0]"',
    ),
    (
        {"node": f"{N}s=Struct.Cycle", "member": "Count"},
        "Count is a structure: name one of its members with member",
    ),
    ({"node": f"{N}s=Array.Int32"}, "it is an array: say which element"),
    ({"node": f"{N}s=Scalar.Int32", "enumeration": "name"}, "an Int32 has no names"),
    ({"path": f"{N}Struct"}, "it is an object and has no value"),
]


async def test_paths_are_walked_on_a_server_that_follows_none(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", before=3) as server, linked(server.url, tmp_path) as link:
        await server.ask("refuse", service="TranslateBrowsePathsToNodeIds", status="BadServiceUnsupported")
        assert await value(link, path=f"{N}Odd/Slash%2FName") == 1
        wrong = await found(link, path=f"{N}Count/Rejct")
        assert "Count has no " in wrong.fault
        assert "did you mean Reject?" in wrong.fault
        await server.ask("refuse", service="Browse", status="BadServiceUnsupported")
        unseen = await found(link, path=f"{N}Count/Reject")
        assert "follows no paths, and does not show its nodes either" in unseen.fault
        assert "does not offer Browse (BadServiceUnsupported)" in unseen.fault
        assert await value(link, node=f"{N}s=Scalar.Int32") == -2_000_000_000


async def test_structures_arrays_and_enumerations(tmp_path: Path) -> None:
    async with node_server(tmp_path / "plc", before=3) as server, linked(server.url, tmp_path) as link:
        for keys, expected in STRUCTURES:
            assert (keys, await value(link, **keys)) == (keys, expected)
        assert isinstance(await value(link, node=f"{N}s=Struct.Counts", index=1, member="Total"), int)
        for keys, words in MISFITS:
            made = await found(link, **keys)
            assert words in made.fault, made.fault
        absent = await now(link, node=f"{N}s=Struct.Optional", member="Seldom")
        assert (absent.value, absent.quality) == (None, Quality.BAD)


async def test_packml_whatever_the_instance_is_called(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "models": ["packml"],
        "packml": ["Abf\u00fcller 2"],
        "first": 2**31 - 2,
        "before": 2,
    }
    async with node_server(tmp_path / "plc", **options) as server, linked(server.url, tmp_path) as link:
        assert await value(link, model="packml", part="total") == 2**31 - 2
        assert await value(link, model="packml", part="reject") == 2**31 - 2
        assert (await found(link, 31, model="packml", part="total")).doubt == ""
        for state in ("Execute", "Held", "Stopped", "Aborted", "Idle"):
            await server.set("PackML.Abf\u00fcller 2.State", state)
            assert await value(link, model="packml", part="state", machine="Abf\u00fcller 2") == state
        await server.set("PackML.Abf\u00fcller 2.Mode", 3)
        assert await value(link, model="packml", part="mode") == 3
        made = await found(link, model="packml", part="mode", machine="Abfuller 2")
        assert 'is called "Abfuller 2"; did you mean "Abf\u00fcller 2"?' in made.fault


async def test_packml_by_its_own_number_where_the_machine_has_one(tmp_path: Path) -> None:
    options: dict[str, Any] = {"models": ["packml"], "state_current": True, "packml": ["Filler", "Capper"]}
    async with node_server(tmp_path / "plc", **options) as server, linked(server.url, tmp_path) as link:
        await server.set("PackML.Capper.StateCurrent", 11)
        assert await value(link, model="packml", part="state", machine="Capper") == 11
        assert await value(link, model="packml", part="state", machine="Filler") == 6
        made = await found(link, model="packml", part="state")
        assert "2 such machines: Filler, Capper; say which, as in machine = " in made.fault
        none = await found(link, model="machinery", part="state")
        assert none.foreign
        assert "has no namespace http://opcfoundation.org/UA/Machinery/" in none.fault


async def test_machinery_by_the_ids_of_its_states(tmp_path: Path) -> None:
    options: dict[str, Any] = {"models": ["machinery"], "machinery": ["Press", "Saw"], "first": 40}
    async with node_server(tmp_path / "plc", **options) as server, linked(server.url, tmp_path) as link:
        for state in ("Executing", "NotExecuting", "OutOfService", "NotAvailable"):
            await server.set("Machinery.Saw.State", state)
            assert await value(link, model="machinery", part="state", machine="Saw") == state
        for mode in ("None", "Maintenance", "Setup", "Processing"):
            await server.set("Machinery.Saw.Mode", mode)
            assert await value(link, model="machinery", part="mode", machine="Saw") == mode
        assert await value(link, model="machinery", part="total", machine="Press") == 40
        made = await found(link, 32, model="machinery", part="total", machine="Press")
        assert 'it is a UInt64, and the file says u32: write counter = "u64"' in made.doubt


LINE = """\
[line]
name = "line-1"

[source.plc]
type = "opcua"
endpoint = "{url}"
security = "None"

[[station]]
name = "filler"
ideal_cycle = "1s"
source = "plc"
model = "packml"

[[station]]
name = "press"
ideal_cycle = "1s"
source = "plc"
model = "machinery"
total = {{ counter = "u64" }}
"""


async def test_a_station_is_read_by_its_model_alone(tmp_path: Path) -> None:
    """From the file to what is seen, and again after the server came back with other namespace indexes."""
    options: dict[str, Any] = {"models": ["packml", "machinery"], "part_ms": 50}
    async with node_server(tmp_path / "plc", **options) as server:
        file = tmp_path / "line.toml"
        file.write_text(LINE.format(url=server.url), encoding="utf-8")
        source = load(file, tmp_path).sources["plc"]
        for before in (0, 4):
            if before:
                await server.restart(before=before)
            intake = MemoryIntake("plc")
            async with collecting(source.settings, source.signals, intake):
                await server.set("PackML.Filler.State", "Execute")
                await server.set("Machinery.Press.Mode", "Processing")
                await _seen(intake, {"filler.state": "Execute", "filler.mode": 1, "press.state": "Executing"})
                await server.set("PackML.Filler.State", "Held")
                await server.set("Machinery.Press.Mode", "Setup")
                await _seen(intake, {"filler.state": "Held", "press.mode": "Setup"})
                await _until_counted(intake, ("filler.total", "filler.reject", "press.total"))
            assert not [one for one in intake.seen if one.quality is Quality.BAD]


@asynccontextmanager
async def collecting(settings: Any, signals: Any, intake: MemoryIntake) -> AsyncIterator[None]:
    task = asyncio.get_running_loop().create_task(opcua.collect(settings, signals, intake))
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def _seen(intake: MemoryIntake, wanted: dict[str, Value]) -> None:
    def last() -> dict[str, Value]:
        return {one.signal: one.value for one in intake.seen}

    await intake.until(lambda: wanted.items() <= last().items())


async def _until_counted(intake: MemoryIntake, signals: tuple[str, ...]) -> None:
    def moved(signal: str) -> bool:
        values = [one.value for one in intake.seen if one.signal == signal and isinstance(one.value, int)]
        return len(set(values)) > 1

    await intake.until(lambda: all(moved(one) for one in signals))
