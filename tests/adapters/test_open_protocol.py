"""Open Protocol against a controller in its own process, and the whole agent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from adapters import open_protocol
from adapters.open_protocol import Settings
from edge.contract import (
    Outcome,
    Quality,
    SourceError,
    SourceLost,
    SourceRefused,
    Verdict,
)
from simulators.launch import Running, simulator
from simulators.records import Tightened, TighteningAcked, read_tightenings
from tests.adapters.open_protocol_support import HELLO, OnceIntake, saying, server, settings
from tests.support.agent import running_agent, whole_lines
from tests.support.intake import MemoryIntake

# --- against a controller -------------------------------------------------------------------


@asynccontextmanager
async def collecting(of: Settings, intake: MemoryIntake) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(open_protocol.collect(of, [], intake))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def kept_collecting(of: Settings, intake: MemoryIntake) -> None:
    """As the supervisor does it."""
    while True:
        try:
            await open_protocol.collect(of, [], intake)
        except SourceError:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def kept(of: Settings, intake: MemoryIntake) -> AsyncIterator[None]:
    task = asyncio.ensure_future(kept_collecting(of, intake))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def controller(truth: Path, *options: str) -> AsyncIterator[Running]:
    quick = ("--cycle", "0.01", "--patience", "0.3", "--truth", str(truth), *options)
    async with simulator("torque", *quick) as running:
        await running.do("start")
        yield running


def made(truth: Path) -> dict[str, tuple[str, bool, float]]:
    lines = [one for one in read_tightenings(truth) if isinstance(one, Tightened)]
    return {str(one.number): (one.unit, one.ok, one.torque_nm) for one in lines}


def acknowledged(truth: Path) -> list[str]:
    return [str(one.number) for one in read_tightenings(truth) if isinstance(one, TighteningAcked)]


def got(intake: OnceIntake) -> dict[str, tuple[str, bool, float]]:
    return {
        str(one.number): (one.unit, one.passed is True, one.steps[0].value or 0.0) for one in intake.results()
    }


@pytest.mark.parametrize("knows", ["1", "2", "3", "4"])
async def test_results_arrive_whatever_revision_the_controller_knows(knows: str, tmp_path: Path) -> None:
    intake, truth = OnceIntake(), tmp_path / "truth"
    async with (
        controller(truth, "--revision", knows, "--fail", "0.3") as torque,
        collecting(settings(torque.where.port), intake),
    ):
        await intake.until(lambda: len(intake.details) >= 12)
    assert intake.connections == 1
    assert got(intake).items() <= made(truth).items()
    assert set(acknowledged(truth)) <= set(got(intake))


FAULTS = ["--cut", "--merge", "--double", "--hang-up"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_result_once_whatever_goes_wrong(fault: str, tmp_path: Path) -> None:
    intake, truth = OnceIntake(), tmp_path / "truth"
    async with controller(truth, fault, "3") as torque, kept(settings(torque.where.port), intake):
        await intake.until(lambda: len(intake.details) >= 10)
    assert list(got(intake)) == [str(number) for number in range(1, len(got(intake)) + 1)]
    assert got(intake).items() <= made(truth).items()
    broken = [one.detail for one in intake.seen if one.quality is Quality.BAD]
    assert bool(broken) == (fault in ("--cut", "--merge"))
    assert all("says that it has" in one for one in broken)


async def test_what_is_not_on_disk_is_not_acknowledged_and_comes_again(tmp_path: Path) -> None:
    intake, truth = OnceIntake(), tmp_path / "truth"
    intake.failing = True
    async with controller(truth) as torque, kept(settings(torque.where.port, answer="1s"), intake):
        async with asyncio.timeout(10):
            while intake.connections < 2:  # three times unanswered, then it hangs up
                await asyncio.sleep(0.02)
        assert acknowledged(truth) == []
        intake.failing = False
        await intake.until(lambda: len(intake.details) >= 3)
    assert list(got(intake))[:3] == ["1", "2", "3"]


async def test_a_result_that_the_core_refused_is_not_acknowledged(tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    intake = MemoryIntake("torque-1", lambda observation: Outcome(Verdict.QUARANTINED))
    async with controller(truth) as torque, collecting(settings(torque.where.port), intake) as task:
        with pytest.raises(SourceLost, match="hung up"):
            await task
    assert [one.value for one in intake.seen] == [intake.seen[0].value] * 3
    assert acknowledged(truth) == []


async def test_a_second_client_is_told_why_it_gets_nothing(tmp_path: Path) -> None:
    intake = OnceIntake()
    async with controller(tmp_path / "truth") as torque:
        of = settings(torque.where.port)
        async with collecting(of, intake):
            await intake.until(lambda: bool(intake.details))
            with pytest.raises(SourceRefused, match="error 96, a client is connected already; end the other"):
                await open_protocol.collect(of, [], OnceIntake())


async def test_it_says_goodbye_so_that_the_controller_keeps_no_place_for_it() -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(*HELLO)(reader, writer)
        heard.append((await reader.readuntil(b"\0"))[4:8])

    intake = OnceIntake()
    async with server(talk) as port:
        async with collecting(settings(port), intake):
            async with asyncio.timeout(10):
                while not intake.connections:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            while not heard:
                await asyncio.sleep(0.01)
    assert heard == [b"0003"]


async def test_a_quiet_controller_is_kept_awake_and_keeps_the_connection(tmp_path: Path) -> None:
    intake = OnceIntake()
    async with controller(tmp_path / "truth", "--silence", "0.4", "--cycle", "1.5") as torque:
        of = settings(torque.where.port, keep_alive="100ms", answer="1s")
        async with collecting(of, intake):
            await intake.until(lambda: len(intake.details) >= 2)
    assert intake.connections == 1


async def test_a_result_that_waited_has_the_time_at_which_it_was_made(tmp_path: Path) -> None:
    """The controller's clock is two hours slow, and the first joint was made before anybody listened."""
    intake, truth = OnceIntake(), tmp_path / "truth"
    async with controller(truth, "--slow", "7200") as torque:
        await asyncio.sleep(4.5)  # the joint's age is what is tested
        async with collecting(settings(torque.where.port), intake):
            await intake.until(lambda: len(intake.details) >= 2)
    waited, live = intake.seen[:2]
    first = next(one for one in read_tightenings(truth) if isinstance(one, Tightened))
    assert abs(waited.at_ms - first.made_ms) < 1_500
    assert live.at_ms == live.seen_ms


