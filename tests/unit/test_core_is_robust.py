"""The core against everything that a wire, a person or a broken device can send it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from edge.observation import (
    AGENT,
    DEVICE,
    ORDER,
    TICK,
    DeviceWord,
    Material,
    Observation,
    Quality,
    Stamp,
    Step,
    TestResult,
    Value,
    Verdict,
    WorkOrder,
)
from edge.production.line import Line
from edge.production.scanning import LETTERS, LabelRules
from tests.support.clock import ManualClock
from tests.support.line import Core, label, line, see, station
from tests.support.line import counter as counter_of

huge = st.integers(-(1 << 80), 1 << 80) | st.sampled_from(
    [0, -1, 1 << 16, 1 << 32, 1 << 63, 1 << 64, 10**400]
)
numbers = huge | st.floats() | st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0, 1e300])
odd = st.sampled_from(
    ["", "\x00", "--5", "²", "٣", "1e5", "$", "]C1", "\ud800", "source/", "9" * 5000, "lost", "\U0010ffff"]
)
labels = st.builds(
    lambda letter, body: label(f"{letter} {body}"),
    st.sampled_from(sorted(LETTERS)),
    st.from_regex(r"[0-9A-Z.-]{1,40}", fullmatch=True)
    | st.sampled_from(
        ["WO-1001-10", "WO-1002", "WO-1003", "PAUSE", "DONE", "RESUME", "START", "LOGOUT", "1", "0", "-"]
    ),
)
foreign = st.builds(
    lambda begin, rest: begin + rest,
    st.sampled_from(
        ["]C10104012345678901", "]C100340123456789012340", "(01)04012345678901", "[)>\x1e06\x1d"]
    ),
    st.sampled_from(
        ["21S1", "10L7", "21S1\x1d10L7", "10L7\x1d3050", "0204012345678918375\x1d10L7", "SU1\x1dPP7\x1e\x04"]
    )
    | st.text(max_size=20),
)
texts = st.text() | st.text(alphabet=st.characters()) | odd | labels | foreign
limits = st.none() | st.floats()
steps = st.builds(
    Step, texts, limits, st.none() | texts, limits, limits, st.none() | st.booleans(), st.just("") | texts
)
results = st.builds(
    TestResult,
    texts | st.just(""),
    texts,
    st.none() | st.booleans(),
    st.none() | texts,
    st.none() | texts,
    st.lists(steps, max_size=3).map(tuple),
)
orders = st.builds(
    WorkOrder,
    texts | st.sampled_from(["WO-1001", "WO-7", "WO-7-10"]),
    texts,
    huge,
    st.none() | texts,
    st.none() | texts,
    st.lists(huge | st.sampled_from([10, 20]), max_size=3).map(tuple),
)
spans = huge | st.integers(0, 1 << 40)
devices = st.builds(
    DeviceWord,
    texts | st.just("plc unit 1"),
    st.lists(st.sampled_from(["press.total", "press.state", "nobody"]) | texts, max_size=3).map(tuple),
    texts,
    st.none() | spans,
    spans,
    spans,
    st.just("") | texts,
    st.booleans(),
    st.none() | spans,
    st.booleans(),
)
values: st.SearchStrategy[Value] = st.none() | st.booleans() | numbers | texts | results | orders | devices

SIGNALS = [
    "press.total",
    "press.reject",
    "press.state",
    "gun-1",
    "rig-press",
    TICK,
    AGENT,
    DEVICE,
    ORDER,
    "source/plc",
    "nobody",
    "",
]

times = st.integers(-(1 << 62), 1 << 62)
observations = st.builds(
    Observation,
    st.sampled_from(SIGNALS),
    values,
    times,
    times,
    st.integers(0, 1 << 40),
    st.sampled_from(["b0", "b1", ""]),
    st.sampled_from(Quality),
    st.sampled_from(Stamp),
    st.just("") | texts,
    st.integers(0, 3),
    st.none() | st.lists(st.sampled_from(SIGNALS), max_size=3).map(tuple),
)


@given(st.lists(observations, max_size=12), st.booleans())
def test_the_core_raises_on_nothing(seen: list[Observation], badge_required: bool) -> None:
    """Nor does it name rows that `needs` did not, nor make what no JSON can hold of what JSON can."""
    core = Core(
        line(
            station(),
            station("packer", counter_of("packer", next(iter(station().roles)))),
            badge_required=badge_required,
        )
        if badge_required
        else particular()
    )
    for observation in seen:
        if encodable(observation):
            decision = core.see(observation)
            for event in decision.events:
                assert encodable(event.data)


def particular() -> Line:
    """A line that has written down all that can be: reasons, items, how long a badge holds."""
    rules = LabelRules(items={"04012345678901": "P7", "04012345678918": "STEEL"})
    orders = {
        "WO-1001": WorkOrder("WO-1001", "P7", 100, operations=(10,), materials=(Material("STEEL", 0.5),))
    }
    silent = replace(station(), state_signal=None)
    return replace(
        line(silent), orders=orders, labels=rules, reasons={"scrap": {"0": "burr"}, "downtime": {"0": "jam"}},
        badge_ends_ms=60_000,
    )  # fmt: skip


def encodable(thing: Any) -> bool:
    """What our adapters hand over: JSON has no lone surrogates, nor whole numbers of any length."""
    try:
        return json.decode(json.encode(thing)) is not None
    except (UnicodeEncodeError, OverflowError, ValueError):
        return False


@given(st.lists(observations, max_size=12))
def test_the_same_observations_give_the_same_bytes(seen: list[Observation]) -> None:
    clean = [one for one in seen if encodable(one)]
    once, again = Core(line()), Core(line())
    for observation in clean:
        assert json.encode(once.see(observation)) == json.encode(again.see(observation))
    assert once.rows == again.rows


@given(st.lists(observations, max_size=8))
def test_what_is_refused_changes_no_count_and_no_order(seen: list[Observation]) -> None:
    core = Core(line())
    for observation in seen:
        if not encodable(observation):
            continue
        before, context = core.totals(), core.station().context
        if core.see(observation).outcome.verdict is not Verdict.ACCEPTED:
            assert core.totals() == before
            assert core.station().context == context


HOSTILE: list[Value] = [
    True,
    -1,
    1.5,
    1 << 70,
    10**400,
    float("nan"),
    float("inf"),
    -0.0,
    1e300,
    "",
    "--5",
    "²",
    "٣",
    "-",
    "6\x00",
    TestResult("U1", "final", True),
]


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_the_core_raises_on_no_such_value(signal: str, value: Value) -> None:
    core, clock = Core(line()), ManualClock()
    for _ in range(2):
        core.see(see(clock, signal, value))
    assert all(encodable(event.data) for event in core.events)


def test_a_count_is_the_same_whatever_number_type_carries_it() -> None:
    core, clock = Core(line()), ManualClock()
    for value in (10, 11.0, 12):
        clock.pass_ms(1000)
        core.see(
            Observation("press.total", value, clock.wall_ms(), clock.wall_ms(), clock.mono_ms(), clock.boot)
        )
    assert [count.raw for count in core.counts()] == [10, 11, 12]
