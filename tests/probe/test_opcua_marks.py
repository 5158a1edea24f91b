"""What a value is taken for, and that whatever a server calls things, the TOML for it passes the check."""

import math
import re
import uuid
from dataclasses import replace

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters._opcua.binary import Array, Extension, Id, Sample
from adapters._opcua.client import Endpoint, Token, Who
from adapters._opcua.nodes import parse_node
from adapters._opcua.probe import Report
from adapters._opcua.probe_marks import Mark, Trace, mark, words_of
from adapters._opcua.probe_offers import certificate_text, chosen, offer_rows
from adapters._opcua.probe_plan import Names, meaning, mode_meaning, node_text, planned, state_map
from adapters._opcua.probe_read import Item, Variable, _told, value_of
from adapters._opcua.probe_types import DataType
from adapters._opcua.probe_walk import OBJECTS, Spot
from adapters._opcua.values import Pick
from edge.config.tables import NAME
from edge.errors import SourceRefused
from edge.probe.opcua import concluded

KINDS = {
    "Int16": 4,
    "UInt16": 5,
    "Int32": 6,
    "UInt32": 7,
    "UInt64": 9,
    "Float": 10,
    "Double": 11,
    "String": 12,
}
SPACES = ["http://opcfoundation.org/UA/", "urn:server", "urn:acme:press"]


def traced(*values: object, every_s: float = 1.0) -> Trace:
    trace = Trace()
    for at, value in enumerate(values):
        trace.take(value, at * every_s)  # type: ignore[arg-type]
    return trace


# --- what a value did -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "often"),
    [
        ([5], ""),
        ([5, 5, 5], ""),
        ([1, 1, 2, 2, 2], "every 4.0 s"),
        ([1, 2, 3, 4], "at least 1.0/s"),
        ([1, None, 1], ""),
        (["a", "b", "b", "a", "a"], "every 2.0 s"),
    ],
)
def test_how_often_a_value_changes(values: list[object], often: str) -> None:
    assert traced(*values).often() == often


def test_what_was_watched_for_hours_takes_no_more_room() -> None:
    trace = traced(*range(100_000), every_s=0.01)
    assert trace.changes == 99_999
    assert trace.grown_a_second == pytest.approx(100)


def test_names_are_read_in_their_words() -> None:
    assert words_of("Prod_PartsOK2") == ("prod", "parts", "ok", "2")
    assert words_of("DB10.Stückzahl") == ("db", "10", "stückzahl")
    assert words_of("StateCurrent") == ("state", "current")
    assert words_of("") == ()


STILL, RISING = traced(7, 7, 7), traced(1, 2, 2, 3)


@pytest.mark.parametrize(
    ("path", "kind", "trace", "expected"),
    [
        ("Press/Count/Total", "UInt32", RISING, Mark("counter", "total", is_sure=True)),
        ("Press/Count/Total", "UInt32", STILL, Mark("counter", "total")),
        ("Press/Count/Total", "Double", RISING, None),
        ("Press/Count/Total", "UInt32", traced(3, 2, 1), None),
        ("Press/Count.Reject", "UInt16", RISING, Mark("counter", "reject", is_sure=True)),
        ("Presse/Ausschuss", "Int32", RISING, Mark("counter", "reject", is_sure=True)),
        ("Press/GoodParts", "UInt64", STILL, Mark("counter", "good")),
        ("Press/Count/X", "UInt32", RISING, Mark("counter", "total", is_sure=True)),
        ("Press/X", "UInt32", RISING, Mark("counter")),
        ("Press/X", "UInt32", STILL, None),
        ("Press/Heartbeat", "UInt32", RISING, None),
        ("Press/CycleTime", "UInt32", RISING, None),
        ("Press/PartNumber", "UInt32", STILL, None),
        ("Press/Millis", "UInt32", traced(0, 1000, 2000), None),
        ("Press/X", "UInt32", traced(0, 1000, 2000), None),
        ("Press/State", "Int32", STILL, Mark("state")),
        ("Press/StateNumber", "UInt32", STILL, None),
        ("Press/Betriebsart", "Int16", STILL, Mark("mode")),
        ("Status/StateCurrent", "Int32", STILL, Mark("state", is_sure=True, map="packml")),
        ("Status/UnitModeCurrent", "Int32", STILL, Mark("mode", is_sure=True, map="packml")),
        ("Admin/ProdProcessedCount/0/AccCount", "Int32", STILL, Mark("counter", "total", is_sure=True)),
        ("ProdDefectiveCount/[0]/AccCount", "Int32", STILL, Mark("counter", "reject", is_sure=True)),
        ("Press/Temperature", "Float", RISING, None),
    ],
)
def test_what_it_may_be(path: str, kind: str, trace: Trace, expected: Mark | None) -> None:
    assert mark(path.split("/"), kind, False, trace) == expected


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("Running", "Execute"), ("AutomatikBetrieb", "Execute"), ("Not running", "Stopped"), ("Idle", "Idle"),
        ("E-Stop alarm", "Aborted"), ("Jammed", "Held"), ("Läuft", "Execute"), ("Foo", "Stopped"),
        ("", "Stopped"),
    ],
)  # fmt: skip
def test_what_the_name_of_a_state_means(name: str, state: str) -> None:
    assert meaning(name) == state