# --- the whole agent ------------------------------------------------------------------------

AGENT = """
[line]
name = "line-1"
badge = "optional"

[source.torque-1]
type = "open-protocol"
connect = "127.0.0.1:{port}"

[[station]]
name = "bolting"
ideal_cycle = "10s"
rig = "torque-1"

[sink.file]
type = "file"
"""


def recorded(folder: Path) -> list[tuple[str, str, bool]]:
    """Number, unit and verdict of each test event in the file sink, by the event's id."""
    found = {}
    for path in sorted((folder / "data/out/file").glob("*.jsonl")):
        for event in whole_lines(path):
            if event["type"] == "test":
                data = event["data"]
                found[event["id"]] = (data["number"], data["unit"], data["passed"])
    return list(found.values())


def has_recorded(folder: Path, number: int) -> bool:
    return len(recorded(folder)) >= number


async def test_the_agent_records_each_tightening_once_however_often_it_is_killed(tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    async with controller(truth, "--fail", "0.3", "--double", "5") as torque:
        port = torque.where.port
        for kills in range(1, 4):
            async with running_agent(tmp_path, AGENT.format(port=port)) as running:
                await running.until(partial(has_recorded, tmp_path, kills * 20))
                running.process.kill()
                await running.process.wait()
        async with running_agent(tmp_path, AGENT.format(port=port)) as running:
            await running.until(partial(has_recorded, tmp_path, 80))
            await torque.do("stop")
            await running.until(lambda: len(recorded(tmp_path)) == len(made(truth)))
            assert await running.stop() == 0
    assert recorded(tmp_path) == [(number, unit, ok) for number, (unit, ok, _) in made(truth).items()]
