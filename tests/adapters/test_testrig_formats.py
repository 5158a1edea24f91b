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
from tests.adapters.testrig_formats_support import (
    CSV,
    FIXED,
    JSON,
    KINDS,
    PATTERN,
    PIECES,
    REPORT,
    WRITTEN,
    described,
)

RESULT = TestResult("U-0001", "LEAK", True, "B", "1", (Step("leak", 0.12, "mbar", 0.0, 0.5),))


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
