"""Telemetry as line protocol: the quick way over bytes and the slow way over values say the same."""

import math
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import json

from adapters import _line_telemetry
from adapters._line_protocol import points
from edge.contract import TELEMETRY, Record
from tests.adapters.test_line_protocol import AWKWARD, Point, parse
from tests.support.records import AT_MS
from tests.support.servers import FarEnd, _influx, influxd, query_influx

Frames = list[dict[str, Any]]


def batch(
    frames: Frames,
    *,
    seq: int = 7,
    name: str = "oven",
    station: str = "",
    owner: Mapping[str, Any] = {},
    **more: Any,
) -> Record:
    body = json.encode({"name": name, **more, "frames": frames})
    return Record(
        seq,
        f"k3f9-{seq}",
        TELEMETRY,
        AT_MS,
        "receipt",
        AT_MS,
        "line-1",
        station,
        body,
        json.encode(owner),
        1,
        name,
    )


def frame(at: int = AT_MS, /, **values: Any) -> dict[str, Any]:
    return {"at": at, "values": values}


def parsed(record: Record) -> list[Point]:
    return [parse(line) for line in points(record).decode().splitlines()]


def test_a_frame_is_one_point() -> None:
    one = batch([frame(zone_1=229.5, zone_2=231, heating=True)], station="oven-1", owner={"order": "WO-1"})
    assert points(one).decode() == (
        "telemetry,line=line-1,station=oven-1,name=oven "
        f'zone_1=229.5,zone_2=231,heating=true,order="WO-1" {AT_MS * 1_000_000 + 7}'
    )


def test_a_value_that_is_not_there_is_named_with_its_reason() -> None:
    told = {"at": AT_MS, "values": {"a": 1.5}, "bad": {"b": "no answer", "c": 'says "no"'}}
    (point,) = parsed(batch([told]))
    assert point.fields == {"a": 1.5, "bad": 'b: no answer; c: says "no"'}
    (point,) = parsed(batch([{"at": AT_MS, "values": {}, "bad": {"b": "no answer"}}]))
    assert point.fields == {"bad": "b: no answer"}


def test_what_was_dropped_is_said_with_the_first_frame() -> None:
    first, second = parsed(batch([frame(a=1), frame(AT_MS + 1, a=2)], lost=40))
    assert (first.fields, second.fields) == ({"a": 1.0, "lost": 40}, {"a": 2.0})


def test_numbers_are_floats_on_either_way() -> None:
    quick, slow = parsed(batch([frame(a=3), frame(AT_MS + 1, a=3, text="x")]))
    assert type(quick.fields["a"]) is type(slow.fields["a"]) is float


@pytest.mark.parametrize("name", ["line", "station", "time", "_x", "", "name", "bad", "lost", "attribution"])
def test_a_signal_with_a_name_that_is_taken_has_another(name: str) -> None:
    (point,) = parsed(batch([{"at": AT_MS, "values": {name: 1.5, "b": 2}}], station="s"))
    assert point.fields == {f"data_{name.lstrip('_')}": 1.5, "b": 2.0}


def test_a_signal_comes_before_the_context_of_the_same_name() -> None:
    (point,) = parsed(batch([frame(item=1.5)], owner={"item": "P7", "run": "r1"}))
    assert point.fields == {"item": 1.5, "run": "r1"}


def test_frames_of_one_millisecond_do_not_share_a_timestamp() -> None:
    """The clock stood still, and went back."""
    times = [AT_MS, AT_MS, AT_MS, AT_MS + 1, AT_MS - 1, AT_MS]
    made = batch([frame(at, a=n) for n, at in enumerate(times)])
    stamps = [point.stamp for point in parsed(made)]
    assert len(set(stamps)) == len(times)
    assert {stamp % 1_000_000 for stamp in stamps} == {7}
    assert points(made) == points(made)


def test_batches_of_one_millisecond_do_not_share_a_timestamp() -> None:
    """Each frame that is moved stays on the last digits of its own batch."""
    stamps = [point.stamp for seq in (7, 8) for point in parsed(batch([frame(a=1), frame(a=2)], seq=seq))]
    assert len(set(stamps)) == 4


def test_a_text_that_is_too_long_is_named() -> None:
    (point,) = parsed(batch([frame(a=1, text="x" * 65_536)]))
    assert point.fields == {"a": 1.0, "omitted": "text"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"name":"x","frames":[{}]}', b"\xff"])
def test_a_batch_that_cannot_be_read_has_no_points(body: bytes) -> None:
    one = Record(1, "k-1", TELEMETRY, 1, "receipt", 1, "line-1", "", body, b"{}", 1, "oven")
    assert points(one) == b""


NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(
    [*AWKWARD, "a,b", "a:b", 'a":', "a=b", "n", "_a", "bad"]
)
VALUES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8)
    | st.sampled_from(['",', '":', ':"', ',"a":1', "\\", "=,", "null"])
)  # fmt: skip


@given(
    st.lists(st.dictionaries(NAMES, VALUES, max_size=5), max_size=4),
    st.dictionaries(st.sampled_from(["order", "item"]), VALUES),
)
@example([{"a,": 1.0, "b": 2.0}], {})
@example([{"a:": 1.0}], {})
@example([{"a": "x,", "b": 1}], {})
def test_any_frames_are_lines_that_a_strict_reader_takes(
    told: list[dict[str, Any]], owner: dict[str, Any]
) -> None:
    made = batch([{"at": AT_MS + n, "values": values} for n, values in enumerate(told)], owner=owner)
    found = parsed(made)
    assert len(found) == sum(any(_is_said(one) for one in values.values()) for values in told)


def _is_said(value: Any) -> bool:
    """JSON has no NaN: it is stored as null."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


@given(
    st.dictionaries(
        NAMES, st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False), min_size=1, max_size=9
    )
)
def test_the_quick_way_says_what_the_slow_way_says(values: dict[str, Any]) -> None:
    values = {key: value for key, value in values.items() if _is_said(value)}
    frames = [{"at": AT_MS, "values": values}]
    if not values:
        return
    quick = parsed(batch(frames))[0].fields
    slow = parsed(batch([{"at": AT_MS, "values": {**values, "zz text": "no number"}}]))[0].fields
    assert {**quick, "zz text": "no number"} == slow


def test_the_quick_way_is_taken_for_plain_numbers_and_remembered() -> None:
    _line_telemetry._is_plain.cache_clear()
    for turn in (0.5, -1e-7, 1e300):
        assert parsed(batch([{"at": AT_MS, "values": {f"zone_{n}": n + turn for n in range(1000)}}]))
    known = _line_telemetry._is_plain.cache_info()
    assert (known.hits, known.misses) == (2, 1)
    assert _line_telemetry._is_plain(b'"zon_":,"zon_":', frozenset({"line"}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FarEnd]:
    async with influxd(Path(tmp_path_factory.mktemp("influx"))) as server:
        yield server


async def test_the_real_engine_gives_back_what_was_sampled(engine: FarEnd) -> None:
    values = {"a": 1e20, "b": -1, "c": True, "d": 1e-7, "e": 2**40}
    made = batch([{"at": AT_MS, "values": values}, frame(AT_MS + 1, a=2, text='x "y"')], owner={"run": "r7"})
    assert _influx(engine.port, "POST", "/write?db=edge&precision=ns", points(made))[0] == 204
    first, second = query_influx(engine.port, "SELECT * FROM telemetry")
    assert {key: first[key] for key in values} == values
    assert (second["a"], second["text"], second["name"], second["run"]) == (2, 'x "y"', "oven", "r7")
