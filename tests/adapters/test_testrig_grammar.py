"""The grammar of a test rig's results."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._frames import Frame
from adapters._rig_checksum import compute
from adapters._rig_parse import Broken
from adapters._rig_talk import Talk
from adapters.testrig import Settings
from edge.contract import Step, TestResult
from tests.adapters.testrig_support import LINE, RESULT, settings, summed


def parse(of: Settings, line: bytes) -> TestResult:
    """A line as the source reads it: its checksum, then its text."""
    [turn] = Talk(of).take(Frame(line), 0.0)
    [parsed] = turn.results
    if parsed.result is None:
        raise Broken(parsed.reason)
    return parsed.result


def rendered(result: TestResult) -> bytes:
    fields = [f"unit={result.unit}", f"program={result.program}"]
    fields += [f"revision={result.revision}"] * (result.revision is not None)
    fields += [f"number={result.number}"] * (result.number is not None)
    for step in result.steps:
        parts = (step.value, step.unit_of_measure, step.low, step.high)
        fields.append(f"{step.name}=" + ":".join("" if part is None else str(part) for part in parts))
    return ";".join([*fields, "result=" + ("PASS" if result.passed else "FAIL")]).encode()


_plain = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters=" =;:*")
words = st.text(_plain, min_size=1, max_size=12)
names = words.filter(lambda name: name not in {"unit", "program", "revision", "number", "result"})
numbers = st.floats(allow_nan=False, allow_infinity=False)
steps = st.builds(Step, names, numbers, *[st.none() | one for one in (words, numbers, numbers)])
results = st.builds(
    TestResult, words, words, st.booleans(), st.none() | words, st.none() | words,
    st.lists(steps, max_size=5, unique_by=lambda step: step.name).map(tuple),
)  # fmt: skip


@given(results, st.sampled_from(["auto", "none", "xor"]))
def test_what_is_written_is_read(result: TestResult, sum_is: str) -> None:
    line = rendered(result)
    assert parse(settings(checksum=sum_is), line if sum_is == "none" else summed(line)) == result
    if sum_is == "auto":
        assert parse(settings(), line) == result


PIECES = [b"unit", b"=", b";", b":", b"result=PASS", b"program=L", b"1", b"1e999", b"*", b"*00", b"\xff"]
near_lines = st.lists(st.sampled_from(PIECES)).map(b"".join)


def reason(of: Settings, raw: bytes) -> str:
    """Why a line is broken; empty where it is a result that can be believed."""
    try:
        result = parse(of, raw)
    except Broken as error:
        return str(error)
    assert result.unit
    assert result.program
    numbers = [one for step in result.steps for one in (step.value, step.low, step.high)]
    assert all(math.isfinite(one) for one in numbers if one is not None)
    return ""


@given(st.binary(max_size=200) | near_lines, st.sampled_from(["auto", "none", "xor"]))
def test_any_bytes_are_a_result_or_broken(raw: bytes, sum_is: str) -> None:
    said = reason(settings(checksum=sum_is), raw)
    assert said.isprintable()
    assert len(said) < 300


@given(st.integers(1, len(LINE)), st.integers(0, len(LINE) - 1))
def test_a_cut_line_or_one_glued_to_the_next_is_broken(kept: int, at: int) -> None:
    with pytest.raises(Broken):
        parse(settings(), LINE[:kept] + LINE)
    with pytest.raises(Broken):
        parse(settings(), LINE[:at])


@given(st.integers(0, len(LINE) - 1), st.integers(1, 255))
def test_one_changed_byte_is_broken_where_there_is_a_checksum(at: int, flip: int) -> None:
    line = bytearray(summed(LINE))
    line[at] ^= flip
    with pytest.raises(Broken):
        parse(settings(checksum="xor"), bytes(line))


def test_the_checksum_is_that_of_nmea_0183() -> None:
    # A sentence with a published checksum; NMEA counts from behind the `$`.
    assert compute("xor", b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,") == 0x47


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        (LINE, {}),
        (LINE + b";", {}),
        (summed(LINE), {}),
        (LINE + b"*6b", {"checksum": "xor"}),
        (LINE.replace(b";", b" ; ").replace(b"=", b" = ").replace(b":", b" : "), {}),
        (LINE.replace(b";", b"|"), {"separator": "|"}),
        (LINE.replace(b";", b"\t"), {"separator": "\t"}),
        (LINE.replace(b";", b" "), {"separator": " "}),
        (LINE.replace(b"PASS", b"IO"), {"pass": ["IO"], "fail": ["NIO"]}),
        (LINE.replace(b"unit", b"SN").replace(b"result", b"V"), {"fields": {"unit": "SN", "result": "V"}}),
        (LINE + b";operator=Jo;at=12:30", {"ignore": ["operator", "at"]}),
    ],
)
def test_the_same_result_in_other_words(line: bytes, keys: dict[str, object]) -> None:
    assert parse(settings(**keys), line) == RESULT  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (b"t=20", Step("t", 20.0)),
        (b"t=-2.5e-3:s", Step("t", -0.0025, "s")),
        (b"t=.5:s:0", Step("t", 0.5, "s", 0.0)),
        (b"t=5.:::9", Step("t", 5.0, None, None, 9.0)),
        ("t=20:°C".encode(), Step("t", 20.0, "°C")),
    ],
)
def test_what_follows_a_value_may_be_absent(step: bytes, expected: Step) -> None:
    assert parse(settings(), LINE + b";" + step).steps[-1] == expected


def test_a_failed_unit_and_a_result_without_steps() -> None:
    assert parse(settings(), b"result=NG;program=HIPOT;unit=U-2") == TestResult("U-2", "HIPOT", False)
    [step] = parse(settings(encoding="latin-1"), LINE.replace(b"mbar", b"\xb0C")).steps
    assert step.unit_of_measure == "°C"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "'' is no name=value"),
        (b"hello", "'hello' is no name=value"),
        (LINE + b";;", "'' is no name=value"),
        (LINE + b";=5", "'=5' is no name=value"),
        (LINE + b";a=b=c", "'a=b=c' is no name=value"),
        (LINE + b";leak=0.2", "'leak' is there twice"),
        (LINE + b";unit=U-0002", "'unit' is there twice"),
        (LINE.replace(b"unit", b"uint"), "no unit"),
        (LINE.replace(b"U-0001", b""), "no unit"),
        (LINE.replace(b"program=LEAK;", b""), "no program"),
        (LINE.replace(b";result=PASS", b""), "no result"),
        (LINE.replace(b"PASS", b"PAS"), "'PAS' is no known result"),
        (LINE.replace(b"PASS", b"pass"), "'pass' is no known result"),
        (LINE.replace(b"0.12", b"nan"), "'leak': 'nan' is no number"),
        (LINE.replace(b"0.12", b"-inf"), "'-inf' is no number"),
        (LINE.replace(b"0.12", b"1e999"), "'1e999' is no number"),
        (LINE.replace(b"0.12", b"1_0"), "'1_0' is no number"),
        (LINE.replace(b"0.12", b"0,12"), "'0,12' is no number"),
        (LINE.replace(b"0.12", "\u0661".encode()), "is no number"),
        (LINE.replace(b"0.12", b""), "'' is no number"),
        (LINE.replace(b"0.5", b"high"), "'high' is no number"),
        (LINE.replace(b"0.5", b"0.5:x"), "'leak' is more than value:unit:low:high"),
        (LINE + b";operator=" + b"J" * 90, "'operator': 'JJJJJJJJ"),
        (LINE.replace(b"LEAK", b"LE\x07AK"), r"a control character ('\x07')"),
        (LINE.replace(b"LEAK", b"LE\x80AK"), "is no utf-8; see `encoding`"),
        (LINE + b"*00", "the checksum is *6B, the frame says *00"),
        (summed(LINE).replace(b"0.12", b"0.13"), "the checksum is"),
    ],
)
def test_what_is_broken_says_why(line: bytes, said: str) -> None:
    with pytest.raises(Broken) as caught:
        parse(settings(), line)
    assert said in str(caught.value)


@pytest.mark.parametrize("line", [LINE, LINE + b"*", LINE + b"*1", summed(LINE) + b" ", LINE + b"*XY"])
def test_a_demanded_checksum_must_be_there(line: bytes) -> None:
    with pytest.raises(Broken, match="checksum"):
        parse(settings(checksum="xor"), line)


def test_without_checksums_a_star_is_a_part_of_the_text() -> None:
    assert parse(settings(checksum="none"), b"program=A*00;result=OK;unit=U*41").unit == "U*41"


@pytest.mark.parametrize(
    "keys",
    [
        {"separator": "="}, {"separator": ""}, {"separator": ";;"}, {"separator": "a"}, {"separator": "7"},
        {"separator": "\r"}, {"pass": []}, {"pass": ["OK"], "fail": ["OK"]}, {"pass": ["A;B"]},
        {"pass": ["A=B"]}, {"fields": {"unit": "program"}}, {"fields": {"unit": ""}},
        {"fields": {"serial": "SN"}}, {"format": "csv"}, {"ignore": ["unit"]},
        {"checksum": "crc"}, {"encoding": "ascii"},
    ],
)  # fmt: skip
def test_settings_that_contradict_themselves_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**keys)  # type: ignore[arg-type]
