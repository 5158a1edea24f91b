"""Line protocol: what each event becomes, and that nothing an event holds can break out of its line."""

import json as stdlib
import math
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import json

from adapters._line_protocol import lines
from edge.contract import Record
from tests.support.records import AT_MS, CONTEXT, count, record
from tests.support.servers import FarEnd, _influx, influxd, query_influx

STAMP = AT_MS * 1_000_000


@dataclass(frozen=True)
class Point:
    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, Any]
    stamp: int


_KEY = r"(?:[^,= \\\n]|\\[,= ])+"
_VALUE = r'"(?:[^"\\\n]|\\["\\])*"|-?\d+i|true|false|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?'
_LINE = re.compile(
    rf"({_KEY})((?:,{_KEY}={_KEY})*) ((?:{_KEY}=(?:{_VALUE}))(?:,{_KEY}=(?:{_VALUE}))*) (-?\d+)"
)


def parse(line: str) -> Point:
    """A strict reader, by the grammar of InfluxDB's documentation and not by the writer."""
    match = _LINE.fullmatch(line)
    assert match is not None, line
    tags = dict(_pair(part) for part in re.findall(rf",({_KEY}={_KEY})", match[2]))
    fields = {}
    for key, value in re.findall(rf"({_KEY})=({_VALUE})", match[3]):
        name = _plain(key)
        assert name not in fields, line
        fields[name] = _typed(value)
    assert not set(tags) & set(fields), line
    return Point(_plain(match[1]), tags, fields, int(match[4]))


def _pair(part: str) -> tuple[str, str]:
    key, value = re.fullmatch(rf"({_KEY})=({_KEY})", part).groups()  # type: ignore[union-attr]
    return _plain(key), _plain(value)


