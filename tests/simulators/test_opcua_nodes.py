"""OPC UA nodes under any id, found by a client under the same."""

import pytest
from asyncua.client.client import Client

from adapters._opcua.nodes import parse_node
from simulators.opcua_nodes import serve_nodes

IDS = [
    "nsu=urn:acme:press;s=Count.Total", "nsu=urn:acme%3B1%25;i=7", "ns=2;i=1001", "ns=7;s=a;b=c", "s=Bare",
    "i=4000000000", "ns=2;g=09087e75-8e5e-499b-954f-f2a9603db28a", "ns=3;b=M/RbKBsRVkePCePcx24oRA==",
    "ns=40000;i=1",
]  # fmt: skip


async def read(client: Client, text: str) -> object:
    where = parse_node(text).on(await client.get_namespace_array())
    return await client.get_node(where).read_value()


async def test_every_kind_of_id_is_found_as_the_adapter_reads_it() -> None:
    async with serve_nodes() as nodes:
        await nodes.number(IDS)
        for number, text in enumerate(IDS):
            assert await nodes.add(text, "u32", number) is not None
        async with Client(nodes.endpoint) as client:
            for number, text in enumerate(IDS):
                assert await read(client, text) == number
                await nodes.show(text, number + 100)
                assert await read(client, text) == number + 100


async def test_an_index_is_no_name_space_with_a_name() -> None:
    """Whichever comes first in the file."""
    named, numbered = "nsu=urn:acme:press;s=X", "ns=2;s=X"
    async with serve_nodes() as nodes:
        await nodes.number([named, numbered])
        assert await nodes.add(named, "u32", 1) != await nodes.add(numbered, "text", "b")
        async with Client(nodes.endpoint) as client:
            assert (await read(client, named), await read(client, numbered)) == (1, "b")


@pytest.mark.parametrize("again", ["ns=2;i=9", " ns=2;i=9 ", "ns=02;i=09"])
async def test_a_node_that_is_added_twice_is_there_once(again: str) -> None:
    async with serve_nodes() as nodes:
        await nodes.number(["ns=2;i=9"])
        assert await nodes.add("ns=2;i=9", "u32", 5) == await nodes.add(again, "f64", 1.5)
        await nodes.show(again, 6)
        async with Client(nodes.endpoint) as client:
            assert await read(client, again) == 6


async def test_a_node_of_the_servers_own_stays_its_own() -> None:
    async with serve_nodes() as nodes:
        await nodes.number([])
        assert await nodes.add("i=2258", "f64", 0.0) is None
        assert await nodes.add("nsu=http://opcfoundation.org/UA/;i=2258", "f64", 0.0) is None
