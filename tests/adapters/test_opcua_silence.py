"""The OPC UA source against servers with odd stamps, scan times, queues and numbers: nothing vanishes."""

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from hypothesis import given
from hypothesis import strategies as st

from adapters import opcua
from adapters._opcua.connect import connect
from adapters._opcua.gate import Gate, ServerClock
from adapters._opcua.items import Item
from adapters._opcua.missing import Missing
from adapters._opcua.security import Party
from adapters._opcua.values import Reading
from adapters._opcua.wire import Sample
from edge.contract import Quality, Signal, SourceLost
from edge.observation import OVERFLOWED, Missed
from tests.adapters.opcua_odd_server import OddServer, value
from tests.adapters.opcua_raw_server import RawServer
from tests.adapters.test_opcua_hostile import (
    HASTY,
    collecting,
    counts,
    first_read,
    missed,
    settings,
    signals,
)
from tests.support.intake import MemoryIntake

NOON_MS = int(datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp() * 1000)


def ticks(at_ms: float) -> int:
    return round((at_ms + 11_644_473_600_000) * 10_000)


def bare(raw: object) -> ua.DataValue:
    """A value without any time."""
    return replace(value(raw), SourceTimestamp=None, ServerTimestamp=None)


def frozen(raw: object) -> ua.DataValue:
    """The source's clock stands still; the server's runs."""
    return replace(value(raw), SourceTimestamp=cast(ua.DateTime, datetime(2000, 1, 1, tzinfo=UTC)))


def counter(name: str = "Count") -> Signal[opcua.Address]:
    return replace(signals(name)[0], bits=32)


async def stepped(server: OddServer, *changes: Sequence[tuple[int, Any]]) -> None:
    for number, some in enumerate(changes, 1):
        await server.publish(number, *some)


# --- stamps that say nothing --------------------------------------------------------------------------


def at(number: int, stamp: int | None, server: int | None = None) -> Reading:
    return Reading(number, Quality.GOOD, "", stamp, server)


def test_a_state_of_which_nobody_knows_the_order_is_never_dropped() -> None:
    gate = Gate(window_s=1.0)
    gate.settle(at(6, None), 10.0, 10.1)
    assert not gate.admits(at(6, None), 10.2, is_count=False)  # what was read, once more
    said = [gate.admits(at(one, None), 10.3, is_count=False) for one in (2, 6, 2)]
    assert said == [True, True, True]


def test_where_the_sources_stamps_stand_still_the_servers_tell_the_order() -> None:
    gate = Gate(window_s=1.0)
    gate.settle(at(6, 1, 50), 10.0, 10.1)
    assert not gate.admits(at(5, 1, 40), 10.2)
    assert gate.admits(at(7, 1, 60), 10.2)
    assert gate.admits(at(6, 1, 70), 10.2)


@pytest.mark.parametrize("made", [bare, frozen])
async def test_a_states_changes_right_after_a_read_all_arrive(made: Any) -> None:
    server = OddServer()
    server.values["State"] = made(6)
    async with collecting(server, signals("Count", "State")) as (intake, _):
        await first_read(intake, "press.state")
        await stepped(server, *([(1, made(one))] for one in (6, 2, 6, 4)))
        await intake.until(lambda: 4 in intake.values("press.state"))
        assert intake.values("press.state") == [6, 2, 6, 4]


async def test_a_counter_that_was_dropped_behind_a_read_is_looked_at_again() -> None:
    server = OddServer()
    server.values["Count"] = bare(3)
    async with collecting(server, [counter()], HASTY) as (intake, _):
        await first_read(intake)
        await server.publish(1, (0, bare(3)))
        server.values["Count"] = bare(4)
        await server.publish(2, (0, bare(4)))
        await intake.until(lambda: 4 in counts(intake))
        assert list(Counter(counts(intake))) == [3, 4]


# --- a pace of the server's own -----------------------------------------------------------------------


async def test_what_is_notified_at_the_servers_own_pace_is_read_and_the_subscription_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = OddServer()
    async with collecting(server, signals("Count", "State"), HASTY, publish="200ms") as (intake, task):
        await first_read(intake)
        number = 0
        for since in range(60):
            server.values["Count"] = value(since)
            if since % 50 == 0 or server.requests["CreateMonitoredItems"] > number:
                number = server.requests["CreateMonitoredItems"]
                await server.publish(since + 1, (0, value(since)), (1, value(6)))
            await asyncio.sleep(0.1)
        assert not task.done()
        await intake.until(lambda: 59 in counts(intake))
        assert server.requests["CreateMonitoredItems"] == 2
    said = [one.message for one in caplog.records if "it is read at its `every` instead" in one.message]
    assert len(said) == 1
    assert "press.count" in said[0]
    assert "a scan time or a deadband of its own" in said[0]