def _plain(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def _typed(value: str) -> Any:
    if value.startswith('"'):
        return re.sub(r'\\(["\\])', r"\1", value[1:-1])
    if value in ("true", "false"):
        return value == "true"
    return int(value[:-1]) if value.endswith("i") else float(value)


# --- what each event becomes ----------------------------------------------------------------


def test_a_count_is_tagged_with_its_role_only_and_its_order_has_a_series_of_its_own() -> None:
    one = count(88123, produced=1, raw=90211, run_total=412, order_good=400, order_scrap=12)
    made, totals = lines(one)
    assert made == (
        "count,line=line-1,station=press,kind=good "
        'produced=1i,raw=90211i,quality="live",order="WO-1001",operation=20i,run="r7",'
        f'item="P7",revision="C",operator="4711",attribution=1i {STAMP + 88123}'
    )
    assert totals == (
        "order_total,line=line-1,station=press,order=WO-1001,operation=20 "
        f"good=400i,scrap=12i,rework=0i,attribution=1i {STAMP + 88123}"
    )


def test_a_count_without_an_order_is_unassigned() -> None:
    made, totals = map(parse, lines(count(1, context={})))
    assert "order" not in made.fields
    assert totals.tags["order"] == "UNASSIGNED"


def test_a_count_without_totals_of_an_order_has_one_point() -> None:
    assert len(lines(record(1, "count", {"role": "total", "produced": 3}))) == 1


def test_parts_that_wait_for_rework_are_in_the_series_of_the_order_alone() -> None:
    made, totals = map(parse, lines(count(1, order_rework=4)))
    assert totals.fields["rework"] == 4
    assert "order_rework" not in made.fields


def test_a_correction_has_the_figures_of_its_side_and_its_own_version() -> None:
    """Zeros included: a figure that became none is a point like any other."""
    moved = {
        "version": 3, "why": "reassigned", "by": "anna", "reason": "wrong card", "from_ms": 1, "to_ms": 2,
        "produced": -7, "good": -7, "scrap": 0, "events": 7, "order_good": 0, "order_scrap": 0,
    }  # fmt: skip
    said, totals = map(parse, lines(record(9, "attribution", moved)))
    assert totals.measurement == "order_total"
    assert totals.fields == {"good": 0, "scrap": 0, "rework": 0, "attribution": 3}
    assert (said.fields["attribution"], said.fields["produced"], said.fields["by"]) == (3, -7, "anna")


def test_the_maps_of_a_result_are_whole_numbers_by_their_names() -> None:
    told = {
        "order": "WO-1", "operation": 10, "busy_s": 12, "reasons": {"BURR": 2, "B-1.C": 1}, "lots": ["L1"],
        "aside": {"setup/press": 4}, "people": [],
    }  # fmt: skip
    (line,) = lines(record(9, "result", told, {"item": "P7"}, station=""))
    assert line == (
        'result,line=line-1 order="WO-1",operation=10i,busy_s=12.0,reasons_BURR=2i,reasons_B-1.C=1i,'
        f'lots="[\\"L1\\"]",aside_setup/press=4i,item="P7",attribution=1i {STAMP + 9}'
    )


def test_a_state_keeps_the_types_of_its_fields_even_where_a_float_is_whole() -> None:
    state = {"state": "Execute", "code": 6, "was": "Stopped", "lasted_s": 12, "held": False, "note": None}
    (line,) = lines(record(7, "state", state, {}))
    assert line == (
        'state,line=line-1,station=press state="Execute",code=6i,was="Stopped",lasted_s=12.0,held=false,'
        f"attribution=1i {STAMP + 7}"
    )


def test_the_steps_of_a_test_are_points_by_position_with_their_name_as_a_field() -> None:
    steps = [{"name": "leak", "value": 1, "low": 0.5, "high": None}, {"name": "leak", "value": 2.5}]
    result = record(9, "test", {"unit": "S1", "program": "EOL", "passed": True, "steps": steps}, {})
    test, first, second = map(parse, lines(result))
    assert (test.measurement, test.fields["passed"], test.fields["unit"]) == ("test", True, "S1")
    assert first.measurement == second.measurement == "test_step"
    assert first.fields == {"name": "leak", "value": 1.0, "low": 0.5, "attribution": 1}
    assert [first.tags["position"], second.tags["position"]] == ["1", "2"]
    assert first.stamp == second.stamp == test.stamp


def test_an_order_event_says_its_own_order_and_not_that_of_its_context() -> None:
    (line,) = lines(record(1, "order", {"order": "WO-1002", "operation": None, "from": "Running"}))
    point = parse(line)
    assert point.measurement == "order"
    assert point.fields["order"] == "WO-1002"
    assert "operation" not in point.fields
    assert point.fields["item"] == "P7"


def test_what_nobody_foresaw_is_kept() -> None:
    disk = {"free": 12, "deep": {"er": [1]}}
    data = {"disk": disk, "words": ["a", "b"], "time": 5, "station": "x", "": 1, "_x": 2}
    (line,) = lines(record(1, "health", data, {}, station=""))
    point = parse(line)
    assert point.tags == {"line": "line-1"}
    assert point.fields == {
        "disk_free": 12, "disk_deep": '{"er": [1]}', "words": '["a", "b"]', "data_time": 5,
        "data_station": "x", "data_": 1, "data_x": 2, "attribution": 1,
    }  # fmt: skip


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1, "x" * 65_536])
def test_a_value_that_cannot_be_written_in_its_type_is_left_out_and_named(value: Any) -> None:
    point = parse(lines(record(1, "count", {"role": "good", "produced": 1, "raw": value}, {}))[0])
    assert "raw" not in point.fields
    assert point.fields["omitted"] == "raw"


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_the_last_whole_numbers_that_fit_are_written(value: int) -> None:
    assert parse(lines(record(1, "count", {"role": "good", "raw": value}, {}))[0]).fields["raw"] == value


def test_two_orders_never_share_a_series() -> None:
    names = ["A", "A\\", "A%5C", "A\n", "A%0A", "A ", "A,", "A=", "A\x85", "A\u2028"]
    written = {lines(count(1, context={"order": name}))[1] for name in names}
    assert len(written) == len(names)


