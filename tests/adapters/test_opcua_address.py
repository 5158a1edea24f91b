"""How a signal of an OPC UA server is written, and what a path says when it leads nowhere."""

import logging
import struct
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._opcua.address import Address, Deadband
from adapters._opcua.binary import Array, Extension, Id, Kind, Sample
from adapters._opcua.browse import ident, numbered
from adapters._opcua.link import Fault, Link
from adapters._opcua.models import PACKML_URI
from adapters._opcua.nodes import UnknownNamespace
from adapters._opcua.paths import Step, browse_path, parse_member, parse_path, shown
from adapters._opcua.resolve import Filter, Resolved, combine, find, resolve, tell_doubts
from adapters._opcua.values import PLAIN, Reading, reading
from edge.contract import Quality, Signal

URI = "urn:acme:press"
NO_COUNT = "and a counter is a number: name the node that counts"
SPACES = ["http://opcfoundation.org/UA/", "urn:server", URI, "http://acme.com/UA/Line/"]


def address(**keys: Any) -> Address:
    return Address.model_validate(keys)


# --- paths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (f"nsu={URI};Press/Count/Total", [(2, "Press"), (2, "Count"), (2, "Total")]),
        ("2:Press/2:Count/3:Total", [(2, "Press"), (2, "Count"), (3, "Total")]),
        ("2:Press/Count", [(2, "Press"), (2, "Count")]),
        ("ns=3;Press/0:Count", [(3, "Press"), (0, "Count")]),
        (f"nsu={URI};Press/nsu=http://acme.com/UA/Line/;Total", [(2, "Press"), (3, "Total")]),
        ("Server/ServerStatus", [(0, "Server"), (0, "ServerStatus")]),
        ("/0:Objects/2:Press", [(2, "Press")]),
        ("Objects/2:Press", [(2, "Press")]),
        ("2:Objects/Press", [(2, "Objects"), (2, "Press")]),
        ("2:a%2Fb/c%25d/7%3Ae", [(2, "a/b"), (2, "c%d"), (2, "7:e")]),
        ("2:Presse 1/Gr\u00f6\u00dfe", [(2, "Presse 1"), (2, "Gr\u00f6\u00dfe")]),
    ],
)
def test_a_path_is_browse_names(text: str, steps: list[tuple[int, str]]) -> None:
    names = [step.on(SPACES) for step in parse_path(text)]
    assert [(name.NamespaceIndex, name.Name) for name in names] == steps


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "2:Press//Total",
        "2:Press/",
        "ns=70000;a",
        "99999:a",
        "%FF",
        "2:" + "x" * 513,
        "a/" * 60 + "a",
    ],
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValidationError):
        address(path=text)


def test_a_path_in_an_unknown_namespace_names_those_that_there_are() -> None:
    with pytest.raises(UnknownNamespace, match=rf"urn:acme:pres; did you mean {URI}\?"):
        browse_path(parse_path("nsu=urn:acme:pres;Press"), SPACES)


NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(
    lambda name: name.strip() == name
)


@given(st.lists(NAME, min_size=1, max_size=6))
def test_every_name_can_be_written(names: list[str]) -> None:
    steps = parse_path("ns=1;" + "/".join(shown(name) for name in names))
    assert [step.name for step in steps] == names


@given(st.text(max_size=80))
def test_any_text_is_a_path_or_a_fault(text: str) -> None:
    try:
        steps = parse_path(text)
    except ValueError:
        return
    assert steps
    assert all(isinstance(step, Step) and step.name for step in steps)


@given(st.text(alphabet="ab.[]01 ", max_size=20))
def test_any_text_is_a_member_or_a_fault(text: str) -> None:
    try:
        path = parse_member(text)
    except ValueError:
        return
    written = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in path)
    assert parse_member(written.removeprefix(".")) == path


def test_a_member_is_names_and_places() -> None:
    assert parse_member("AccCount") == ("AccCount",)
    assert parse_member("Prod[0].Acc.Unit[12][3]") == ("Prod", 0, "Acc", "Unit", 12, 3)
    for text in ("", ".a", "a.", "a..b", "[0]", "a[x]", "a[0", "a]0[", "a[-1]"):
        with pytest.raises(ValueError, match="not a member"):
            parse_member(text)