@pytest.mark.parametrize(
    ("name", "mode"),
    [("Auto", "Processing"), ("Hand", "Manual"), ("Wartung", "Maintenance"), ("Off", "None"), ("", "None")],
)
def test_what_the_name_of_a_mode_means(name: str, mode: str) -> None:
    assert mode_meaning(name) == mode


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["Execute", "Held"], "packml"), (["Executing"], "machinery"), (["Execute", "Pause"], None), ([], None)],
)
def test_a_state_in_words_is_known_by_them(values: list[object], expected: str | None) -> None:
    spot = Spot(OBJECTS, "State", ua.NodeClass.Variable, ua.NodeId())
    assert state_map(Item(spot, trace=traced(*values), mark=Mark("state"))) == expected


# --- how it is reached ----------------------------------------------------------------------------


def offer(security: str, *who: Who) -> Endpoint:
    policy, _, mode = security.partition(":")
    tokens = tuple(Token(one, str(one), policy) for one in who)
    return Endpoint("opc.tcp://plc:4840", policy, mode or "None", 0, b"", "urn:plc", "PLC", tokens)


BOTH = (Who.ANONYMOUS, Who.NAME)


@pytest.mark.parametrize(
    ("offers", "user", "expected"),
    [
        ([offer("None", *BOTH), offer("Basic256Sha256:Sign", *BOTH)], None, "None"),
        ([offer("None", *BOTH), offer("Basic256Sha256:Sign", *BOTH)], "edge", "Basic256Sha256:Sign"),
        ([offer("Basic256Sha256:Sign", *BOTH), offer("Aes256Sha256RsaPss:SignAndEncrypt", *BOTH)], "edge",
         "Aes256Sha256RsaPss:SignAndEncrypt"),
        ([offer("None", *BOTH)], "edge", "--security None"),
        ([offer("None", Who.NAME)], None, "give --user"),
        ([offer("None", Who.ANONYMOUS)], "edge", "takes no user"),
        ([offer("Basic128Rsa15:Sign", *BOTH)], "edge", "takes no user"),
        ([], None, "give --user"),
    ],
)  # fmt: skip
def test_nothing_is_sent_in_clear_that_nobody_asked_for(
    offers: list[Endpoint], user: str | None, expected: str
) -> None:
    try:
        taken = chosen("plc-1", offers, user, None)
    except SourceRefused as error:
        taken = str(error)
    assert expected in taken


def test_what_is_asked_for_is_taken() -> None:
    assert chosen("plc-1", [], "edge", "None") == "None"


@given(st.binary(max_size=300))
def test_a_certificate_that_is_none_hinders_nothing(der: bytes) -> None:
    assert certificate_text(der)
    assert len(list(offer_rows([replace(offer("None"), certificate=der)]))) == 2 + bool(der)


# --- what is written ------------------------------------------------------------------------------

TEXTS = st.text(max_size=20)
IDENTIFIERS = (
    st.builds(lambda n: (ua.Int32(n), ua.NodeIdType.Numeric), st.integers(0, 2**32 - 1))
    | st.builds(lambda t: (ua.String(t), ua.NodeIdType.String), TEXTS)
    | st.builds(lambda b: (ua.ByteString(b), ua.NodeIdType.ByteString), st.binary(max_size=20))
    | st.builds(lambda u: (ua.Guid(str(u)), ua.NodeIdType.Guid), st.uuids())
)
NODES = st.builds(
    lambda index, found: ua.NodeId(found[0], ua.Int16(index), found[1]), st.integers(0, 4), IDENTIFIERS
)


@given(NODES, st.lists(TEXTS, max_size=5))
def test_a_node_is_written_so_that_it_is_found_again_or_not_at_all(node: ua.NodeId, more: list[str]) -> None:
    namespaces = ["http://opcfoundation.org/UA/", *more]
    text = node_text(node, namespaces)
    assert not text or parse_node(text).on(namespaces) == node


def test_usual_nodes_are_written_with_their_namespace() -> None:
    guid = ua.NodeId(ua.Guid(str(uuid.UUID(int=7))), ua.Int16(2), ua.NodeIdType.Guid)
    named = ua.NodeId(ua.String('"DB 1"."Count"'), ua.Int16(2))
    assert node_text(named, SPACES) == 'nsu=urn:acme:press;s="DB 1"."Count"'
    assert node_text(ua.NodeId(ua.Int32(2258)), SPACES) == "i=2258"
    assert node_text(guid, SPACES).startswith("nsu=urn:acme:press;g=")
    assert node_text(ua.NodeId(ua.Int32(7), ua.Int16(1)), ["", "a;b%"]) == "nsu=a%3Bb%25;i=7"
    assert node_text(ua.NodeId(ua.Int32(7), ua.Int16(2)), ["", "urn:x", "urn:x"]) == "ns=2;i=7"


