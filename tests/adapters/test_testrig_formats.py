"""How rigs write results: what is described in the TOML is read, and any other bytes are broken in words."""

import contextlib
import gc
import json
import math
import random
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._rig_format import ResultFormat
from adapters._rig_parse import Broken, parse, parse_each
from edge.contract import Step, TestResult


def described(**keys: Any) -> ResultFormat:
    return ResultFormat.model_validate(keys)


CSV: dict[str, Any] = {
    "format": "csv", "separator": ";", "columns": 9,
    "fields": {"unit": 1, "program": 2, "revision": 3, "number": 4, "result": 9},
    "step": [{"name": "leak", "at": 5, "unit_of_measure_at": 6, "low_at": 7, "high_at": 8}],
}  # fmt: skip
FIXED: dict[str, Any] = {
    "format": "fixed", "columns": 34,
    "fields": {"unit": "1-8", "program": "9-14", "revision": 15, "number": "16-19", "result": "31-34"},
    "step": [{"name": "leak", "at": "20-25", "unit_of_measure": "mbar", "low": 0.0, "high_at": "26-30"}],
}  # fmt: skip
JSON: dict[str, Any] = {
    "format": "json",
    "fields": {
        "unit": "dut.serial", "program": "test.0.name", "revision": "test.0.rev",
        "number": "n", "result": "ok",
    },
    "pass": ["true"], "fail": ["false"],
    "step": [
        {"each": "steps", "name_at": "name", "at": "value", "unit_of_measure_at": "unit", "low_at": "lo",
         "high_at": "hi"},
    ],
}  # fmt: skip
PATTERN: dict[str, Any] = {
    "format": "pattern",
    "pattern": r"(?P<sn>U-[0-9]+) (?P<prog>[A-Z]+)/(?P<rev>[A-Z]) #(?P<no>[0-9]+) "
    r"(?P<leak>[-+0-9.]+) (?P<uom>[a-z]+) \[(?P<lo>[0-9.]+)\.\.(?P<hi>[0-9.]+)\] (?P<word>PASS|FAIL)",
    "fields": {"unit": "sn", "program": "prog", "revision": "rev", "number": "no", "result": "word"},
    "step": [{"name": "leak", "at": "leak", "unit_of_measure_at": "uom", "low_at": "lo", "high_at": "hi"}],
}
REPORT: dict[str, Any] = {
    "format": "pattern", "holds": "lines",
    "pattern": ["SERIAL: (?P<sn>.+)",
        "TEST: (?P<prog>[A-Z]+) REV (?P<rev>[A-Z]) NO (?P<no>[0-9]+)", "(?P<word>PASS|FAIL)"],
    "fields": {"unit": "sn", "program": "prog", "revision": "rev", "number": "no", "result": "word"},
    "step": [
        {"each": r"(?P<name>[a-z]+) = (?P<value>[-0-9.]+) (?P<uom>[a-z]+)"
                 r" \((?P<lo>[0-9.]+) to (?P<hi>[0-9.]+)\)",
         "name_at": "name", "at": "value", "unit_of_measure_at": "uom", "low_at": "lo", "high_at": "hi"},
    ],
}  # fmt: skip
PAIRS: dict[str, Any] = {
    "holds": "lines", "between": ":", "rest": "ignored",
    "fields": {"unit": "SN", "program": "PROG", "revision": "REV", "number": "NO", "result": "RES"},
    "step": [{"name": "leak", "at": "LEAK", "unit_follows": True, "low": 0.0, "high": 0.5}],
}  # fmt: skip
RESULT = TestResult("U-0001", "LEAK", True, "B", "1", (Step("leak", 0.12, "mbar", 0.0, 0.5),))

WRITTEN: list[tuple[dict[str, Any], bytes]] = [
    (CSV, b"U-0001;LEAK;B;1;0.12;mbar;0;0.5;PASS"),
    (CSV, b'"U-0001"; LEAK ;B;1; +0.12;mbar;0;.5;PASS'),
    ({**CSV, "decimal": ","}, b"U-0001;LEAK;B;1;0,12;mbar;0;0,5;PASS"),
    ({**CSV, "separator": "\t"}, b"U-0001\tLEAK\tB\t1\t0.12\tmbar\t0\t0.5\tPASS"),
    ({**CSV, "separator": " "}, b"U-0001 LEAK B    1   0.12 mbar 0 0.5 PASS"),
    (FIXED, b"U-0001  LEAK  B   1 +0.12  0.5PASS"),
    (
        JSON,
        b'{"dut":{"serial":"U-0001"},"n":1,"ok":true,"test":[{"name":"LEAK","rev":"B"}],'
        b'"steps":[{"name":"leak","value":0.12,"unit":"mbar","lo":0,"hi":0.5}]}',
    ),
    (PATTERN, b"U-0001 LEAK/B #1 0.12 mbar [0..0.5] PASS"),
    (
        {**REPORT, "others": "ignored"},
        b"ACME 3000\r\nSERIAL: U-0001\r\nTEST: LEAK REV B NO 1\r\nleak = 0.12 mbar (0 to 0.5)\r\nPASS\r\n",
    ),
    (PAIRS, b"TIME: 12:30:00\nSN: U-0001\nPROG: LEAK\nREV: B\nNO: 1\nLEAK: 0.12 mbar\nRES: PASS\n"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "raw"), WRITTEN)
