"""What an address is held against on a server: its type, its width, its shape."""

import logging
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from asyncua import ua

from adapters._opcua.binary import Array, Extension, Id, Kind, Sample
from adapters._opcua.link import Fault
from adapters._opcua.models import PACKML_URI
from adapters._opcua.resolve import Filter, Resolved, combine, find, resolve, tell_doubts
from adapters._opcua.values import Reading, reading
from edge.contract import Quality
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

NO_COUNT = "and a counter is a number: name the node that counts"


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
