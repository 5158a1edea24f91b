"""The parts of the OPC UA source that need no server: parsing, ordering, clocks, bounds, errors, settings."""

from datetime import UTC, datetime
from typing import cast

import pytest
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._opcua.gate import Gate, ServerClock
from adapters._opcua.nodes import UnknownNamespace, parse_node
from adapters._opcua.values import Reading
from adapters._opcua.wire import Sample
from adapters.opcua import Address
from edge.contract import Quality

NOON_MS = int(datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp() * 1000)
NOON = (NOON_MS + 11_644_473_600_000) * 10_000
"""In ticks of 100 ns since 1601."""


def at(seconds: float) -> int:
    return NOON + round(seconds * 10_000_000)


# --- node ids ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i=2258", "i=2258"),
        ("ns=2;s=Count.Total", "ns=2;s=Count.Total"),
        ('ns=3;s="DB1"."Count;of=parts"', 'ns=3;s="DB1"."Count;of=parts"'),
        ("nsu=urn:acme:press;s=Count", "ns=1;s=Count"),
        ("nsu=urn:odd%3Bname%25;i=7", "ns=2;i=7"),
        ("g=09087e75-8e5e-499b-954f-f2a9603db28a", "g=09087e75-8e5e-499b-954f-f2a9603db28a"),
        ("ns=1;b=M/RbKBsRVkePCePcx24oRA==", "ns=1;b=M/RbKBsRVkePCePcx24oRA=="),
    ],
)
def test_a_node_id_as_written_is_the_one_on_the_wire(text: str, expected: str) -> None:
    node = parse_node(text).on(["http://opcfoundation.org/UA/", "urn:acme:press", "urn:odd;name%"])
    assert node.to_string() == expected
    assert nodeid_from_binary(Buffer(nodeid_to_binary(node))) == node


@pytest.mark.parametrize(
    "text",
    ["", "Count", "s=", "ns=2", "ns=70000;i=1", "i=-1", "i=4294967296", "i=x", "g=1", "b=*", "b=é", "x=1;i=5",
     "nsu=;s=Count", "ns=1;nsu=urn:a;s=b", "s=" + "x" * 5000],
)  # fmt: skip
def test_what_is_no_node_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its words are the parser's own
        parse_node(text)
    with pytest.raises(ValidationError):
        Address(node=text)


@given(st.text() | st.from_regex(r"((nsu|ns)=[^;]*;)?[isgb]=.*"))
def test_any_text_is_a_node_that_can_be_sent_or_a_value_error(text: str) -> None:
    try:
        name = parse_node(text)
    except ValueError:
        return
    node = name.on([name.uri or "urn:only"])
    assert nodeid_from_binary(Buffer(nodeid_to_binary(node))) == node


def test_an_unknown_namespace_is_named_with_those_that_exist() -> None:
    with pytest.raises(UnknownNamespace, match=r"urn:a.*urn:b"):
        parse_node("nsu=urn:a;s=x").on(["http://opcfoundation.org/UA/", "urn:b"])


# --- the server's clock -----------------------------------------------------------------------------


def server_time(seconds: float, stamp: int | None = None) -> Sample:
    return Sample(at(seconds), source=stamp, kind=13)


def test_what_is_no_time_is_not_measured() -> None:
    clock = ServerClock()
    for odd in (Sample(None), Sample(NOON, kind=9), Sample("noon", kind=12)):
        clock.measured(NOON_MS, NOON_MS, odd)
    assert clock.age_ms(NOON, NOON_MS) is None


def test_a_time_beside_the_servers_is_used_only_where_it_is_near() -> None:
    clock = ServerClock()
    clock.measured(NOON_MS, NOON_MS, server_time(0, stamp=at(10**9)))
    assert clock.age_ms(at(1), NOON_MS + 1000) == 0
    clock.measured(NOON_MS, NOON_MS, server_time(0, stamp=at(0.7)))
    assert clock.age_ms(at(1), NOON_MS + 1000) == 700


def test_a_server_seven_minutes_slow_is_corrected() -> None:
    clock = ServerClock()
    clock.measured(NOON_MS, NOON_MS + 20, server_time(-420))
    assert clock.age_ms(at(-420 + 1), NOON_MS + 1500) == 490


def test_the_least_offset_wins_for_the_servers_time_may_be_a_second_old() -> None:
    clock = ServerClock()
    for age in (0.9, 0.1, 0.5):
        clock.measured(NOON_MS, NOON_MS, server_time(-age))
    assert clock.age_ms(at(2), NOON_MS + 5000) == 2900


def test_a_time_after_now_is_now_and_an_implausible_one_is_none() -> None:
    clock = ServerClock()
    assert clock.age_ms(NOON, NOON_MS) is None
    clock.measured(NOON_MS, NOON_MS, server_time(0))
    assert clock.age_ms(at(3), NOON_MS) == 0
    assert clock.age_ms(at(-11), NOON_MS) is None
    assert clock.age_ms(at(11), NOON_MS) is None
    assert clock.age_ms(None, NOON_MS) is None


def test_a_server_that_was_busy_when_it_was_asked_moves_no_time() -> None:
    clock = ServerClock()
    for _ in range(5):
        clock.measured(NOON_MS, NOON_MS + 4, server_time(0))
    for took_ms in (900, 700, 800):
        clock.measured(NOON_MS, NOON_MS + took_ms, server_time(took_ms / 1000))
    assert clock.age_ms(at(-1), NOON_MS) == 998
    for took_ms in (900, 700, 800):
        clock.measured(NOON_MS, NOON_MS + took_ms, server_time(took_ms / 1000))
    assert 998 <= cast(int, clock.age_ms(at(-1), NOON_MS)) <= 1_060


