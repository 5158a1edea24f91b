"""How a node's path leads through a server, or says how far it goes."""

from collections.abc import Sequence

import pytest
from asyncua import ua

from adapters._opcua.binary import Id
from adapters._opcua.link import Fault
from adapters._opcua.models import PACKML_URI
from adapters._opcua.resolve import resolve
from adapters._opcua.values import PLAIN
from tests.adapters.opcua_address_support import (
    PLANT,
    SPACES,
    URI,
    Rooms,
    address,
    found,
    place,
    signal,
    variable,
)


async def test_a_path_leads_to_its_node() -> None:
    made = await found(Rooms(PLANT), address(path=f"nsu={URI};Press/Count/Total"), 32)
    assert (made.node, made.fault, made.doubt) == (place("Total"), "", "")
    assert made.pick is PLAIN


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (f"nsu={URI};Press/Count/Totl", "Press/Count has no 2:Totl; did you mean Total?"),
        (f"nsu={URI};Press/Count/Xyz", "Press/Count has no 2:Xyz; it has Total, Good%2FBad"),
        (f"nsu={URI};Pres/Count", "the Objects folder has no 2:Pres; did you mean Press?"),
        (
            "Press/Count",
            "the Objects folder has no Press; that name is in another namespace: "
            f'write "nsu={URI};Press"',
        ),
        (f"nsu={URI};Press/Count/Total/More", "Press/Count/Total has no 2:More; there is nothing in it"),
    ],
)  # fmt: skip
async def test_a_path_that_leads_nowhere_says_how_far_it_goes(path: str, says: str) -> None:
    made = await found(Rooms(PLANT), address(path=path))
    assert (made.fault, made.foreign) == (f"{path}: {says}", False)


class Pathless(Rooms):
    """A server that follows no paths; `shows`: its nodes can be browsed."""

    shows = True

    async def translate(self, paths: Sequence[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        raise Fault("plc", "it does not offer TranslateBrowsePathsToNodeIds", 0x800B0000)

    async def browse(
        self, wanted: Sequence[ua.BrowseDescription], most: int = 1_000
    ) -> list[list[ua.ReferenceDescription]]:
        if not self.shows:
            raise Fault("plc", "it does not offer Browse", 0x800B0000)
        return await super().browse(wanted, most)


async def test_a_server_that_follows_no_paths_is_browsed() -> None:
    server = Pathless(PLANT)
    texts = [
        f"nsu={URI};Press/Count/Total",
        f"nsu={URI};Press/Count/Totl",
        "nsu=urn:gone;Press",
        "ns=2;s=Total",
    ]
    keys = [{"path": one} for one in texts[:3]] + [{"node": texts[3]}]
    right, wrong, foreign, by_id = await resolve(server, [signal(address(**one), 32) for one in keys])
    assert (right.node, right.fault) == (place("Total"), "")
    assert wrong.fault == f"{texts[1]}: Press/Count has no 2:Totl; did you mean Total?"
    assert foreign.foreign
    assert by_id.fault == ""


async def test_a_server_that_shows_no_nodes_either_takes_node_ids() -> None:
    server = Pathless(PLANT)
    server.shows = False
    signals = [
        signal(address(path=f"nsu={URI};Press/Count/Total"), 32),
        signal(address(node="ns=2;s=Total"), 32),
    ]
    pathed, by_id = await resolve(server, signals)
    assert "follows no paths, and does not show its nodes either (it does not offer Browse)" in pathed.fault
    assert (by_id.node, by_id.fault) == (place("Total"), "")


class Blind(Pathless):
    """It knows PackML, and shows nothing of it."""

    shows = False

    async def namespaces(self) -> list[str]:
        return [*SPACES, PACKML_URI]


async def test_a_server_that_shows_no_nodes_has_no_machines_to_find() -> None:
    server = Blind(PLANT)
    machine, by_id = await resolve(
        server, [signal(address(model="packml", part="total"), 31), signal(address(node="ns=2;s=Total"), 32)]
    )
    assert "the server does not show its nodes" in machine.fault
    assert by_id.fault == ""


async def test_a_path_that_two_nodes_have_is_refused() -> None:
    server = Rooms({"Press": {"Total": variable(twins=[Id(2, "Other")])}})
    made = await found(server, address(path=f"nsu={URI};Press/Total"))
    assert "2 nodes have this path: name the one that is meant with node" in made.fault


async def test_one_bad_address_hinders_no_other() -> None:
    server = Rooms(PLANT)
    addresses = [
        address(node="nsu=urn:gone;s=Total"),
        address(node="ns=2;s=Nothing"),
        address(path="nsu=urn:gone;Press"),
        address(node=f"nsu={URI};s=Total"),
        address(model="packml", part="total"),
        address(node="ns=2;s=Press"),
    ]
    made = await resolve(server, [signal(one) for one in addresses])
    assert [one.foreign for one in made] == [True, False, True, False, True, False]
    assert [bool(one.fault) for one in made] == [True, True, True, False, True, True]
    assert "no such node" in made[1].fault
    assert "PackML" in made[4].fault
    assert made[5].fault == "ns=2;s=Press: it is an object and has no value: name a variable in it"