@given(st.lists(TEXTS, max_size=30))
def test_every_name_is_one_that_a_file_takes_and_no_other_has(wishes: list[str]) -> None:
    names = Names()
    made = [names.free(one) for one in wishes]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(NAME, one) for one in made)


VALUES = st.integers(0, 2**16 - 1) | st.floats(width=32) | TEXTS | st.none()


@st.composite
def variables(draw: st.DrawFn) -> list[Variable]:
    """Variables below objects of any name, watched for some readings."""
    top = Spot(OBJECTS, "Objects", ua.NodeClass.Object, ua.NodeId())
    names = TEXTS | st.sampled_from(
        ["Count", "Total", "Reject", "Good", "State", "Mode", "Temperature", "Speed"]
    )
    made = []
    for number in range(draw(st.integers(1, 8))):
        above = Spot(ua.NodeId(), draw(names), ua.NodeClass.Object, ua.NodeId(), top)
        spot = Spot(draw(NODES), draw(names), ua.NodeClass.Variable, ua.NodeId(), above)
        kind = draw(st.sampled_from(list(KINDS)))
        one = Variable(spot, DataType(draw(TEXTS), kind), -1, False, unit=draw(TEXTS))
        one.names = draw(st.none() | st.dictionaries(st.integers(0, 99), names | st.just("Run"), max_size=4))
        one.sample = Sample(number, kind=KINDS[kind])
        readings = draw(st.lists(VALUES, min_size=1, max_size=5) | st.just([1, 2, 3]))
        member = draw(st.sampled_from([(), ("Count", 0, "Total"), ("a.b",), ("a]", "Total"), ("",)]))
        pick = Pick(draw(st.none() | st.integers(0, 15)), member)
        item = Item(spot, pick, kind, one.names, traced(*readings))
        item.mark = mark(item.names(), kind, bool(one.names), item.trace)
        one.items = [item]
        made.append(one)
    return made


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(variables())
def test_whatever_a_server_calls_things_the_file_passes_the_check(found: list[Variable]) -> None:
    plan = planned(found, [], SPACES, "plc-1", "station-1")
    source = {"type": "opcua", "endpoint": "opc.tcp://127.0.0.1:4840", "security": "None"}
    report = Report(source, plan.stations, plan.telemetry, plan.comments, plan.others)
    end = concluded(report, "plc-1", "station-1", is_new=True)
    assert end.toml, end.words
    assert end.runs == bool(plan.stations or plan.telemetry)
    assert all(line.isprintable() for line in end.toml.split("\n"))


def test_an_array_is_read_by_its_elements() -> None:
    sample = Sample(Array(6, 3, b"\x07\0\0\0\x08\0\0\0\x09\0\0\0"), kind=6, is_array=True)
    assert value_of(sample, Pick(index=1)) == 8
    assert value_of(sample, Pick(index=3)) is None
    assert value_of(Sample(math.nan, kind=11), Pick()) is None


# --- what is told of a variable -------------------------------------------------------------------


def told(name: str, sample: Sample) -> Variable:
    spot = Spot(ua.NodeId(ua.Int32(7), ua.Int16(2)), "Zone 1", ua.NodeClass.Variable, ua.NodeId())
    one = Variable(spot, DataType("Double", "Double"), -1, False, names={1: "One"})
    _told(one, name, sample)
    return one


def extension(encoding: int, value: object) -> Sample:
    return Sample(Extension(Id(0, encoding), struct_to_binary(value)), kind=22)


def test_unit_and_range_of_a_measurement_make_it_telemetry() -> None:
    unit = ua.EUInformation(DisplayName=ua.LocalizedText(ua.String("degC")))
    one = told("EngineeringUnits", extension(889, unit))
    assert one.unit == "degC"
    assert told("EURange", extension(886, ua.Range(-5.0, 250.0))).span == (-5.0, 250.0)
    one.sample = Sample(180.5, kind=11)
    one.items = [Item(one.spot, kind="Double", trace=traced(180.5))]
    plan = planned([one], [], SPACES, "oven", "station-1")
    assert plan.telemetry == {"zone-1": {"node": "nsu=urn:acme:press;i=7", "unit_of_measure": "degC"}}


@given(st.binary(max_size=60), st.integers(0, 10_000))
def test_a_property_that_is_none_changes_nothing(body: bytes, encoding: int) -> None:
    sample = Sample(Extension(Id(0, encoding), body), kind=22)
    for name in ("EngineeringUnits", "EURange", "EnumStrings", "EnumValues"):
        assert told(name, sample).names == {1: "One"}
