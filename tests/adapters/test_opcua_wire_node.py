"""Values of a server of another make, node-opcua, read with our requests and decoded by us."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds

from adapters._opcua.binary import Array, Id, Sample
from adapters._opcua.structures import Enumeration, Step, Type, Types, definition
from adapters._opcua.values import PLAIN, Pick, reading
from adapters._opcua.wire import prepared_read, read_response
from edge.contract import Quality
from tests.support.node_opcua import NAMESPACE, node_server


class Reads:
    """Reads attributes over one session of asyncua's."""

    def __init__(self, client: Client, namespace: int) -> None:
        self._client = client
        self._namespace = namespace

    async def attributes(
        self, nodes: Sequence[ua.NodeId], attribute: int = AttributeIds.Value
    ) -> list[Sample]:
        answer = await self._client.uaclient.session._send_request(prepared_read(nodes, attribute))
        return read_response(bytes(answer), len(nodes))

    def node(self, name: str) -> ua.NodeId:
        return ua.NodeId(ua.String(name), ua.Int16(self._namespace))

    async def values(self, *names: str) -> list[Sample]:
        return await self.attributes([self.node(name) for name in names])

    async def types(self, root: Id) -> Types:
        """All that a value of this data type is made of."""
        known: dict[Id, Type] = {}
        while missing := Types(known).missing(root):
            asked = sorted(missing)
            nodes = [ua.NodeId(ua.Int32(_whole(one)), ua.Int16(one.namespace)) for one in asked]
            told = await self.attributes(nodes, AttributeIds.DataTypeDefinition)
            known |= {one: definition(sample.raw) for one, sample in zip(asked, told, strict=True)}
        return Types(known)


def _whole(one: Id) -> int:
    assert isinstance(one.identifier, int)
    return one.identifier


@pytest.fixture
async def reads(tmp_path: Path) -> AsyncIterator[Reads]:
    async with node_server(tmp_path / "plc") as server, Client(server.url) as client:
        yield Reads(client, await client.get_namespace_index(NAMESPACE))


_SAID = {
    "Boolean": True, "SByte": -5, "Byte": 200, "Int16": -30000, "UInt16": 60000, "Int32": -2_000_000_000,
    "UInt32": 4_000_000_000, "Int64": 2**63 - 1, "UInt64": 2**64 - 1, "Float": 1.5, "Double": 2.25,
    "String": "Grüße", "DateTime": "2026-05-04T06:12:09.412Z", "Guid": "72962b91-fa75-4ae6-8d28-b404dc7daf63",
    "ByteString": "0102ff", "LocalizedText": "Läuft", "QualifiedName": "Teil", "NodeId": "i=85",
    "StatusCode": "BadDeviceFailure",
}  # fmt: skip
_MEMBERS: dict[tuple[Step, ...], object] = {
    ("Number",): 77, ("Force",): 12.5, ("Name",): "M8", ("Good",): True, ("Points", 2): 3,
    ("Count", "Total"): 5, ("Counts", 1, "Total"): 7, ("State",): 9,
}  # fmt: skip


async def test_all_that_another_server_has(reads: Reads) -> None:
    """One server for all of it: it takes two seconds to start."""
    for sample, (name, said) in zip(
        await reads.values(*(f"Scalar.{name}" for name in _SAID)), _SAID.items(), strict=True
    ):
        one = reading(sample)
        assert (one.value, one.quality) == (said, Quality.GOOD), name
        assert one.stamp is not None
    for name in ("NullString", "NaN", "Infinity"):
        (sample,) = await reads.values(f"Scalar.{name}")
        assert reading(sample).quality is Quality.BAD, name
    await _statuses(reads)
    await _arrays(reads)
    await _structures(reads)


async def _statuses(reads: Reads) -> None:
    bad, uncertain, unknown = await reads.values("Odd.Bad", "Odd.Uncertain", "Nothing.Of.This.Name")
    assert reading(bad).detail == "BadDeviceFailure"
    assert (reading(uncertain).value, reading(uncertain).quality) == (7, Quality.UNCERTAIN)
    assert reading(unknown).detail == "BadNodeIdUnknown"


async def _arrays(reads: Reads) -> None:
    whole, texts, empty, matrix = await reads.values(
        "Array.Int32", "Array.String", "Array.Empty", "Array.Matrix"
    )
    assert reading(whole, Pick(index=3)).value == 40
    assert [reading(texts, Pick(index=place)).value for place in range(3)] == ["a", None, "c"]
    assert isinstance(empty.raw, Array)
    assert len(empty.raw) == 0
    assert reading(matrix, Pick(index=(1, 0))).value == reading(matrix, Pick(index=3)).value == 4.0
    assert "array of 2 x 3" in reading(matrix, PLAIN).detail


async def _structures(reads: Reads) -> None:
    cycle, optional, choice = await reads.values("Struct.Cycle", "Struct.Optional", "Struct.Choice")
    root, loose, either = (
        sample.raw
        for sample in await reads.attributes(
            [reads.node(f"Struct.{name}") for name in ("Cycle", "Optional", "Choice")], AttributeIds.DataType
        )
    )
    assert isinstance(root, Id)
    assert isinstance(loose, Id)
    assert isinstance(either, Id)
    types = await reads.types(root)
    for path, value in _MEMBERS.items():
        assert reading(cycle, Pick(member=path, types=types, root=root)).value == value, path
    members = [
        Pick(member=(name,), types=await reads.types(loose)) for name in ("Always", "Sometimes", "Seldom")
    ]
    assert [reading(optional, one).value for one in members] == [1, 2.5, None]
    assert reading(choice, Pick(member=("Real",), types=await reads.types(either))).value == 4.5
    (kind,) = await reads.attributes([reads.node("Enum.State")], AttributeIds.DataType)
    assert isinstance(kind.raw, Id)
    known = (await reads.types(kind.raw)).of(kind.raw)
    assert isinstance(known, Enumeration)
    (state,) = await reads.values("Enum.State")
    assert reading(state, Pick(names=known.names)).value == "Pressing"
