"""Publish requests, sequence numbers and paces: decisions by table, the rest behind a hand-written link."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from asyncua.ua.status_codes import StatusCodes
from hypothesis import given
from hypothesis import strategies as st

from adapters._opcua.link import Fault, Garbled, Subscribed
from adapters._opcua.poll import Schedule
from adapters._opcua.publish import Arrival, Heard, Lag, Order, Publisher, Throttle
from adapters._opcua.turns import FULL_AGAIN_S, Allowance, Vacancy, turn
from adapters._opcua.wire import Published, Sample
from edge.contract import SourceLost

LAST = 2**32 - 1

# --- sequence numbers -------------------------------------------------------------------------------


def test_numbers_in_their_order_miss_nothing() -> None:
    order = Order()
    assert [order.arrived(number, False) for number in (1, 2, 3)] == [Arrival(True)] * 3
    assert order.arrived(4, True) == Arrival(True)
    assert order.arrived(4, False) == Arrival(True)


def test_a_gap_names_what_is_missing_also_at_the_first_message_and_at_a_keep_alive() -> None:
    order = Order()
    assert order.arrived(3, False) == Arrival(True, (1, 2))
    assert order.arrived(6, True) == Arrival(True, (4, 5))
    assert order.arrived(6, False) == Arrival(True)


def test_a_number_that_came_or_was_asked_for_again_is_a_repetition() -> None:
    order = Order()
    order.arrived(1, False)
    order.arrived(4, False)
    assert [order.arrived(number, False).is_new for number in (1, 2, 3, 4, 5)] == [False] * 4 + [True]


def test_a_keep_alive_with_the_last_number_or_none_is_let_pass() -> None:
    order = Order()
    order.arrived(1, False)
    assert order.arrived(1, True) == order.arrived(0, True) == Arrival(True)
    assert order.arrived(2, False) == Arrival(True)


def test_the_numbers_turn_over_to_one() -> None:
    order = Order()
    order.arrived(LAST - 2, False)
    assert order.arrived(1, False) == Arrival(True, (LAST - 1, LAST))
    assert order.arrived(2, False) == Arrival(True)


def test_a_server_that_counts_anew_is_followed() -> None:
    order = Order()
    for number in range(1, 200):
        order.arrived(number, False)
    assert order.arrived(1, False) == Arrival(True, has_restarted=True)
    assert order.arrived(2, False) == Arrival(True)
    assert order.arrived(0, False).has_restarted


@given(st.integers(1, 500), st.sets(st.integers(1, 60)))
def test_what_was_lost_on_the_way_is_what_is_missing(start: int, lost: set[int]) -> None:
    order, missing, came = Order(), list[int](), list[int]()
    for number in range(1, start):
        order.arrived(number, False)
    for number in (one for one in range(start, start + 60) if one - start + 1 not in lost):
        missing += order.arrived(number, False).missing
        came.append(number)
    assert sorted(missing + came) == list(range(start, (came or [start - 1])[-1] + 1))


@given(st.lists(st.tuples(st.integers(0, LAST), st.booleans())))
def test_any_numbers_are_followed_with_bounded_effort(numbers: list[tuple[int, bool]]) -> None:
    order = Order()
    for number, is_keep_alive in numbers:
        missing = order.arrived(number, is_keep_alive).missing
        assert len(missing) <= 640
        assert all(1 <= one <= LAST for one in missing)


# --- paces --------------------------------------------------------------------------------------------


def test_a_flood_of_answers_is_slowed_down_and_a_burst_is_not() -> None:
    throttle, now_s, waited_s = Throttle(0.2), 100.0, 0.0
    assert [throttle.wait_s(now_s) for _ in range(15)] == [0.0] * 15
    for _ in range(1000):
        wait_s = throttle.wait_s(now_s)
        now_s, waited_s = now_s + wait_s, waited_s + wait_s
    assert 38 < waited_s < 41  # 25 a second


def test_a_server_at_its_pace_never_waits() -> None:
    throttle = Throttle(0.2)
    assert not any(throttle.wait_s(step * 0.2) for step in range(1000))


@given(st.lists(st.floats(0.0, 40.0), max_size=200))
def test_never_more_than_ten_sessions_in_any_minute(pauses_s: list[float]) -> None:
    allowance, now_s, asked = Allowance(), 50.0, list[float]()
    for pause_s in pauses_s:
        assert allowance.wait_s(now_s) <= 10.0 + 1e-6
        now_s += allowance.wait_s(now_s)
        allowance.spend(now_s)
        asked.append(now_s)
        now_s += pause_s
    assert all(later - early >= 60.0 - 1e-6 for early, later in zip(asked, asked[10:], strict=False))


def test_who_is_in_a_hurry_gets_four_sessions_at_once_and_then_one_each_ten_seconds() -> None:
    allowance, now_s, asked = Allowance(), 50.0, list[float]()
    for _ in range(10):
        now_s += allowance.wait_s(now_s)
        allowance.spend(now_s)
        asked.append(now_s - 50.0)
    assert asked == [0.0, 0.0, 0.0, 0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


def test_who_waits_for_a_session_waits_no_longer_than_the_refill() -> None:
    allowance = Allowance()
    for _ in range(4):
        assert allowance.wait_s(7.0) == 0.0
        allowance.spend(7.0)
    assert 0 < allowance.wait_s(7.0) <= 10.0


def test_a_server_that_is_full_of_our_lost_session_is_asked_when_that_has_ended() -> None:
    vacancy = Vacancy()
    assert vacancy.wait_s(50.0) == 0.0
    vacancy.left_behind(heard_s=46.0, kept_s=8.0)
    assert vacancy.wait_s(50.0) == 0.0, "it may have been started anew"
    vacancy.full(50.0)
    assert vacancy.wait_s(50.0) == 4.5
    vacancy.full(54.5)
    assert vacancy.wait_s(54.5) == FULL_AGAIN_S
    vacancy.left_behind(heard_s=60.0, kept_s=3600.0)
    vacancy.full(61.0)
    assert vacancy.wait_s(61.0) == 6.0


async def test_one_session_of_a_server_at_a_time() -> None:
    inside = 0
    seen: list[int] = []

    async def connect(server: str) -> None:
        nonlocal inside
        async with turn(server).taken():
            inside += 1
            seen.append(inside)
            await asyncio.sleep(0.005)
            inside -= 1

    await asyncio.gather(*(connect("plc:4840") for _ in range(5)))
    assert seen == [1] * 5
    seen.clear()
    await asyncio.gather(*(connect(f"plc-{number}:4840") for number in range(5)))
    assert max(seen) == 5


def test_a_schedule_does_not_drift_and_leaves_out_what_it_missed() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.put("fast", 0.25, 10.0)
    schedule.put("slow", 1.0, 10.0)
    schedule.put("also fast", 0.25, 10.1)
    assert sorted(schedule.due(10.0)) == ["also fast", "fast", "slow"]
    assert schedule.wait_s(10.0) == 0.25
    assert schedule.due(10.2) == []
    assert schedule.due(10.27) == ["fast", "also fast"]
    assert schedule.wait_s(10.27) == pytest.approx(0.23)
    assert sorted(schedule.due(14.6)) == ["also fast", "fast", "slow"]
    assert schedule.wait_s(14.6) == pytest.approx(0.15)
    schedule.drop("fast")
    assert schedule.due(14.75) == ["also fast"]


def test_an_empty_schedule_waits_for_ever() -> None:
    schedule: Schedule[str] = Schedule()
    assert schedule.wait_s(5.0) is None
    schedule.put("a", 0.0, 5.0)
    assert schedule.due(5.0) == ["a"]
    assert (schedule.wait_s(5.0) or 0) > 0


# --- the publisher ------------------------------------------------------------------------------------


def message(number: int, *values: int, subscription: int = 7) -> Published:
    changes = [(0, Sample(value, kind=7)) for value in values]
    return Published(subscription, number, None, False, (), (), changes, None)


class ScriptedLink:
    """Answers publish requests with what the test sends."""

    def __init__(self) -> None:
        self.requests: list[list[int]] = []
        """Sequence numbers acknowledged with each."""
        self.waiting: asyncio.Queue[Published | Fault | Garbled] = asyncio.Queue()
        self.kept: dict[int, Published] = {}
        self.asked_again: list[int] = []

    def lost(self, reason: str) -> SourceLost:
        return SourceLost("plc", reason)

    async def publish(self, subscription: int, acknowledged: Sequence[int]) -> bytes:
        assert subscription == 7
        self.requests.append(list(acknowledged))
        answer = await self.waiting.get()
        if isinstance(answer, Fault):
            raise answer
        self._made = getattr(self, "_made", {})
        key = str(len(self._made)).encode()
        self._made[key] = answer
        return key

    def published(self, body: bytes) -> Published:
        if isinstance(self._made[body], Garbled):
            raise self._made[body]
        return self._made[body]  # type: ignore[no-any-return]

    async def republish(self, subscription: int, number: int) -> Published | None:
        self.asked_again.append(number)
        await asyncio.sleep(0)
        return self.kept.get(number)


class Listener:
    def __init__(self) -> None:
        self.values: list[object] = []
        self.missed: list[int] = []
        self.unread = 0

    def heard(self) -> Heard:
        return Heard(self.message, self.lost, self.garbled)

    def garbled(self) -> None:
        self.unread += 1

    def message(self, published: Published) -> None:
        self.values += [sample.raw for _, sample in published.changes]

    def lost(self, messages: int, since_s: float) -> None:
        assert since_s <= time.monotonic()
        self.missed.append(messages)


@asynccontextmanager
async def publishing(
    publish_s: float = 0.1,
) -> AsyncIterator[tuple[ScriptedLink, Publisher, Listener]]:
    link, listener = ScriptedLink(), Listener()
    publisher = Publisher(
        link, Subscribed(7, publish_s, 1.0), Heard(listener.message, listener.lost, listener.garbled)
    )
    async with asyncio.timeout(10):
        task = asyncio.create_task(publisher.run())
        try:
            yield link, publisher, listener
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


async def test_several_requests_are_out_and_what_comes_stays_in_order() -> None:
    async with publishing() as (link, publisher, listener):
        await until(lambda: len(link.requests) == publisher.wanted)
        assert publisher.wanted == 3
        for number in range(1, 40):
            link.waiting.put_nowait(message(number, number))
        await until(lambda: len(listener.values) == 39)
        assert listener.values == list(range(1, 40))
        assert not any(link.requests)


async def test_only_what_is_on_disk_is_acknowledged_and_once() -> None:
    async with publishing() as (link, publisher, listener):
        link.waiting.put_nowait(message(1, 10))
        await until(lambda: listener.values == [10])
        publisher.acknowledge([1])
        for number in range(2, 9):
            link.waiting.put_nowait(message(number, number))
        await until(lambda: len(listener.values) == 8)
        assert [numbers for numbers in link.requests if numbers] == [[1]]


async def test_what_is_missing_is_asked_for_once_more_and_comes_before_what_followed() -> None:
    async with publishing() as (link, _, listener):
        link.kept = {2: message(2, 20), 3: message(3, 30)}
        for published in (message(1, 10), message(4, 40), message(5, 50)):
            link.waiting.put_nowait(published)
        await until(lambda: len(listener.values) == 5)
        assert listener.values == [10, 20, 30, 40, 50]
        assert link.asked_again == [2, 3]
        assert listener.missed == []


async def test_what_the_server_has_no_longer_is_told() -> None:
    async with publishing() as (link, _, listener):
        link.kept = {3: message(3, 30)}
        for published in (message(1, 10), message(4, 40), message(90)):
            link.waiting.put_nowait(published)
        await until(lambda: len(listener.missed) == 2)
        assert listener.values == [10, 30, 40]
        assert listener.missed == [1, 85]
        assert len(link.asked_again) == 2 + 64


async def test_what_comes_twice_is_told_once_and_another_subscriptions_never() -> None:
    async with publishing() as (link, _, listener):
        for published in (message(1, 10), message(1, 10), message(2, 99, subscription=8), message(2, 20)):
            link.waiting.put_nowait(published)
        await until(lambda: 20 in listener.values)
        assert listener.values == [10, 20]


async def test_while_the_journal_is_slow_no_more_is_asked_for_and_that_is_no_silence() -> None:
    async with publishing() as (link, publisher, listener):
        await until(lambda: len(link.requests) == publisher.wanted)
        publisher.hold(True)
        for number in range(1, 20):
            link.waiting.put_nowait(message(number, number))
        await until(lambda: len(listener.values) == publisher.wanted)
        await asyncio.sleep(0.05)
        assert len(link.requests) == publisher.wanted
        assert publisher.silent_s() == 0.0
        assert publisher.lag is Lag.HELD
        publisher.hold(False)
        await until(lambda: len(listener.values) == 19)


async def test_what_waits_here_or_at_the_server_is_not_the_servers_silence() -> None:
    async with publishing() as (link, publisher, listener):
        await until(lambda: publisher.lag is Lag.NONE)
        assert len(link.requests) == publisher.wanted
        link.waiting.put_nowait(message(1, 10)._replace(more=True))
        await until(lambda: listener.values == [10])
        assert publisher.lag is Lag.BEHIND
        link.waiting.put_nowait(message(2, 20))
        await until(lambda: listener.values == [10, 20])
        await until(lambda: publisher.lag is Lag.NONE)
        for number in range(3, 40):
            link.waiting.put_nowait(message(number, number))
        await until(lambda: len(listener.values) > 25)
        assert publisher.lag is Lag.BEHIND


async def test_a_message_that_cannot_be_read_is_said_and_then_missing() -> None:
    async with publishing() as (link, _, listener):
        for published in (message(1, 10), Garbled("plc", "no value"), message(3, 30)):
            link.waiting.put_nowait(published)
        await until(lambda: listener.values == [10, 30])
        assert (listener.unread, listener.missed, link.asked_again) == (1, [1], [2])


async def test_a_server_that_takes_fewer_requests_gets_fewer() -> None:
    too_many = Fault("plc", "too many", StatusCodes.BadTooManyPublishRequests)
    async with publishing(0.01) as (link, publisher, listener):
        wanted = publisher.wanted
        for _ in range(wanted + 3):
            link.waiting.put_nowait(too_many)
        await until(link.waiting.empty)
        assert publisher.wanted == 1
        link.waiting.put_nowait(message(1, 10))
        await until(lambda: listener.values == [10])


async def test_a_subscription_that_the_server_does_not_know_is_lost() -> None:
    link, listener = ScriptedLink(), Listener()
    publisher = Publisher(
        link, Subscribed(7, 0.1, 1.0), Heard(listener.message, listener.lost, listener.garbled)
    )
    link.waiting.put_nowait(
        Fault("plc", "no subscription (BadNoSubscription)", StatusCodes.BadNoSubscription)
    )
    with pytest.raises(ExceptionGroup) as raised:
        await publisher.run()
    assert raised.group_contains(SourceLost, match="BadNoSubscription")
