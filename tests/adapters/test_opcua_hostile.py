"""The OPC UA source against a server that misbehaves on command: lost, doubled and endless messages."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from adapters import opcua
from adapters._opcua.client import GuardedClient
from adapters._opcua.connect import connect
from adapters._opcua.items import Item
from adapters._opcua.security import Party
from adapters._opcua.session import Pace, Plan, Session
from adapters._opcua.turns import FULL_AGAIN_S, turn
from edge.contract import Quality, Signal, SourceError, SourceLost, SourceRefused
from edge.observation import AGENT, Missed
from tests.adapters.opcua_odd_server import OddServer, nonsense, value
from tests.support.intake import MemoryIntake

CALM = Pace(probe_s=60, mend_s=60)
"""The test wants to see what is notified, not what is read."""


def settings(url: str, **more: object) -> opcua.Settings:
    usual = {"type": "opcua", "endpoint": url, "publish": "50ms", "security": "None"}
    return opcua.Settings.model_validate(usual | more)


def signals(*names: str, table: str = "") -> list[Signal[opcua.Address]]:
    return [
        Signal(
            f"{table}/{name.lower()}" if table else f"press.{name.lower()}",
            opcua.Address(node=f"nsu=urn:odd;s={name}"), timedelta(milliseconds=50), table=table,
        )
        for name in names
    ]  # fmt: skip


async def ended(
    chosen: opcua.Settings, watched: list[Signal[opcua.Address]], intake: MemoryIntake, pace: Pace
) -> SourceError:
    try:
        async with connect(chosen, Party(intake.name, intake.data, intake.line)) as (link, _):
            plan = Plan(chosen.publish.total_seconds(), chosen.subscribe)
            await Session(link, watched, intake, plan, pace).run()
    except SourceError as error:
        return error
    raise AssertionError("a source never returns")


@asynccontextmanager
async def collecting(
    server: OddServer,
    watched: list[Signal[opcua.Address]],
    pace: Pace = CALM,
    *,
    intake: MemoryIntake | None = None,
    **more: object,
) -> AsyncIterator[tuple[MemoryIntake, asyncio.Task[SourceError]]]:
    intake = intake or MemoryIntake("press-plc")
    url = await server.start()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(ended(settings(url, **more), watched, intake, pace))
        try:
            yield intake, task
        finally:
            task.cancel()
            await server.stop()


def missed(intake: MemoryIntake) -> list[Missed]:
    return [one.value for one in intake.seen if one.signal == AGENT and isinstance(one.value, Missed)]


def counts(intake: MemoryIntake) -> Sequence[object]:
    return intake.values("press.count")


async def a_millisecond_later() -> None:
    """What is stamped from now on is stamped later than what was before."""
    since_ms = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == since_ms:
        await asyncio.sleep(0)


async def asks_again(server: OddServer, times: int) -> None:
    """Keep-alives, until the client has asked so often after each of them, with what it acknowledges then."""
    asked = server.requests["Publish"]
    for _ in range(times):
        await server.publish(2)
    async with asyncio.timeout(10):
        while server.requests["Publish"] < asked + times:
            await asyncio.sleep(0.005)


async def first_read(intake: MemoryIntake, signal: str = "press.count") -> None:
    await intake.until(lambda: intake.values(signal) != [])


# --- sequence -----------------------------------------------------------------------------------------


async def test_a_lost_message_is_fetched_again_and_keeps_its_place() -> None:
    server = OddServer()
    async with collecting(server, signals("Count", "State")) as (intake, _):
        await first_read(intake)
        await a_millisecond_later()
        state = server.handle("State")
        server.kept[2] = server.message(2, [(state, value(7)), (state, value(8))])
        await server.publish(1, (state, value(5)))
        await server.publish(3, (state, value(9)))
        await intake.until(lambda: 9 in intake.values("press.state"))
        assert intake.values("press.state") == [6, 5, 7, 8, 9]
        assert server.republished == [2]
        assert missed(intake) == []


async def test_a_message_that_is_gone_is_told_and_everything_is_read() -> None:
    server = OddServer()
    async with collecting(server, signals("Count", "State")) as (intake, _):
        await first_read(intake)
        count = server.handle("Count")
        await server.publish(1, (count, value(1)))
        server.values["State"] = value(4)
        server.values["Count"] = value(41)
        await server.publish(4, (count, value(40)))
        await intake.until(lambda: 41 in counts(intake) and 4 in intake.values("press.state"))
        (told,) = missed(intake)
    assert (told.cause, told.subject) == ("notifications-lost", "press-plc")
    assert "2 of its notifications" in told.detail
    assert 0 <= told.until_ms - told.since_ms < 5_000
    assert counts(intake) == [0, 1, 40, 41]


async def test_a_keep_alive_that_is_ahead_tells_of_a_lost_message_too() -> None:
    server = OddServer()
    async with collecting(server, signals("Count")) as (intake, _):
        await first_read(intake)
        server.kept[1] = server.message(1, [(server.handle("Count"), value(5))])
        await server.publish(2)
        await intake.until(lambda: 5 in counts(intake))
        assert server.republished == [1]


async def test_only_what_is_recorded_is_acknowledged() -> None:
    server = OddServer()
    async with collecting(server, signals("Count")) as (intake, _):
        await first_read(intake)
        count = server.handle("Count")
        intake.failing = True
        await server.publish(1, (count, value(1)))
        await asks_again(server, 5)
        assert server.acknowledged == []
        server.values["Count"] = value(2)
        intake.failing = False
        await server.publish(2, (count, value(2)))
        await intake.until(lambda: 2 in counts(intake))
        async with asyncio.timeout(10):
            while len(server.acknowledged) < 2:
                await server.publish(3)
        assert server.acknowledged == [1, 2]


async def test_what_nobody_asked_for_is_ignored() -> None:
    server = OddServer()
    async with collecting(server, signals("Count")) as (intake, task):
        await first_read(intake)
        await server.publish(1, (4_000_000_000, value(9)), (1, value(9)))
        await server.publish(1, (0, value(9)), number=5)
        await server.publish(2, (0, value(3)))
        await intake.until(lambda: 3 in counts(intake))
        assert counts(intake) == [0, 3]
        assert not task.done()


# --- overflow -----------------------------------------------------------------------------------------


async def test_what_ran_over_is_told_once_a_burst_and_a_counter_lost_nothing() -> None:
    server = OddServer()
    server.values |= {f"V{number}": value(0) for number in range(5)}
    watched = [*signals("Count"), *signals(*(f"V{number}" for number in range(5)), table="oven")]
    pace = Pace(probe_s=60, mend_s=60, whole_s=0.1)
    async with collecting(server, watched, pace) as (intake, _):
        await first_read(intake)
        await server.publish(1, *((server.handle(f"V{number}"), value(1)) for number in range(5)))
        await intake.until_sampled(lambda: ("oven/v4", 1) in [one[:2] for one in intake.changed])
        await asyncio.sleep(0.7)
        over = [(server.handle(f"V{number}"), value(9, status=0x480)) for number in range(5)]
        count = (server.handle("Count"), value(7, status=0x480))
        await server.publish(2, count, *over[:3])
        await asyncio.sleep(0.3)
        await server.publish(3, *over[3:])
        await intake.until(lambda: missed(intake) != [])
        await server.publish(4, (server.handle("Count"), value(8)))
        await intake.until(lambda: 8 in counts(intake))
        (told,) = missed(intake)
    assert (told.cause, told.subject) == ("queue-overflow", "press-plc")
    assert "5 signals (oven/v0, oven/v1, oven/v2, ...)" in told.detail
    assert 650 < told.until_ms - told.since_ms < 3_500


async def test_the_overflow_of_a_counter_is_no_loss() -> None:
    server = OddServer()
    server.values["V0"] = value(0)
    watched = [*signals("Count"), *signals("V0", table="oven")]
    async with collecting(server, watched, Pace(probe_s=60, mend_s=60, whole_s=0.1)) as (intake, _):
        await first_read(intake)
        server.values["Count"] = value(8)
        over = [(server.handle(name), value(7, status=0x480)) for name in ("Count", "V0")]
        await server.publish(1, *over)
        await intake.until(lambda: 8 in counts(intake) and missed(intake) != [])
        (told,) = missed(intake)
    assert "1 signal (oven/v0)" in told.detail, "the counter is not among them"


async def test_what_ran_over_just_before_the_end_is_told_too() -> None:
    server = OddServer()
    async with collecting(server, signals("Count", table="oven")) as (intake, task):
        await intake.until_sampled(lambda: intake.changed != [])
        await server.publish(1, (0, value(7, status=0x480)))
        await intake.until_sampled(lambda: ("oven/count", 7) in [one[:2] for one in intake.changed])
        await server.stop()
        await task
        assert [one.cause for one in missed(intake)] == ["queue-overflow"]


@pytest.mark.parametrize(("table", "passes"), [("oven", True), ("", False)])
async def test_an_older_value_behind_a_read_is_dropped_unless_it_is_telemetry(
    table: str, passes: bool
) -> None:
    server = OddServer()
    older = value(3)
    await a_millisecond_later()
    server.values["Count"] = value(4)
    async with collecting(server, signals("Count", table=table)) as (intake, _):
        await (intake.until_sampled(lambda: intake.changed != []) if table else first_read(intake))
        await server.publish(1, (0, older), (0, server.values["Count"]), (0, value(5)))
        if table:
            await intake.until_sampled(lambda: ("oven/count", 5) in [one[:2] for one in intake.changed])
            told: list[object] = [one[1] for one in intake.changed]
        else:
            await intake.until(lambda: 5 in counts(intake))
            told = [*counts(intake)]
    assert told == ([4, 3, 5] if passes else [4, 5])


def test_what_falls_silent_again_and_again_is_hopeless() -> None:
    item = Item(0, signals("Count")[0], patience_s=2.0)
    assert not item.is_hopeless(10.0)
    item.renewals, item.renewed_s = 1, 10.0
    assert item.is_hopeless(12.0)
    assert item.bears_s() == 2.0
    item.heard_s = 11.0
    assert not item.is_hopeless(12.0)
    assert item.bears_s() == 4.0
    item.renewals = 3
    assert item.is_hopeless(12.0)
    assert item.bears_s() == 10.0
    assert not item.is_hopeless(71.0)


# --- silence ------------------------------------------------------------------------------------------

HASTY = Pace(probe_s=0.1, sweep_s=0.1, mend_s=60)


async def test_an_item_that_is_not_notified_any_more_is_watched_anew_alone() -> None:
    server = OddServer()
    async with collecting(server, signals("Count", "State"), HASTY, publish="200ms") as (intake, task):
        await first_read(intake)
        await server.publish(1, (0, value(0)), (1, value(6)))
        await intake.until(lambda: len(intake.seen) > 6)
        server.values["State"] = value(9)
        silent_s = time.monotonic()
        await intake.until(lambda: 9 in intake.values("press.state"))
        took_ms = (time.monotonic() - silent_s) * 1000
        await server.publish(2, (1, value(9)))
        await server.publish(3, (0, value(5)))
        await intake.until(lambda: 5 in counts(intake))
        (told,) = missed(intake)
        assert not task.done()
    assert server.requests["CreateMonitoredItems"] == 2
    assert server.requests["CreateSession"] == 1
    assert (told.cause, told.subject) == ("notifications-lost", "press-plc")
    assert "1 signal (press.state)" in told.detail
    assert took_ms - 300 < told.until_ms - told.since_ms < took_ms + 500


async def test_a_subscription_whose_items_stay_dead_ends_and_says_since_when() -> None:
    server = OddServer()
    async with collecting(server, signals("Count", "State"), HASTY, publish="200ms") as (intake, task):
        await first_read(intake)
        await server.publish(1, (0, value(0)), (1, value(6)))
        await intake.until(lambda: len(intake.seen) > 6)
        server.values["State"] = value(9)
        keep_s = time.monotonic()
        lost = await task
    assert isinstance(lost, SourceLost)
    assert "the subscription is dead: press.state reads 9, watched anew it still says nothing" in lost.reason
    assert time.monotonic() - keep_s < 6
    assert 1.0 < lost.unseen_s < time.monotonic() - keep_s + 1.0
    assert len(missed(intake)) == 1


async def test_a_connection_that_falls_silent_was_lost_when_it_spoke_last() -> None:
    server = OddServer()
    async with collecting(server, signals("Count"), request_timeout="700ms") as (intake, task):
        await first_read(intake)
        await server.publish(1, (0, value(1)))
        await intake.until(lambda: 1 in counts(intake))
        await asyncio.sleep(0.5)
        server.hold_s["Read"] = 60
        intake.ask("press.count")
        lost = await task
    assert isinstance(lost, SourceLost)
    assert 1.1 < lost.unseen_s < 2.0


class HeldIntake(MemoryIntake):
    """One whose disk stands still while `free` is not set."""

    def __init__(self) -> None:
        super().__init__("press-plc")
        self.free = asyncio.Event()
        self.free.set()

    async def emit(self, observations):  # type: ignore[no-untyped-def]
        outcomes = await super().emit(observations)
        await self.free.wait()
        return outcomes


async def test_while_the_journal_stands_still_the_subscription_is_not_blamed() -> None:
    server, intake = OddServer(), HeldIntake()
    async with collecting(server, signals("Count", "State"), HASTY, intake=intake, publish="200ms") as (
        _,
        task,
    ):
        await first_read(intake)
        await server.publish(1, (0, value(0)), (1, value(6)))
        await intake.until(lambda: len(intake.seen) > 6)
        intake.free.clear()
        for number in range(2, 7):
            await server.publish(number, *[(0, value(number))] * 5_000)
        server.values["State"] = value(9)
        await asyncio.sleep(2.5)
        assert not task.done()
        intake.free.set()
        await server.publish(7, (1, value(9)))
        await intake.until(lambda: 9 in intake.values("press.state"))
        assert server.requests["CreateMonitoredItems"] == 1
        assert missed(intake) == []


# --- bytes that are no value --------------------------------------------------------------------------


async def test_a_node_that_sends_nonsense_is_named_and_all_others_run() -> None:
    server = OddServer()
    names = [f"N{number}" for number in range(9)]
    server.values |= {name: value(number) for number, name in enumerate(names)}
    server.values["N5"] = nonsense()
    pace = Pace(probe_s=0.1, sweep_s=0.1, mend_s=0.2)
    async with collecting(server, signals(*names), pace) as (intake, task):
        await first_read(intake, "press.n8")
        await server.publish(
            1, *((server.handle(name), server.values[name]) for name in names if name != "N5")
        )
        await intake.until(lambda: len(intake.values("press.n8")) > 5)
        assert not task.done()
    assert "N5" not in server.items.values()
    bad = [one for one in intake.seen if one.quality is Quality.BAD]
    assert [one.signal for one in bad] == ["press.n5"]
    assert "s=N5: sends bytes that are no OPC UA value" in bad[0].detail
    assert server.requests["CreateMonitoredItems"] == 1


@pytest.mark.parametrize("table", ["", "oven"])
async def test_a_node_that_begins_to_send_nonsense_is_found_by_the_message_that_it_spoils(table: str) -> None:
    server = OddServer()
    watched = [*signals("Count"), *signals("State", table=table)]
    async with collecting(server, watched) as (intake, task):
        await first_read(intake)
        await server.publish(1, (0, value(1)), (1, value(6)))
        server.values |= {"State": nonsense(), "Count": value(2)}
        await server.publish(2, (0, value(2)), (1, nonsense()))
        await intake.until(lambda: 2 in counts(intake))
        await server.publish(3, (0, value(3)))
        await intake.until(lambda: 3 in counts(intake) and missed(intake) != [])
        assert not task.done()
        bad = {one.signal: one.detail for one in intake.seen if one.quality is Quality.BAD}
    assert [one.cause for one in missed(intake)] == ["notifications-lost"]
    assert "no OPC UA value" in bad[watched[1].name]
    assert set(server.items.values()) == {"Count"}


async def test_a_server_that_sends_nothing_but_nonsense_is_given_up() -> None:
    server = OddServer()
    names = [f"N{number}" for number in range(100)]
    server.values |= {name: nonsense() for name in names}
    async with collecting(server, signals(*names)) as (_, task):
        assert "what is not OPC UA" in str(await task)


# --- a late session -----------------------------------------------------------------------------------


async def test_a_session_may_take_longer_than_a_request() -> None:
    server = OddServer()
    server.hold_s["CreateSession"] = 1.0
    async with collecting(server, signals("Count"), request_timeout="300ms") as (intake, task):
        await first_read(intake)
        assert not task.done()
    assert server.requests["CreateSession"] == 1


async def test_a_session_that_comes_too_late_is_closed() -> None:
    server = OddServer()
    url = await server.start()
    server.hold_s["CreateSession"] = 0.6
    client = GuardedClient(url, 0.2)
    client.transport.session_s = 0.3
    try:
        with pytest.raises(TimeoutError):
            await client.open()
    finally:
        await client.cut()
        await server.stop()
    assert server.tokens == [2]


# --- one bad node -------------------------------------------------------------------------------------


async def test_a_node_that_goes_and_comes_back_leaves_the_others_running() -> None:
    server = OddServer()
    pace = Pace(probe_s=0.1, sweep_s=0.1, mend_s=0.3)
    async with collecting(server, signals("Count", "State"), pace) as (intake, task):
        await first_read(intake)
        count, state = server.handle("Count"), server.handle("State")
        await server.publish(1, (count, value(0)), (state, value(6)))
        gone = server.values.pop("State")
        await intake.until(lambda: any(one.quality is Quality.BAD for one in intake.seen))
        await server.publish(2, (count, value(1)))
        server.values["Count"] = value(1)
        await intake.until(lambda: 1 in counts(intake))
        before = len(intake.values("press.state"))
        server.values["State"] = gone
        await intake.until(lambda: len(intake.values("press.state")) > before)
        await server.publish(3, (server.handle("State"), value(8)))
        await intake.until(lambda: 8 in intake.values("press.state"))
        assert server.requests["DeleteMonitoredItems"] >= 1
        assert not task.done()
        bad = {one.signal: one.detail for one in intake.seen if one.quality is Quality.BAD}
    assert set(bad) == {"press.state"}
    assert "s=State" in bad["press.state"]


async def test_an_item_that_is_not_watched_is_read_and_one_without_its_filter_is_watched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = OddServer()
    server.values["Fill"] = value(3)
    server.refused_items["State"] = StatusCodes.BadTooManyMonitoredItems
    server.refused_filters["Fill"] = StatusCodes.BadFilterNotAllowed
    address = opcua.Address(node="nsu=urn:odd;s=Fill", trigger="timestamp")
    fill = Signal("press.fill", address, timedelta(milliseconds=50))
    async with collecting(server, [*signals("Count", "State"), fill]) as (intake, _):
        await first_read(intake, "press.state")
        await server.publish(1, (0, value(1)), (2, value(4)))
        server.values["State"] = value(9)
        await intake.until(lambda: 9 in intake.values("press.state") and 4 in intake.values("press.fill"))
        assert counts(intake) == [0, 1]
    said = [one.message for one in caplog.records if "it is " in one.message]
    assert any("s=State" in one and "read at its `every`" in one for one in said)
    assert any("s=Fill" in one and "watched without that" in one for one in said)


async def test_what_is_too_much_for_one_request_is_asked_for_in_parts() -> None:
    server = OddServer()
    names = [f"N{number}" for number in range(23)]
    server.values |= {name: value(number) for number, name in enumerate(names)}
    server.per_read = 5
    pace = Pace(probe_s=0.1, sweep_s=0.1)
    async with collecting(server, signals(*names), pace) as (intake, task):
        await server.publish(1, *((number, value(number)) for number in range(23)))
        await intake.until(lambda: len(intake.seen) > 100)
        assert not task.done()
    assert {one.signal: one.value for one in intake.seen} == {
        f"press.n{number}": number for number in range(23)
    }


async def test_a_full_server_is_asked_again_soon_and_not_at_once() -> None:
    server = OddServer()
    server.refused["CreateSession"] = StatusCodes.BadTooManySessions
    async with collecting(server, signals("Count")) as (_, task):
        full = await task
        assert isinstance(full, SourceLost)
        assert "no room for one more" in full.reason
        assert 0 < full.again_s < 1, "the pause is that of the server's turn"
        vacancy = turn(urlsplit(full.reason.split()[0]).netloc).vacancy
        assert 2 < vacancy.wait_s(time.monotonic()) <= FULL_AGAIN_S


# --- without a subscription ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [StatusCodes.BadServiceUnsupported, StatusCodes.BadTooManySubscriptions])
async def test_a_server_without_subscriptions_is_read_at_the_signals_pace(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = OddServer()
    server.refused["CreateSubscription"] = status
    async with collecting(server, signals("Count"), Pace(mend_s=60)) as (intake, _):
        await first_read(intake)
        began_s, before = time.monotonic(), len(counts(intake))
        for number in range(1, 11):
            server.values["Count"] = value(number)
            await intake.until(lambda number=number: number in counts(intake))  # type: ignore[misc]
        await intake.until(lambda: len(counts(intake)) >= before + 20)
        took_s = time.monotonic() - began_s
    assert 0.9 < took_s < 1.4
    assert sum("reads at each signal's `every`" in one.message for one in caplog.records) == 1
    assert server.requests["Publish"] == 0


async def test_polling_ends_when_the_server_has_a_subscription_to_spare() -> None:
    server = OddServer()
    server.refused["CreateSubscription"] = StatusCodes.BadTooManySubscriptions
    pace = Pace(probe_s=0.1, sweep_s=60, mend_s=0.2)
    async with collecting(server, signals("Count"), pace) as (intake, _):
        await first_read(intake)
        del server.refused["CreateSubscription"]
        await server.publish(1, (0, value(0)))
        await server.publish(2, (0, value(12)))
        server.values["Count"] = value(12)
        await intake.until(lambda: 12 in counts(intake))


async def test_polling_as_the_settings_want_it() -> None:
    server = OddServer()
    async with collecting(server, signals("Count"), subscribe=False) as (intake, _):
        await intake.until(lambda: len(counts(intake)) > 5)
    assert server.requests["CreateSubscription"] == 0


async def test_telemetry_is_handed_on_as_changes() -> None:
    server = OddServer()
    async with collecting(server, signals("Count", table="oven")) as (intake, _):
        await intake.until_sampled(lambda: ("oven/count", 0) in [one[:2] for one in intake.changed])
        bad = value(1, status=StatusCodes.BadSensorFailure)
        await server.publish(1, (0, value(5)), (0, value(6)), (0, bad))
        await intake.until_sampled(lambda: len(intake.changed) >= 4)
        said = [one[1] for one in intake.changed[-3:]]
    assert said[:2] == [5, 6]
    assert getattr(said[2], "why", "") == "BadSensorFailure"
    assert intake.seen == []


# --- the channel --------------------------------------------------------------------------------------


async def test_a_channel_is_renewed_also_where_the_servers_clock_is_of_1970() -> None:
    server = OddServer()
    server.token_ms = 1_200
    async with collecting(server, signals("Count")) as (intake, task):
        await first_read(intake)
        for number in range(1, 40):
            await server.publish(number, (0, value(number)))
            await asyncio.sleep(0.1)
        await intake.until(lambda: 39 in counts(intake))
        assert not task.done()
    assert server.requests["OpenSecureChannel"] >= 4
    assert counts(intake) == list(range(40))


# --- bounds -------------------------------------------------------------------------------------------


@contextmanager
def odd_program(mode: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.adapters.opcua_odd_server", mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().decode().strip()
        finally:
            process.kill()
            process.wait()


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.parametrize(
    ("mode", "words"),
    [("huge", "more than 4 MiB"), ("endless", "the connection was closed"), ("slow", "no answer in time")],
)
async def test_what_has_no_end_is_cut_off_and_takes_no_memory(mode: str, words: str) -> None:
    with odd_program(mode) as url:
        chosen = settings(url, request_timeout="1500ms")
        await ended(chosen, signals("Count"), MemoryIntake("press-plc"), CALM)
        before, began_s = resident_mib(), time.monotonic()
        error = await ended(chosen, signals("Count"), MemoryIntake("press-plc"), CALM)
    assert isinstance(error, SourceRefused | SourceLost)
    assert words in str(error)
    assert time.monotonic() - began_s < 5
    assert resident_mib() - before < 20


class ForgetfulIntake(MemoryIntake):
    """Keeps nothing, so that what grows is the adapter's."""

    taken = 0

    async def emit(self, observations):  # type: ignore[no-untyped-def]
        self.taken += len(observations)
        await asyncio.sleep(0.05)
        return []

    async def takes(self, more: int) -> None:
        """Until it was handed so many more, however fast this host is."""
        enough = self.taken + more
        async with asyncio.timeout(120):
            while self.taken < enough:
                await asyncio.sleep(0.01)


async def test_a_flood_of_notifications_takes_no_memory() -> None:
    with odd_program("flood") as url:
        intake = ForgetfulIntake("press-plc")
        task = asyncio.create_task(ended(settings(url), signals("Count"), intake, CALM))
        await intake.takes(15_000)
        before = resident_mib()
        await intake.takes(30_000)
        after = resident_mib()
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert after - before < 20


async def test_a_message_of_nothing_but_values_is_refused() -> None:
    server = OddServer()
    async with collecting(server, signals("Count")) as (intake, task):
        await first_read(intake)
        empty = ua.DataValue()
        await server.publish(1, *[(0, empty)] * 20_001)
        assert "20000 changes" in str(await task) or "not OPC UA" in str(await task)