# --- keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "needs node or path"),
        ({"node": "i=1", "path": "a"}, "has node and path: one of them"),
        ({"node": "i=1", "machine": "Filler"}, "machine and part go with model"),
        ({"model": "packml"}, "model needs part"),
        ({"model": "machinery", "part": "reject"}, 'has no "reject"; it has total, state, mode'),
        ({"model": "packml", "part": "total", "index": 0}, "model knows its index and member"),
        ({"node": "i=1", "server_deadband": 0.5, "trigger": "status"}, "server_deadband does nothing"),
        ({"node": "i=1", "index": -1}, "greater than or equal to 0"),
        ({"node": "i=1", "queue": 1}, "greater than or equal to 2"),
        ({"node": "i=1", "member": "a..b"}, "not a member"),
        *(
            ({"node": "i=1", "server_deadband": one}, "write it as a number")
            for one in (0, -1, True, "x", "0%")
        ),
        ({"node": "i=1", "server_deadband": "101%"}, "100% is the whole range of the node"),
        ({"node": "g=zzz"}, "not a GUID; write it as g="),
        ({"node": "ns=2;b=***"}, "not base64: .*: b=AQL/AD0="),
        ({"path": "With/%zz"}, "%zz has a % without two hexadecimal digits; a percent sign is %25"),
    ],
)
def test_keys_that_do_not_go_together(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        address(**keys)


def test_a_deadband_is_a_number_or_a_percentage() -> None:
    assert address(node="i=1", server_deadband=1).server_deadband == Deadband(width=1.0)
    assert address(node="i=1", server_deadband="2.5 %").server_deadband == Deadband(
        width=2.5, is_percent=True
    )


def test_what_a_counter_cannot_be() -> None:
    assert "for telemetry" in address(node="i=1", server_deadband=1).misfit("counter")
    assert "for telemetry" in address(node="i=1", server_deadband=1).misfit("state")
    assert "hides every change" in address(node="i=1", trigger="status").misfit("mode")
    assert "a counter is a number" in address(node="i=1", enumeration="name").misfit("counter")
    assert address(node="i=1", server_deadband=1).misfit("telemetry") == ""
    assert address(node="i=1", enumeration="name").misfit("state") == ""


def test_a_counter_stays_itself_however_it_is_sent() -> None:
    """A baseline outlives a change of the queue; another element is another counter."""
    plain = address(node="ns=2;s=Total")
    assert plain.identity() == '{"node":"ns=2;s=Total"}'
    assert address(node="ns=2;s=Total", queue=10, trigger="timestamp").identity() == plain.identity()
    others = [
        address(node="ns=2;s=Total", index=1),
        address(node="ns=2;s=Total", member="a"),
        address(path="2:Total"),
    ]
    assert len({plain.identity(), *(one.identity() for one in others)}) == 4


def test_a_filter_is_sent_only_where_it_says_something() -> None:
    def filter_of(**keys: Any) -> tuple[int, float, int, bool]:
        made = Resolved("", Filter.of(address(node="i=1", **keys))).filter
        return made.trigger, made.deadband, made.deadband_type, made.plain

    assert filter_of() == (1, 0.0, 0, True)
    assert filter_of(trigger="timestamp") == (2, 0.0, 0, False)
    assert filter_of(server_deadband=0.5) == (1, 0.5, 1, False)
    assert filter_of(server_deadband="2%") == (1, 2.0, 2, False)


# --- on a server -------------------------------------------------------------------------------


class Rooms(Link):
    """A hand-written server: names below names, each with its class, type, rank and value."""

    def __init__(self, tree: Mapping[str, Any], types: Mapping[str, Any] | None = None) -> None:
        self.nodes: dict[Id, dict[str, Any]] = {}
        self.requests = 0
        self._plant(Id(0, 85), deepcopy(dict(tree)))
        for name, data in (types or {}).items():
            self.nodes[Id(2, name)] = data

    def _plant(self, parent: Id, tree: Mapping[str, Any]) -> None:
        for name, what in tree.items():
            one = Id(2, name)
            data = what if isinstance(what, dict) and "class" in what else {"class": 1, "below": what}
            self.nodes.setdefault(parent, {"class": 1, "below": {}})
            self.nodes[one] = data
            self._plant(one, data.get("below", {}))
            self.nodes[parent].setdefault("children", []).append(one)

    async def namespaces(self) -> list[str]:
        return SPACES

    async def attributes(self, nodes: Sequence[ua.NodeId], attribute: int) -> list[Sample]:
        self.requests += 1
        return [self._attribute(self.nodes.get(ident(node)), attribute) for node in nodes]

    def _attribute(self, data: dict[str, Any] | None, attribute: int) -> Sample:
        if data is None:
            return Sample(None, 0x80340000)
        found: Any = {
            AttributeIds.NodeClass: data["class"],
            AttributeIds.DataType: data.get("type"),
            AttributeIds.ValueRank: data.get("rank", -1),
        }.get(AttributeIds(attribute))
        return Sample(None, 0x80350000) if found is None else Sample(found, kind=Kind.INT32)

    async def read(self, nodes: Sequence[ua.NodeId]) -> list[Sample]:
        return [self.nodes[ident(node)].get("value", Sample(None, 0x80340000)) for node in nodes]

    async def translate(self, paths: Sequence[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        return [self._translated(path) for path in paths]

    def _translated(self, path: ua.BrowsePath) -> ua.BrowsePathResult:
        at = ident(path.StartingNode)
        for element in path.RelativePath.Elements:
            name = element.TargetName
            below = self.nodes.get(at, {}).get("children", [])
            found = [
                one for one in below if (one.identifier, one.namespace) == (name.Name, name.NamespaceIndex)
            ]
            if not found:
                return ua.BrowsePathResult(ua.StatusCode(ua.UInt32(0x806F0000)), [])
            at = found[0]
        twice = [at, *self.nodes[at].get("twins", [])]
        targets = [
            ua.BrowsePathTarget(ua.ExpandedNodeId(one.identifier, one.namespace), ua.UInt32(0xFFFFFFFF))
            for one in twice
        ]
        return ua.BrowsePathResult(ua.StatusCode(ua.UInt32(0)), targets)

    async def browse(
        self, wanted: Sequence[ua.BrowseDescription], most: int = 1_000
    ) -> list[list[ua.ReferenceDescription]]:
        self.requests += 1
        return [self._references(one)[:most] for one in wanted]

    def _references(self, one: ua.BrowseDescription) -> list[ua.ReferenceDescription]:
        data = self.nodes.get(ident(one.NodeId), {})
        names = (
            data.get("above", [])
            if one.BrowseDirection == ua.BrowseDirection.Inverse
            else data.get("children", [])
        )
        return [
            ua.ReferenceDescription(
                NodeId=ua.ExpandedNodeId(name.identifier, name.namespace),
                BrowseName=ua.QualifiedName(str(name.identifier), name.namespace),
                NodeClass=ua.NodeClass.Object,
            )
            for name in names
        ]


def place(name: str) -> ua.NodeId:
    return numbered(Id(2, name))


def variable(kind: int = Kind.UINT32, rank: int = -1, **more: Any) -> dict[str, Any]:
    return {"class": 2, "type": Id(0, kind), "rank": rank, **more}


def signal(one: Address, bits: int | None = None) -> "Signal[Address]":
    return Signal("press.total", one, timedelta(seconds=1), bits=bits)


async def found(server: Rooms, one: Address, bits: int | None = None) -> Resolved:
    (made,) = await resolve(server, [signal(one, bits)])
    return made


PLANT = {"Press": {"Count": {"class": 1, "below": {"Total": variable(), "Good/Bad": variable()}}}}


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


@pytest.mark.parametrize(
    ("node", "keys", "bits", "fault"),
    [
        (variable(rank=1), {}, 32, "it is an array: say which element, counted from 0, as in index = 0"),
        (variable(), {"index": 0}, 32, "it is a single value, no array: leave index out"),
        (variable(Kind.BYTE_STRING), {"index": 0}, None, ""),
        (variable(Kind.STRING), {}, 32, f"it is a String, {NO_COUNT}"),
        (variable(Kind.BOOLEAN), {}, 16, f"it is a Boolean, {NO_COUNT}"),
        (variable(Kind.LOCALIZED_TEXT), {}, None, ""),
        (variable(), {"member": "a"}, 32, "the value is no structure; leave member out"),
        (variable(), {"enumeration": "name"}, None, 'a UInt32 has no names: leave enumeration = "name" out'),
        (variable(22), {"member": "a"}, None,
         "the server does not tell what its structure is made of (DataTypeDefinition)"),
        (variable(rank=-3), {}, 32, ""),
        (variable(rank=-2), {"index": 1}, 32, ""),
    ],
)  # fmt: skip
async def test_a_node_that_does_not_fit_names_the_key(
    node: dict[str, Any], keys: dict[str, Any], bits: int | None, fault: str
) -> None:
    made = await found(Rooms({"V": node}), address(node="ns=2;s=V", **keys), bits)
    assert made.fault == (f"ns=2;s=V: {fault}" if fault else "")


@pytest.mark.parametrize(
    ("kind", "bits", "doubt"),
    [
        (Kind.UINT32, 32, ""),
        (Kind.UINT16, 32, 'it is a UInt16, and the file says u32: write counter = "u16"'),
        (
            Kind.UINT64,
            32,
            'it is a UInt64, and the file says u32: write counter = "u64"; until then nothing above '
            "4,294,967,295 is counted",
        ),
        (Kind.INT32, 31, ""),
        (Kind.INT32, 32, ""),
        (
            Kind.INT16,
            32,
            'it is an Int16, and the file says u32: write counter = "u15" where it goes back to 0, '
            '"u16" where it goes on below it',
        ),
        (Kind.FLOAT, 32, "a Float counts exactly up to 16,777,216 only"),
        (Kind.FLOAT, 24, ""),
        (Kind.DOUBLE, 48, ""),
    ],
)  # fmt: skip
async def test_a_counters_width_is_held_against_the_type(kind: Kind, bits: int, doubt: str) -> None:
    made = await found(Rooms({"V": variable(kind)}), address(node="ns=2;s=V"), bits)
    assert (made.fault, made.doubt) == ("", f"ns=2;s=V: {doubt}" if doubt else "")


@pytest.mark.parametrize(
    ("kind", "bits", "doubt"),
    [
        (Kind.UINT32, 20, ""),
        (Kind.INT32, 20, ""),
        (Kind.DOUBLE, 20, ""),
        (
            Kind.UINT16,
            20,
            'it is a UInt16, which holds fewer readings than the file says: write counter = "u16"',
        ),
    ],
)
async def test_a_counter_that_begins_again_earlier_fits_what_is_wide_enough(
    kind: Kind, bits: int, doubt: str
) -> None:
    early = replace(signal(address(node="ns=2;s=V"), bits), is_early=True)
    (made,) = await resolve(Rooms({"V": variable(kind)}), [early])
    assert (made.fault, made.doubt) == ("", f"ns=2;s=V: {doubt}" if doubt else "")


ONE = Sample(Array(Kind.INT32, 1, struct.pack("<i", 44)), kind=Kind.INT32, is_array=True)
SINGLE = Sample(43, kind=Kind.INT32)


@pytest.mark.parametrize(
    ("rank", "now", "index", "fault"),
    [
        (-1, ONE, 0, ""),
        (-1, ONE, None, ""),
        (-1, SINGLE, 0, "it is a single value, no array: leave index out"),
        (1, SINGLE, None, ""),
        (1, ONE, None, "it is an array: say which element, counted from 0, as in index = 0"),
        (1, ONE, 0, ""),
        (
            1,
            Sample(None, 0x80320000),
            None,
            "it is an array: say which element, counted from 0, as in index = 0",
        ),
        (1, Sample(b"ab", kind=Kind.BYTE_STRING), 0, ""),
    ],
)
async def test_what_comes_counts_where_another_shape_is_declared(
    rank: int, now: Sample, index: int | None, fault: str
) -> None:
    server = Rooms({"V": variable(Kind.INT32, rank, value=now)})
    made = await found(server, address(node="ns=2;s=V", index=index))
    assert made.fault == (f"ns=2;s=V: {fault}" if fault else "")


async def test_an_array_too_long_for_a_message_takes_no_other_along() -> None:
    class Long(Rooms):
        async def read(self, nodes: Sequence[ua.NodeId]) -> list[Sample]:
            raise Fault("plc", "too long", 0x80B90000)

    server = Long({"V": variable(rank=1), "W": variable()})
    long, short = await resolve(server, [signal(address(node=f"ns=2;s={one}")) for one in "VW"])
    assert "it is an array" in long.fault
    assert short.fault == ""


async def test_a_vague_type_is_what_its_value_is() -> None:
    """UInteger says nothing of the width; the value does."""
    node = variable(28, value=Sample(7, kind=Kind.UINT16))
    made = await found(Rooms({"V": node}), address(node="ns=2;s=V"), 32)
    assert 'counter = "u16"' in made.doubt


@pytest.mark.parametrize(
    ("kind", "what"),
    [(Kind.STRING, "a String"), (Kind.BOOLEAN, "a Boolean"), (Kind.DOUBLE, ""), (Kind.UINT32, "")],
)
async def test_a_deadband_of_what_is_no_number_is_left_out_and_said(kind: Kind, what: str) -> None:
    """No range on the server would help a text."""
    made = await found(Rooms({"V": variable(kind)}), address(node="ns=2;s=V", server_deadband=1))
    assert made.fault == ""
    assert made.filter.plain == bool(what)
    assert (f"V: it is {what}, and server_deadband is for" in made.doubt) if what else not made.doubt


async def test_a_doubt_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    made = await found(Rooms({"V": variable(Kind.UINT16)}), address(node="ns=2;s=V"), 32)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            tell_doubts("plc-told-once", [made])
    assert [one.message for one in caplog.records] == [f"plc-told-once: {made.doubt}"]


async def test_a_type_without_a_definition_is_what_it_is_derived_from() -> None:
    """A plant's own `PartCount`, of UInt16, on a server older than the attribute that would say so."""
    types = {
        "PartCount": {"class": 64, "above": [Id(2, "Count")]},
        "Count": {"class": 64, "above": [Id(0, Kind.UINT16)]},
    }
    node = {"class": 2, "type": Id(2, "PartCount"), "rank": -1}
    made = await found(Rooms({"V": node}, types), address(node="ns=2;s=V"), 32)
    assert 'it is a UInt16, and the file says u32: write counter = "u16"' in made.doubt


async def test_types_that_go_round_in_a_circle_come_to_an_end() -> None:
    types = {"A": {"class": 64, "above": [Id(2, "B")]}, "B": {"class": 64, "above": [Id(2, "A")]}}
    server = Rooms({"V": {"class": 2, "type": Id(2, "A"), "rank": -1}}, types)
    made = await found(server, address(node="ns=2;s=V"), 32)
    assert made.fault == ""
    assert server.requests < 60


class Plant(Rooms):
    """One that has the namespace of PackML."""

    async def namespaces(self) -> list[str]:
        return [*SPACES, PACKML_URI]


async def test_objects_that_go_round_in_a_circle_hold_no_machine() -> None:
    server = Plant({"A": {"B": {"C": {}}}})
    server.nodes[Id(2, "C")]["children"] = [Id(2, "A"), Id(2, "B"), Id(2, "C")]
    made = await found(server, address(model="packml", part="total"), 31)
    assert made.fault == (
        "packml total: the server has no machine of PackML: nothing of its types is below the Objects folder"
    )
    assert server.requests < 20


async def test_packmls_counts_are_known_where_the_server_does_not_define_them() -> None:
    count = {"class": 2, "type": Id(4, 14), "rank": 1}
    server = Plant({"Count": count})
    server.nodes[Id(4, 14)] = {"class": 64, "above": [Id(0, 22)]}
    made = await found(server, address(node="ns=2;s=Count", index=0, member="AccCount"), 31)
    assert (made.fault, made.doubt) == ("", "")
    body = struct.pack("<iiiiBBii", 1, -1, -1, 0, 0, 0, 41, 42)
    sample = Sample(Extension(Id(4, 69), body), kind=Kind.EXTENSION_OBJECT)
    assert reading(sample, replace(made.pick, index=None)).value == 42


async def test_a_place_that_is_written_to_is_found_the_same_way() -> None:
    places = [address(path=f"nsu={URI};Press/Count/Total"), address(node="ns=2;s=X"), address(path="2:Nope")]
    there, unchecked, nowhere = await find(Rooms(PLANT), places)
    assert (there.node, there.fault) == (place("Total"), "")
    assert (unchecked.node, unchecked.fault) == (place("X"), "")
    assert nowhere.fault.startswith("2:Nope: the Objects folder has no 2:Nope")


@pytest.mark.parametrize(
    ("states", "meant"),
    [
        (("Aborted", None, None), "Aborted"),
        (("Aborted", "Running", "Execute"), "Aborted"),
        (("Cleared", "Stopped", "Execute"), "Stopped"),
        (("Cleared", "Running", "Held"), "Held"),
        (("Cleared", "Running", None), None),
        (("Cleared", "Running"), "Running"),
        ((None, "Running", "Held"), None),
    ],
)
def test_a_state_in_three_machines_is_that_of_the_one_that_runs(
    states: tuple[str | None, ...], meant: str | None
) -> None:
    readings = [Reading(one, Quality.BAD if one is None else Quality.GOOD) for one in states]
    assert combine(readings).value == meant


def test_words_for_what_a_server_refuses() -> None:
    made = Resolved("ns=2;s=V", Filter.of(address(node="ns=2;s=V")))
    assert "EURange" in made.refused(0x808E0000)
    assert made.refused(0x80010000).startswith("ns=2;s=V: BadUnexpectedError")


@pytest.mark.parametrize("status", [0x80340000, 0x80330000], ids=["unknown", "invalid"])
async def test_a_node_that_was_there_is_gone_and_not_wrongly_written(status: int) -> None:
    """node-opcua calls the id of a node that was deleted no node id at all."""
    made = await found(Rooms(PLANT), address(node="ns=2;s=Total"), 32)
    assert made.refused(status).startswith(
        "ns=2;s=Total: the server has no such node any more: it may come back"
    )
    absent = await found(Rooms(PLANT), address(node="ns=2;s=Nope"), 32)
    assert absent.absent
    assert absent.fault.endswith("shows those that it has (BadNodeIdUnknown)")
