"""The steps of a rig's results, and what a rig does not send."""

import json
from typing import Any

import pytest

from adapters._rig_parse import Broken, parse, parse_each
from edge.contract import Step, TestResult
from tests.adapters.testrig_formats_support import CSV, JSON, WRITTEN, described, step

# --- steps ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "keys", "wanted"),
    [
        (b"1.5", {}, Step("x", 1.5)),
        (b"+ 1.5", {}, Step("x", 1.5)),
        (b"0.1", {"scale": 1000.0, "unit_of_measure": "Pa"}, Step("x", 100.0, "Pa")),
        (b"0.29", {"scale": 100.0, "high": 30.0}, Step("x", 29.0, None, None, 30.0)),
        (b"1.24kV", {"unit_follows": True}, Step("x", 1.24, "kV")),
        (
            b"1.24kV",
            {"unit_follows": True, "unit_of_measure": "V", "units": {"kV": 1000.0, "V": 1.0}, "high": 2000.0},
            Step("x", 1240.0, "V", None, 2000.0),
        ),
        (
            b"1.2;kV;1;2",
            {
                "unit_of_measure_at": 3, "unit_of_measure": "V", "units": {"kV": 1000.0},
                "low_at": 4, "high_at": 5,
            },
            Step("x", 1200.0, "V", 1000.0, 2000.0),
        ),
        (b"OL", {"out_of_range": ["OL"], "high": 0.5}, Step("x", None, None, None, 0.5, False, "OL")),
        (b"1.5;NG", {"result_at": 3}, Step("x", 1.5, passed=False)),
        (b"V1.4.2", {"as": "text"}, Step("x", text="V1.4.2")),
        (b"V1.4.2;OK", {"as": "text", "result_at": 3}, Step("x", passed=True, text="V1.4.2")),
        (b"OK", {"at": None, "result_at": 2}, Step("x", passed=True)),
    ],
)  # fmt: skip
def test_a_step_as_it_is_described(raw: bytes, keys: dict[str, Any], wanted: Step) -> None:
    assert step(raw, **keys) == wanted