async def test_a_node_that_is_never_notified_while_others_are_is_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = OddServer()
    server.values["Silent"] = value(1)
    async with collecting(server, signals("Count", "Silent"), HASTY, publish="200ms") as (intake, task):
        await first_read(intake)
        await server.publish(1, (0, value(0)))
        for one in range(2, 40):
            server.values["Silent"] = value(one)
            await asyncio.sleep(0.1)
        assert not task.done()
        await intake.until(lambda: 39 in intake.values("press.silent"))
        assert missed(intake) == []
    assert (
        sum("press.silent" in one.message and "is never notified" in one.message for one in caplog.records)
        == 1
    )


# --- queues -------------------------------------------------------------------------------------------


def test_that_a_queue_ran_over_is_no_part_of_the_value() -> None:
    over = Reading(20, Quality.UNCERTAIN, OVERFLOWED)
    assert over.same(Reading(20, Quality.GOOD))
    assert Reading(20, Quality.GOOD).same(over)
    assert not over.same(Reading(21, Quality.GOOD))
    assert not over.same(Reading(None, Quality.BAD, "BadSensorFailure"))


async def test_a_newest_value_with_the_overflow_bit_may_stand_still() -> None:
    server = OddServer()
    server.values["Count"] = value(7)
    async with collecting(server, [counter()], HASTY, publish="200ms") as (intake, task):
        await first_read(intake)
        await server.publish(1, (0, value(7, status=0x480)))
        await asyncio.sleep(2.5)
        assert not task.done()
        assert missed(intake) == []
        assert intake.seen[-1].quality is Quality.GOOD
    assert server.requests["CreateMonitoredItems"] == 1


# --- items that are refused together ------------------------------------------------------------------


async def test_where_the_whole_call_is_refused_everything_is_read() -> None:
    server = OddServer()
    server.refused["CreateMonitoredItems"] = StatusCodes.BadTooManyMonitoredItems
    names = [f"N{number}" for number in range(40)]
    server.values |= {name: value(number) for number, name in enumerate(names)}
    async with collecting(server, signals(*names)) as (intake, task):
        await first_read(intake, "press.n39")
        server.values["N39"] = value(77)
        await intake.until(lambda: 77 in intake.values("press.n39"))
        assert not task.done()
    assert server.requests["CreateMonitoredItems"] < 10


# --- the age of what a probe reads --------------------------------------------------------------------


def banded(width: float) -> Signal[opcua.Address]:
    address = opcua.Address.model_validate({"node": "nsu=urn:odd;s=Fill", "server_deadband": width})
    return Signal("oven/fill", address, timedelta(milliseconds=50), table="oven")


async def test_what_the_deadband_withholds_is_not_written_and_more_has_its_own_age() -> None:
    server = OddServer()
    double = ua.VariantType.Double
    server.values["Fill"] = value(50.0, double)
    async with collecting(server, [banded(5.0)], HASTY) as (intake, _):
        await intake.until_sampled(lambda: intake.changed != [])
        await server.publish(1, (0, value(50.0, double)))
        server.values["Fill"] = value(52.0, double)
        await asyncio.sleep(0.5)
        assert {one[1] for one in intake.changed} == {50.0}
        server.values["Fill"] = value(58.0, double)
        await asyncio.sleep(0.3)
        ages = [one[2] for one in intake.changed if one[1] == 58.0]
        assert ages[0] is not None
        assert any(age is not None and age >= 100 for age in ages[1:])


# --- numbers that go backwards ------------------------------------------------------------------------


async def test_a_server_that_numbers_backwards_is_told_once_and_given_up() -> None:
    server = OddServer()
    async with collecting(server, signals("Count")) as (intake, task):
        await first_read(intake)
        sending = asyncio.create_task(stepped_back(server))
        lost = await task
        sending.cancel()
    assert isinstance(lost, SourceLost)
    assert "numbers its messages backwards" in lost.reason
    assert 1 <= len(missed(intake)) <= 2


