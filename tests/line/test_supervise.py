"""One source kept running: lost once, back once, a bug in it stops only it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge.contract import Ask
from edge.errors import NotRecorded, SourceLost, SourceRefused
from edge.intake import ASKS, Asks, SourceIntake
from edge.journal import JournalReader
from edge.observation import Quality, Stamp
from edge.supervise import Supervisor
from tests.support.clock import ManualClock
from tests.support.line import events_on_disk, guard, line, recording, run_quickly

Collect = Callable[[SourceIntake], Awaitable[None]]


@asynccontextmanager
async def supervised(path: Path, collect: Collect) -> AsyncIterator[Supervisor]:
    """A source named plc, on a real recorder."""
    clock = ManualClock()
    async with recording(line(), path) as recorder:
        await asyncio.sleep(0)

        def back() -> None:
            supervisor.back()

        intake = SourceIntake("plc", clock, recorder, back)
        supervisor = Supervisor(intake, clock)

        async def once() -> None:
            clock.pass_ms(1000)
            await collect(intake)

        def run() -> Coroutine[Any, Any, None]:
            return once()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(supervisor.run(run))
            yield supervisor
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def health(path: Path) -> list[tuple[str, str]]:
    return [
        (event["state"], event.get("detail", ""))
        for event in events_on_disk(path)
        if event["type"] == "health"
    ]


def test_an_outage_begins_when_the_source_was_known_to_be_whole(tmp_path: Path) -> None:
    async def collect(intake: SourceIntake) -> None:
        if not intake.last_data_mono_ms:
            lost = SourceLost("plc", "no answer in time")
            lost.unseen_s = 4.5
            lost_at_ms.append(intake.observe("x", None).seen_ms)
            raise lost
        intake.connected()
        back.set()
        await asyncio.sleep(3600)

    lost_at_ms: list[int] = []
    back = asyncio.Event()

    async def line_runs() -> None:
        async with supervised(tmp_path / "journal.db", collect):
            await back.wait()

    run_quickly(line_runs(), 40)
    reader = JournalReader(tmp_path / "journal.db", "line-1")
    try:
        times = [
            one.at_ms for one in reader.records(1, reader.head(), 100) if one.data.get("state") == "lost"
        ]
    finally:
        reader.close()
    assert times == [lost_at_ms[0] - 4_500]


def test_lost_and_back_are_said_once_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tries = 0
    caplog.set_level("WARNING", "lineside.source")

    async def collect(intake: SourceIntake) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise SourceLost("plc", "no route to host")
        intake.connected()
        intake.connected()
        back.set()
        await asyncio.sleep(3600)

    back = asyncio.Event()

    async def line_runs() -> None:
        async with supervised(tmp_path / "journal.db", collect) as supervisor:
            await back.wait()
            assert supervisor.presence.state == "connected"

    run_quickly(line_runs(), 40)
    said = [record.message for record in caplog.records if record.name == "lineside.source"]
    assert said == ["plc: unavailable: no route to host", "plc: back after 3 s"]
    assert health(tmp_path / "journal.db") == [("lost", "no route to host"), ("back", "")]


def test_the_connection_ends_and_asks_end_with_it(tmp_path: Path) -> None:
    async def line_runs() -> None:
        clock = ManualClock()
        async with recording(line(), tmp_path / "journal.db") as recorder:
            intake = SourceIntake("plc", clock, recorder, lambda: None)
            asks = Asks({"press.total": "plc", "press.reject": "plc", "packer.good": "bus"})
            assert asks(["press.total"]) == [], "a source that is not there yet"
            asks.intakes["plc"] = intake
            assert asks(["press.total"]) == [], "nor connected"
            intake.connected()
            assert asks(["press.total", "packer.good", "press.reject"]) == [
                Ask(1, frozenset({"press.total", "press.reject"}))
            ]
            assert await intake.asked(1.0) == Ask(1, frozenset({"press.total", "press.reject"}))
            asks(["press.total"])
            intake.lost()
            assert asks(["press.total"]) == []
            intake.connected()
            assert await intake.asked(0.01) is None
            for _ in range(ASKS + 5):
                asks(["press.total"])
            first = await intake.asked(1.0)
            assert first is not None
            assert first.number == 8, "the oldest go, and memory stays flat"

    run_quickly(line_runs())


def test_a_refusal_after_a_loss_is_news_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A device that was away comes back and wants something of a person: no loss may hide that."""
    caplog.set_level("WARNING", "lineside.source")
    errors = [
        SourceLost("plc", "no route to host"), SourceLost("plc", "no answer"),
        SourceRefused("plc", "the password is wrong"), SourceRefused("plc", "the password is wrong"),
    ]  # fmt: skip
    tries, done = 0, asyncio.Event()

    async def collect(intake: SourceIntake) -> None:
        nonlocal tries
        tries += 1
        if tries <= len(errors):
            raise errors[tries - 1]
        done.set()
        await asyncio.sleep(3600)

    async def line_runs() -> None:
        async with supervised(tmp_path / "journal.db", collect) as supervisor:
            await done.wait()
            assert supervisor.presence.reason == "the password is wrong"

    run_quickly(line_runs())
    assert [one.getMessage() for one in caplog.records] == [
        "plc: unavailable: no route to host", "plc: still unavailable: the password is wrong",
    ]  # fmt: skip
    told = [detail for state, detail in health(tmp_path / "journal.db") if state == "lost"]
    assert told == ["no route to host", "the password is wrong"]