def test_how_long_ago_it_was_may_be_long_where_that_is_wanted() -> None:
    clock = ServerClock()
    assert clock.ago_ms(NOON, NOON_MS) is None
    clock.measured(NOON_MS, NOON_MS, server_time(0))
    assert clock.ago_ms(at(-60), NOON_MS) == 60_000
    assert clock.ago_ms(at(3), NOON_MS) == 0
    assert clock.ago_ms(None, NOON_MS) is None


def test_a_clock_that_was_set_back_is_followed_after_a_few_measurements() -> None:
    clock = ServerClock()
    clock.measured(NOON_MS, NOON_MS, server_time(0))
    for _ in range(5):
        clock.measured(NOON_MS, NOON_MS, server_time(-3600))
    assert clock.age_ms(at(-3600), NOON_MS) == 0


# --- order --------------------------------------------------------------------------------------------


def good(value: int, stamp: int | None) -> Reading:
    return Reading(value, Quality.GOOD, "", stamp)


def test_an_older_notification_behind_a_read_is_dropped_for_a_while_only() -> None:
    gate = Gate(window_s=1.0)
    assert gate.settle(good(10, at(5)), 100.0, 100.1) == good(10, at(5))
    assert not gate.admits(good(9, at(4)), 100.2)
    assert not gate.admits(good(10, at(5)), 100.2)
    assert gate.admits(good(11, at(6)), 100.3)
    assert not gate.admits(good(9, None), 100.4)
    assert gate.admits(good(12, at(-3600)), 101.2)


def test_an_older_value_with_a_time_of_its_own_passes_but_not_the_one_that_was_read() -> None:
    gate = Gate(window_s=1.0)
    gate.settle(good(10, at(5)), 100.0, 100.1)
    assert gate.admits(good(9, at(4)), 100.2, is_dated=True)
    assert not gate.admits(good(10, at(5)), 100.2, is_dated=True)
    assert gate.admits(good(11, at(6)), 100.2, is_dated=True)
    assert not gate.admits(good(9, at(4)), 100.3)


def test_a_difference_that_says_nothing_is_forgotten() -> None:
    gate = Gate()
    assert not gate.agrees(good(6, None), 10.0)
    assert gate.is_doubted
    gate.trusts()
    assert gate.doubted_for_s(20.0) == 0.0


def test_a_later_notification_that_overtook_the_answer_is_the_answer() -> None:
    gate = Gate(window_s=1.0)
    assert gate.admits(good(11, at(6)), 100.05)
    assert gate.settle(good(10, at(5)), 100.0, 100.1) == good(11, at(6))


def test_a_read_after_the_clock_was_set_back_is_believed() -> None:
    gate = Gate(window_s=1.0)
    assert gate.admits(good(11, at(6)), 90.0)
    assert gate.settle(good(12, at(-3600)), 100.0, 100.1) == good(12, at(-3600))


@given(st.lists(st.sampled_from(["part", "publish", "read", "read late"]), max_size=60), st.booleans())
def test_a_counter_never_goes_back_whatever_overtakes_what(steps: list[str], stamped: bool) -> None:
    """A server makes parts, samples them into a queue, and answers reads; the gate sees what arrives."""
    gate, now, count = Gate(window_s=1.0), 100.0, 0
    queue: list[Reading] = []
    handed_on: list[int] = []
    for step in steps:
        now += 0.01
        here = at(now) if stamped else None
        if step == "part":
            count += 1
            queue.append(good(count, here))
        elif step == "publish":
            handed_on += [cast(int, one.value) for one in queue if gate.admits(one, now)]
            queue.clear()
        else:
            last = queue[-1].stamp if queue else here
            read = good(count, last)
            if step == "read late" and stamped:
                handed_on += [cast(int, one.value) for one in queue if gate.admits(one, now)]
                queue.clear()
            handed_on.append(cast(int, gate.settle(read, now - 0.005, now).value))
    assert handed_on == sorted(handed_on)


def test_doubt_begins_with_a_difference_and_ends_with_a_notification() -> None:
    gate = Gate(window_s=1.0)
    assert not gate.agrees(good(6, None), 10.0)
    assert gate.admits(good(6, at(0)), 10.1)
    assert gate.agrees(good(6, at(99)), 12.0)
    assert not gate.agrees(good(7, None), 14.0)
    assert not gate.agrees(good(8, None), 16.0)
    assert gate.doubted_for_s(16.0) == 2.0
    assert gate.admits(good(8, at(3)), 16.1)
    assert gate.doubted_for_s(99.0) == 0.0


def test_floats_within_a_servers_deadband_are_near_and_counters_are_not() -> None:
    assert Reading(20.5, Quality.GOOD).near(Reading(20.6, Quality.GOOD))
    assert not Reading(20.5, Quality.GOOD).near(Reading(22.0, Quality.GOOD))
    assert not good(1000, None).near(good(1001, None))


def test_what_is_watched_anew_is_not_held_against_what_was_said_before() -> None:
    gate = Gate(window_s=1.0)
    assert gate.admits(good(6, at(0)), 10.0)
    assert not gate.agrees(good(7, None), 12.0)
    gate.begin_anew()
    assert gate.doubted_for_s(99.0) == 0.0
    assert gate.notified is None