def test_a_label_cannot_write_a_point_of_its_own() -> None:
    label = 'x" 1\ncount,line=line-1,station=press,kind=good produced=999i 1'
    (line,) = lines(record(1, "scan", {"label": label, "kind": "job"}, {}))
    assert "\n" not in line
    assert parse(line).fields["label"] == label.replace("\n", "\\n")


def test_events_of_one_millisecond_do_not_share_a_timestamp() -> None:
    stamps = {parse(lines(count(seq))[0]).stamp for seq in range(999_990, 1_000_010)}
    assert len(stamps) == 20


# --- any event ------------------------------------------------------------------------------

AWKWARD = ["\\", "a\\", '"', "a,b=c d", "#x", "\n", "\r\n", "%", "\x1d\x1e"]
TEXT = st.text(max_size=20) | st.sampled_from(AWKWARD)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
STORED = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=9)
"""Of a context, which is JSON."""
NESTED = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
DATA = st.dictionaries(TEXT, NESTED, max_size=6)


@st.composite
def records(draw: st.DrawFn) -> Record:
    name = draw(st.sampled_from(["count", "state", "test", "gap"]) | TEXT.filter(bool))
    data = draw(DATA)
    if name == "count":
        data |= draw(st.fixed_dictionaries({}, optional={"role": TEXT, "order_good": st.integers()}))
    context = draw(st.dictionaries(st.sampled_from(list(CONTEXT)), STORED))
    line, station = draw(TEXT.filter(bool)), draw(TEXT)
    seq, at_ms = draw(st.integers(0, 2**60)), draw(st.integers(0, 2**42))
    owner = json.encode(context)
    body = stdlib.dumps(data, default=str).encode()
    one = Record(seq, "id", name, at_ms, "receipt", at_ms, line, station, body, owner)
    vars(one).update(data=data)  # also what no JSON can hold
    return one


@given(records())
def test_any_event_is_lines_that_a_strict_reader_takes(one: Record) -> None:
    points = [parse(line) for line in lines(one)]
    assert points
    assert {point.stamp for point in points} == {one.at_ms * 1_000_000 + one.seq % 1_000_000}
    series = [(point.measurement, tuple(sorted(point.tags.items()))) for point in points]
    assert len(set(series)) == len(series)


@given(TEXT)
@example("C:\\")
def test_any_text_without_controls_comes_back_as_it_was(text: str) -> None:
    point = parse(lines(record(1, "scan", {"label": text}, {}))[0])
    if not re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        assert point.fields["label"] == text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FarEnd]:
    async with influxd(Path(tmp_path_factory.mktemp("influx"))) as server:
        yield server


async def test_the_real_engine_takes_any_event(engine: FarEnd) -> None:
    writes = 0

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(st.lists(records(), min_size=1, max_size=10))
    def check(batch: list[Record]) -> None:
        nonlocal writes
        writes += 1
        # A measurement of its own for each, since hypothesis gives one key all types.
        written = [line for one in batch for line in lines(one)]
        text = "\n".join(f"w{writes}n{n}{line}" for n, line in enumerate(written))
        status, answer = _influx(engine.port, "POST", "/write?db=edge&precision=ns", text.encode())
        assert status == 204, (answer, text)

    check()


async def test_the_real_engine_gives_back_what_was_written(engine: FarEnd) -> None:
    awkward = 'a "b" \\ c, d=e \\\\ \\" ü\u2028'
    one = count(5, context={"order": "WO 1,2=3\\", "item": awkward})
    text = "\n".join(lines(one))
    assert _influx(engine.port, "POST", "/write?db=edge&precision=ns", text.encode())[0] == 204
    (row,) = query_influx(engine.port, "SELECT * FROM count WHERE raw = 5")
    assert row["item"] == awkward
    assert row["order"] == "WO 1,2=3\\"
    assert (row["kind"], row["time"]) == ("good", STAMP + 5)
    (total,) = query_influx(engine.port, "SELECT * FROM order_total WHERE \"order\" = 'WO 1,2=3%5C'")
    assert total["good"] == 5