@pytest.mark.parametrize(
    ("raw", "keys", "said"),
    [
        (b"", {}, "'x' has no value; see `optional`"),
        (b"1,5", {}, "'x': '1,5' is no number"),
        (b"1.5 kV", {}, "'x': '1.5 kV' is no number"),
        (b"OL", {}, "'OL' is no number"),
        (b"1;bar", {"unit_of_measure": "mbar", "unit_of_measure_at": 3}, "came in 'bar', not in 'mbar'"),
        (b"1psi", {"unit_follows": True, "unit_of_measure": "V", "units": {"kV": 9.0}}, "'psi' is no unit"),
        (b"1;GUT", {"result_at": 3}, "'GUT' is no known result"),
        (b"9e300", {"scale": 1e300}, "too large"),
        (b"0x10", {}, "no number"),
        (b"\xd9\xa1", {}, "no number"),
    ],
)
def test_a_step_that_makes_no_sense_says_why(raw: bytes, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(Broken) as caught:
        step(raw, **keys)
    assert said in str(caught.value)


def test_a_step_that_was_not_made_is_left_out_only_where_it_may_be() -> None:
    kind = described(**{**JSON, "step": [{**JSON["step"][0], "optional": True}]})
    raw = WRITTEN[6][1].replace(b'"value":0.12', b'"value":null')
    [result] = parse(kind, raw)
    assert result.steps == ()
    with pytest.raises(Broken, match="no value"):
        parse(described(**JSON), raw)


def test_groups_of_columns_and_lines_are_steps() -> None:
    start = {"format": "csv", "fields": {"unit": 1, "program": 2, "result": 3}}
    kind = described(**start, step=[{"each": {"from": 4, "by": 3}, "name_at": 1, "at": 2, "high_at": 3}])
    wanted = (Step("a", 1.0, None, None, 2.0), Step("b", 3.0))
    assert parse(kind, b"U1,P,OK,a,1,2,b,3,,")[0].steps == wanted
    assert parse(kind, b"U1,P,OK")[0].steps == ()
    with pytest.raises(Broken, match="inside a group"):
        parse(kind, b"U1,P,OK,a,1,2,b,3,,4")
    lines = described(**start, holds="lines", step=[{"each": "2-3", "name_at": 1, "at": 2, "high_at": 3}])
    assert parse(lines, b"U1,P,OK\na,1,2\nb,3,")[0].steps == wanted
    second = described(
        format="fixed", holds="lines", result="limits", fields={"unit": "2/1-4"}, constants={"program": "P"},
        step=[{"name": "a", "at": "3/3-5"}],
    )  # fmt: skip
    assert parse(second, b"REPORT\n U1 \nx 1.5\n") == [
        TestResult("U1", "P", None, None, None, (Step("a", 1.5),))
    ]


def test_two_steps_of_one_name_are_a_fault() -> None:
    kind = described(**JSON)
    raw = WRITTEN[6][1].replace(b'"steps":[', b'"steps":[{"name":"leak","value":1},')
    with pytest.raises(Broken, match="two steps have the name 'leak'"):
        parse(kind, raw)


def test_more_steps_than_any_rig_makes_are_a_fault() -> None:
    kind = described(**JSON)
    most, more = ([{"name": f"s{number}", "value": 1} for number in range(count)] for count in (2_000, 2_001))
    whole = json.loads(WRITTEN[6][1])
    assert len(parse(kind, json.dumps(whole | {"steps": most}).encode())[0].steps) == 2_000
    with pytest.raises(Broken, match="2001 steps are more than 2000"):
        parse(kind, json.dumps(whole | {"steps": more}).encode())


def test_a_byte_order_mark_belongs_to_no_field() -> None:
    """Programs of Windows put one before what they write into a file."""
    kind = described(**CSV)
    line = b"U-1;LEAK;B;7;0.12;mbar;0;0.5;PASS"
    assert parse(kind, b"\xef\xbb\xbf" + line) == parse(kind, line)


# --- what a rig does not send -------------------------------------------------------------------


def test_a_unit_and_a_verdict_that_are_not_sent() -> None:
    scale = described(
        format="pattern", pattern=r"S S +(?P<w>-?[0-9.]+) g", skip=["S D .*"], unit="scanned",
        result="limits",
        constants={"program": "WEIGHT", "revision": "1"}, step=[{"name": "weight", "at": "w", "high": 104.0}],
    )  # fmt: skip
    weight = Step("weight", 101.25, None, None, 104.0)
    assert parse(scale, b"S S     101.25 g") == [TestResult("", "WEIGHT", None, "1", None, (weight,))]
    assert parse(scale, b"S D     101.25 g") == []
    with pytest.raises(Broken, match="no line matches the pattern"):
        parse(scale, b"ES")


def test_a_unit_that_is_sometimes_sent() -> None:
    keys = {"format": "csv", "fields": {"unit": 1, "program": 2, "result": 3}}
    assert parse(described(**keys, unit="sent-or-scanned"), b",P,OK")[0].unit == ""
    with pytest.raises(Broken, match="no unit"):
        parse(described(**keys), b",P,OK")


# --- several results ----------------------------------------------------------------------------


def test_one_broken_result_does_not_spoil_the_others() -> None:
    file = described(
        format="csv", holds="results", header="first-line", separator=";", decimal=",",
        fields={"unit": "SN", "program": "Prog", "result": "Res"}, step=[{"name": "leak", "at": "Leak"}],
    )  # fmt: skip
    raw = b"\xef\xbb\xbfDate;SN;Prog;Res;Leak\r\nx;U1;P;OK;0,12\r\nx;U2;P\r\n\r\nx;U3;P;NG;0,9\r\n"
    found = parse_each(file, raw)
    assert [one.result and one.result.unit for one in found] == ["U1", None, "U3"]
    assert [one.raw for one in found] == ["x;U1;P;OK;0,12", "x;U2;P", "x;U3;P;NG;0,9"]
    assert found[1].reason == "3 fields, not 5; was it cut, or did two run into one?"
    with pytest.raises(Broken, match="3 fields"):
        parse(file, raw)


def test_json_as_a_list_and_a_line_each() -> None:
    kind = described(**{**JSON, "holds": "results", "step": []})
    one = b'{"dut":{"serial":"U1"},"n":1,"ok":true,"test":[{"name":"P"}]}'
    two = one.replace(b"U1", b"U2")
    for raw in (b"[" + one + b",\n" + two + b"]", one + b"\n" + two + b"\n"):
        assert [result.unit for result in parse(kind, raw)] == ["U1", "U2"]
    found = parse_each(kind, one + b"\n{oops}\n" + two)
    assert [bool(each.result) for each in found] == [True, False, True]