@pytest.mark.parametrize(
    "error", [SourceLost("plc", "x"), SourceRefused("plc", "x"), NotRecorded("full")], ids=repr
)
def test_what_may_pass_is_tried_again(tmp_path: Path, error: Exception) -> None:
    """Also that the disk was full, where an adapter lets it through: a full disk must not cost a source."""
    tries = 0

    async def collect(intake: SourceIntake) -> None:
        nonlocal tries
        tries += 1
        intake.connected()
        if tries == 3:
            again.set()
        raise error

    again = asyncio.Event()

    async def line_runs() -> None:
        async with supervised(tmp_path / "journal.db", collect), guard():
            await again.wait()

    run_quickly(line_runs(), 40)


def test_a_bug_stops_this_source_and_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def collect(intake: SourceIntake) -> None:
        intake.connected()
        raise ZeroDivisionError("by hand")

    async def line_runs() -> None:
        async with supervised(tmp_path / "journal.db", collect) as supervisor:
            while supervisor.presence.state != "broken":
                await asyncio.sleep(0.1)
            assert supervisor.presence.reason == "ZeroDivisionError: by hand"

    run_quickly(line_runs())
    assert "restart the agent" in caplog.text
    assert health(tmp_path / "journal.db") == [("lost", "ZeroDivisionError: by hand")]


def test_an_adapter_that_just_ends_is_started_again(tmp_path: Path) -> None:
    tries = 0

    async def collect(intake: SourceIntake) -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            again.set()

    again = asyncio.Event()

    async def line_runs() -> None:
        async with supervised(tmp_path / "journal.db", collect):
            await again.wait()

    run_quickly(line_runs())
    assert health(tmp_path / "journal.db") == [("lost", "the adapter ended without a word")]


async def test_stopping_is_not_a_loss(tmp_path: Path) -> None:
    async def collect(intake: SourceIntake) -> None:
        intake.connected()
        await asyncio.sleep(3600)

    async with supervised(tmp_path / "journal.db", collect):
        await asyncio.sleep(0)
    assert health(tmp_path / "journal.db") in ([], [("back", "")])


async def test_a_value_is_stamped_with_the_clocks_of_now(tmp_path: Path) -> None:
    clock = ManualClock(wall_ms=1_777_900_000_000)
    async with recording(line(), tmp_path / "journal.db") as recorder:
        intake = SourceIntake("plc", clock, recorder, lambda: None)
        now = intake.observe("press.total", 5)
        assert (now.at_ms, now.seen_ms, now.mono_ms, now.boot) == (
            clock.wall_ms(),
            clock.wall_ms(),
            clock.mono_ms(),
            "b0",
        )
        assert (now.stamp, now.quality, now.answers) == (Stamp.RECEIPT, Quality.GOOD, 0)
        theirs = intake.observe("press.total", 5, aged_ms=400_000)
        assert (theirs.stamp, theirs.seen_ms - theirs.at_ms) == (Stamp.SOURCE, 400_000)
        for wrong in (clock.wall_ms(), -90_000_000, 86_400_000):
            assert intake.observe("press.total", 5, aged_ms=wrong).stamp is Stamp.RECEIPT


def test_what_costs_nothing_is_tried_again_at_least_as_often_as_its_adapter_asks(tmp_path: Path) -> None:
    tries_s = list[float]()
    done = asyncio.Event()

    async def collect(intake: SourceIntake) -> None:
        tries_s.append(asyncio.get_running_loop().time())
        if len(tries_s) == 7:
            done.set()
        raise SourceLost("plc", "there is no /dev/serial/by-id/plc", again_s=2.0)

    async def line_runs() -> None:
        async with supervised(tmp_path / "journal.db", collect):
            await done.wait()

    run_quickly(line_runs(), 10)
    pauses_s = [later - one for one, later in pairwise(tries_s)]
    assert max(pauses_s) < 2.6
    assert min(pauses_s[3:]) >= 1.0