def test_the_same_result_in_every_format(keys: dict[str, Any], raw: bytes) -> None:
    assert parse(described(**keys), raw) == [RESULT]


@pytest.mark.parametrize(("keys", "raw"), WRITTEN)
def test_a_result_that_was_cut_is_broken(keys: dict[str, Any], raw: bytes) -> None:
    """All but its last characters are lost: what is left lacks its verdict."""
    read = described(**keys)
    for kept in range(len(raw.rstrip()) - 3):
        with pytest.raises(Broken):
            parse(read, raw[:kept])


@pytest.mark.parametrize(("keys", "raw"), WRITTEN)
def test_two_that_ran_into_each_other_make_no_third(keys: dict[str, Any], raw: bytes) -> None:
    """A beginning without the rest of it is broken, or does no harm, where the unit's look is known."""
    read = described(**keys, unit_like="U-[0-9]{4}")
    broken = 0
    for kept in range(1, len(raw)):
        try:
            assert parse(read, raw[:kept] + raw) == [RESULT]
        except Broken:
            broken += 1
    assert broken >= len(raw) // 2


KINDS = [described(**keys) for keys, _ in WRITTEN]
KINDS += [described(**{**keys, "holds": "results"}) for keys in (CSV, FIXED, JSON, PATTERN)]
KINDS += [described(**{**CSV, "holds": "results", "header": "first-line", "columns": None})]
PIECES = [raw[at : at + 4] for _, raw in WRITTEN for at in range(0, len(raw), 4)]
PIECES += [b'"', b"[", b"{", b"\n", b"\r", b"1e999", b"\xff", b"\0", b"\xe2\x80\xa8", b'"\\ud800"', b"\x1d"]
near = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)


@given(st.sampled_from(KINDS), st.binary(max_size=300) | near)
def test_any_bytes_are_results_or_broken_in_words(kind: ResultFormat, raw: bytes) -> None:
    try:
        found = parse_each(kind, raw)
    except Broken as error:
        said, found = [str(error)], []
    else:
        said = [one.reason for one in found if one.result is None]
    assert all(one and one.isprintable() and len(one) < 400 for one in said)
    for one in found:
        one.raw.encode()
        if one.result is not None:
            assert_sound(one.result)


def assert_sound(result: TestResult) -> None:
    words = [result.unit, result.program, result.revision or "", result.number or ""]
    words += [word for step in result.steps for word in (step.name, step.text, step.unit_of_measure or "")]
    assert result.unit
    assert result.program
    assert all(word.isprintable() or "\u2028" in word for word in words)
    numbers = [one for step in result.steps for one in (step.value, step.low, step.high)]
    assert all(math.isfinite(one) for one in numbers if one is not None)


def mutated(chance: random.Random) -> bytes:
    """A result as it is written, cut, doubled, with bytes changed, or pieces of all of them."""
    if chance.random() < 0.3:
        return b"".join(chance.choices(PIECES, k=chance.randrange(40)))
    raw = bytearray(chance.choice(WRITTEN)[1] * chance.choice([1, 1, 1, 2, 8]))
    for _ in range(chance.randrange(4)):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw[: chance.randrange(len(raw) + 1)] if chance.random() < 0.3 else raw)


def soak(count: int, seed: int) -> tuple[float, int]:
    """The CPU seconds of the dearest frame, by its best of three, and how many were read.

    A frame is one result, or a few that ran into each other; a file of many costs as many times that.
    """
    chance, dearest_s, read = random.Random(seed), 0.0, 0
    for _ in range(count):
        kind, raw = chance.choice(KINDS), mutated(chance)
        cost_s = once(kind, raw)
        if cost_s > 0.0005:
            cost_s = min(cost_s, once(kind, raw), once(kind, raw))
        dearest_s = max(dearest_s, cost_s)
        read += 1
    return dearest_s, read


def once(kind: ResultFormat, raw: bytes) -> float:
    begun_s = time.thread_time()
    with contextlib.suppress(Broken):
        parse_each(kind, raw)
    return time.thread_time() - begun_s


def test_no_input_is_dear() -> None:
    dearest_s, _ = soak(5_000, 1)
    assert dearest_s < 0.001


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_million_inputs_are_cheap_and_leave_nothing_behind() -> None:
    soak(20_000, 2)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        soak(20_000, 3)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200_000
    dearest_s, read = soak(1_000_000, 4)
    assert read == 1_000_000
    assert dearest_s < 0.001