async def test_what_is_lost_again_and_again_is_told_once_and_then_together() -> None:
    intake = MemoryIntake("press-plc")
    told: list[Missed] = []
    missing = Missing(intake, lambda some: told.extend(cast(Missed, one.value) for one in some))
    for _ in range(342):
        missing.messages(2, time.monotonic() - 5)
    assert [one.detail.split()[0] for one in told] == ["2"]
    missing.settle()
    missing.settle()
    assert [one.detail.split()[0] for one in told] == ["2", "682"]
    assert told[1].until_ms - told[1].since_ms >= 4_990


async def test_a_full_server_may_be_full_of_our_own_session_and_says_how_long(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    server = RevisingServer()
    url = await server.start()
    try:
        for _ in range(2):
            async with connect(settings(url), Party("press-plc", tmp_path, "line")):
                pass
        server.refused["CreateSession"] = StatusCodes.BadTooManySessions
        with pytest.raises(SourceLost, match="our own session of before, which ends by itself after 60 s"):
            async with connect(settings(url), Party("press-plc", tmp_path, "line")):
                pass
    finally:
        await server.stop()
    said = [one.message for one in caplog.records if "a session that was lost for 60 s" in one.message]
    assert len(said) == 1
    assert "though 10 s were asked for" in said[0]


class RevisingServer(RawServer):
    """Keeps every session for a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.changed["CreateSession"] = _of_a_minute


def _of_a_minute(body: bytes) -> bytes:
    return body.replace(struct.pack("<d", 10_000.0), struct.pack("<d", 60_000.0), 1)


async def stepped_back(server: OddServer) -> None:
    for number in range(1_000, 0, -100):
        await server.publish(number, (0, value(number)))


# --- the server's clock -------------------------------------------------------------------------------


def there(at_ms: float) -> Sample:
    return Sample(ticks(at_ms), kind=13)


@pytest.mark.parametrize("step_ms", [-8_000, -3_000, 3_000, 8_000])
def test_a_clock_that_was_set_is_believed_at_the_next_look(step_ms: int) -> None:
    clock = ServerClock()
    for second in range(8):
        clock.measured(second * 1000, second * 1000 + 4, there(NOON_MS + second * 1000))
    clock.measured(9_000, 9_004, there(NOON_MS + 9_000 + step_ms))
    age_ms = clock.age_ms(ticks(NOON_MS + 9_500 + step_ms), 9_600)
    assert age_ms is not None
    assert abs(age_ms - 100) <= 4


def test_a_server_that_was_busy_does_not_look_like_a_clock_that_was_set() -> None:
    clock = ServerClock()
    for second in range(8):
        clock.measured(second * 1000, second * 1000 + 4, there(NOON_MS + second * 1000))
    clock.measured(9_000, 12_900, there(NOON_MS + 9_000))
    assert clock.age_ms(ticks(NOON_MS + 13_000), 13_100) in range(95, 106)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["value", "value", "value", "look", "read"]),
            st.integers(1, 400), st.integers(0, 3_000), st.floats(0.0, 1.0),
        ),
        min_size=1, max_size=60,
    )
)  # fmt: skip
def test_what_a_device_dates_in_order_is_dated_in_order_however_busy_it_is(
    steps: list[tuple[str, int, int, float]],
) -> None:
    """A look at the clock takes up to 3 s, and its answer is made at any time; a message is as late."""
    clock, item = ServerClock(), Item(0, signals("Count", table="oven")[0], 0)
    made_ms = now_ms = 1_000
    told: list[int] = []
    clock.measured(now_ms, now_ms, there(NOON_MS + now_ms))
    for what, passed_ms, took_ms, share in steps:
        now_ms += passed_ms
        if what == "look":
            before_ms, now_ms = now_ms, now_ms + took_ms
            clock.measured(before_ms, now_ms, there(NOON_MS + before_ms + took_ms * share))
            continue
        made_ms = max(made_ms + 1, now_ms - took_ms)
        now_ms = max(now_ms, made_ms)
        stamp = ticks(NOON_MS + made_ms)
        if what == "read":
            item.gate.settle(at(made_ms, stamp), now_ms / 1000, now_ms / 1000)
        elif not item.gate.admits(at(made_ms, stamp), now_ms / 1000, is_dated=True):
            continue
        age_ms = item.aged_ms(stamp, clock.age_ms(stamp, now_ms), now_ms)
        told.append(now_ms if age_ms is None else now_ms - age_ms)
    assert told == sorted(told)
