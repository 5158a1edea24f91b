"""The OPC UA source against a server that misbehaves on command: lost, doubled and endless messages."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from adapters import opcua
from adapters._opcua.connect import connect
from adapters._opcua.security import Party
from adapters._opcua.session import Pace, Plan, Session
from edge.contract import Quality, Signal, SourceError, SourceLost, SourceRefused
from edge.observation import AGENT, Missed
from tests.adapters.opcua_odd_server import OddServer, value
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
    server: OddServer, watched: list[Signal[opcua.Address]], pace: Pace = CALM, **more: object
) -> AsyncIterator[tuple[MemoryIntake, asyncio.Task[SourceError]]]:
    intake = MemoryIntake("press-plc")
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


async def first_read(intake: MemoryIntake, signal: str = "press.count") -> None:
    await intake.until(lambda: intake.values(signal) != [])


# --- sequence -----------------------------------------------------------------------------------------


async def test_a_lost_message_is_fetched_again_and_keeps_its_place() -> None:
    server = OddServer()
    async with collecting(server, signals("Count", "State")) as (intake, _):
        await first_read(intake)
        await asyncio.sleep(0.01)
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
        for _ in range(5):
            await asyncio.sleep(0.02)
            await server.publish(2)
        await asyncio.sleep(0.05)
        assert server.acknowledged == []
        server.values["Count"] = value(2)
        intake.failing = False
        await server.publish(2, (count, value(2)))
        await intake.until(lambda: 2 in counts(intake))
        for _ in range(4):
            await server.publish(3)
            await asyncio.sleep(0.02)
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


async def test_a_full_server_is_asked_again_soon() -> None:
    server = OddServer()
    server.refused["CreateSession"] = StatusCodes.BadTooManySessions
    async with collecting(server, signals("Count")) as (_, task):
        full = await task
    assert isinstance(full, SourceLost)
    assert "no room for one more" in full.reason
    assert full.again_s == 2.0


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

    async def emit(self, observations):  # type: ignore[no-untyped-def]
        self.kept = getattr(self, "kept", 0) + len(observations)
        await asyncio.sleep(0.05)
        return []


async def test_a_flood_of_notifications_takes_no_memory() -> None:
    with odd_program("flood") as url:
        intake = ForgetfulIntake("press-plc")
        task = asyncio.create_task(ended(settings(url), signals("Count"), intake, CALM))
        await asyncio.sleep(2.5)
        before = resident_mib()
        await asyncio.sleep(4.0)
        after, received = resident_mib(), intake.kept
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert received > 50_000
    assert after - before < 20


async def test_a_message_of_nothing_but_values_is_refused() -> None:
    server = OddServer()
    async with collecting(server, signals("Count")) as (intake, task):
        await first_read(intake)
        empty = ua.DataValue()
        await server.publish(1, *[(0, empty)] * 20_001)
        assert "20000 changes" in str(await task) or "not OPC UA" in str(await task)