@pytest.mark.parametrize("depth", [900, 5_000, 60_000])
def test_json_that_is_nested_without_end_is_broken(depth: int) -> None:
    for raw in (b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        for holds in ("line", "results"):
            with pytest.raises(Broken):
                parse(described(**{**JSON, "holds": holds}), raw)


_words = st.text(st.characters(codec="ascii", categories=["Lu", "Nd"]), min_size=1, max_size=8)
_numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(_words, _words, st.booleans(), _numbers, _numbers, _numbers)
def test_what_is_written_is_read(
    unit: str, program: str, passed: bool, value: float, low: float, high: float
) -> None:
    verdict = "PASS" if passed else "FAIL"
    wanted = [TestResult(unit, program, passed, "B", "7", (Step("leak", value, "mbar", low, high),))]
    line = f"{unit};{program};B;7;{value};mbar;{low};{high};{verdict}"
    assert parse(described(**CSV), line.encode()) == wanted
    tree = {
        "dut": {"serial": unit}, "test": [{"name": program, "rev": "B"}], "n": 7, "ok": passed,
        "steps": [{"name": "leak", "value": value, "unit": "mbar", "lo": low, "hi": high}],
    }  # fmt: skip
    assert parse(described(**JSON), json.dumps(tree).encode()) == wanted


# --- steps ------------------------------------------------------------------------------------


def step(raw: bytes, **keys: Any) -> Step:
    """The one step of a line that holds a unit and this."""
    kind = described(
        format="csv", separator=";", fields={"unit": 1}, constants={"program": "P"}, result="limits",
        step=[{"name": "x", "at": 2, **keys}],
    )  # fmt: skip
    [result] = parse(kind, b"U1;" + raw)
    [found] = result.steps
    return found


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


# --- the description itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"format": "csv"}, "say where the unit's number is"),
        ({"format": "csv"}, "say where the program is"),
        ({"format": "csv"}, "say where the verdict is"),
        ({"unit": "scanned", "fields": {"unit": "SN"}}, "not both"),
        ({"result": "limits", "fields": {"result": "R"}}, "not both"),
        ({"constants": {"program": "P"}, "fields": {"program": "R"}}, "both in fields and in constants"),
        ({**CSV, "fields": {**CSV["fields"], "unit": "SN"}}, "fields.unit: 'SN' is neither a position nor"),
        ({**FIXED, "fields": {**FIXED["fields"], "unit": "8-1"}}, "fields.unit: '8-1' is no columns"),
        ({**JSON, "fields": {**JSON["fields"], "unit": "a..b"}}, "'a..b' has an empty part"),
        ({**JSON, "fields": {**JSON["fields"], "unit": 3}}, "3 is a position"),
        ({**PATTERN, "fields": {**PATTERN["fields"], "unit": "serial"}}, "no group (?P<serial>...)"),
        ({**PATTERN, "pattern": "(?P<a>(b+)+)"}, "pattern"),
        ({**PATTERN, "pattern": None}, 'format = "pattern" needs a pattern'),
        ({**PATTERN, "skip": ["("]}, "is no regular expression"),
        ({**REPORT, "holds": "line"}, 'several patterns need holds = "lines"'),
        ({**CSV, "header": "first-line"}, 'needs holds = "lines" or "results"'),
        ({**CSV, "rest": "ignored"}, "are for key=value"),
        ({**JSON, "decimal": ","}, "numbers of json have a point"),
        ({**JSON, "columns": 3}, "columns is for csv and fixed"),
        ({**CSV, "separator": ",", "decimal": ","}, "cannot be both separator and decimal"),
        ({"between": ":"}, 'needs rest = "ignored"'),
        ({"step": [{"name_at": "a", "at": "a", "each": "b"}]}, "steps of key=value are named one by one"),
        ({**CSV, "step": [{"name_at": 1, "at": 2, "each": "all"}]}, 'write which lines, such as "3-"'),
        ({**FIXED, "step": [{"name_at": 1, "at": 2, "each": {"from": 1, "by": 2}}]}, "are for csv"),
        ({**CSV, "step": [{"name": "a"}]}, "say where the value is (at)"),
        ({**CSV, "step": [{"at": 1}]}, "give either name or name_at"),
        ({**CSV, "step": [{"name": "a", "at": 1, "each": "2-"}]}, "steps that come again need name_at"),
        ({**CSV, "step": [{"name": "a", "at": 1, "low": 2.0, "high": 1.0}]}, "low is above high"),
        ({**CSV, "step": [{"name": "a", "at": 1, "low": 2.0, "low_at": 2}]}, "either low or low_at"),
        ({**CSV, "step": [{"name": "a", "at": 1, "as": "text", "high": 1.0}]}, "has no limits"),
        ({**CSV, "step": [{"name": "a", "at": 1, "units": {"V": 1.0}}]}, "units needs a unit_of_measure"),
        (
            {**CSV, "step": [{"name": "a", "at": 1, "scale": 2.0, "unit_follows": True}]},
            "write units in the place of scale",
        ),
    ],
)  # fmt: skip
def test_a_description_that_cannot_work_is_refused_in_words(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        described(**keys)
    assert said in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        described(format="csv", fields={"number": "NO"}, header="first-line")
    for said in ("unit's number", "the program", "the verdict", "first-line"):
        assert said in str(caught.value)


def test_a_csv_without_a_width_is_doubtful() -> None:
    assert "columns" in described(**{**CSV, "columns": None}).doubts()[0]
    assert described(**CSV).doubts() == described(**JSON).doubts() == []
