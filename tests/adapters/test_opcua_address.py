"""How a signal of an OPC UA server is written, and what a path says when it leads nowhere."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._opcua.address import Deadband
from adapters._opcua.nodes import UnknownNamespace
from adapters._opcua.paths import Step, browse_path, parse_member, parse_path, shown
from adapters._opcua.resolve import Filter, Resolved
from tests.adapters.opcua_address_support import SPACES, URI, address

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
