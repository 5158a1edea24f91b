"""What a far end will not take, and what nobody could decide: listed, tried again, given up."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from msgspec import json
from typer.testing import CliRunner

from edge.cli import app
from edge.commands import SOCKET, OrderDesk, send_chore, serve_commands
from edge.config import LineConfig, load
from edge.contract import Receipt, Record
from edge.errors import JournalError, NotRecorded
from edge.forgetting import ForgetSink
from edge.house import House
from edge.journal import Journal
from edge.journal.sinks import SinkReader
from edge.observation import Observation, TestResult
from edge.quarantine import DropObservations, DropRejected, RetryObservation, RetryRejected
from edge.sockets import short_path
from edge.upkeep import Chore
from tests.support.clock import ManualClock
from tests.support.delivering import Bench, HandSink, all_of_it, caught_up
from tests.support.line import events_on_disk, recording, see

LINE = """
[line]
name = "line-1"
badge = "optional"
data = "data"
[source.rig-1]
type = "testrig"
port = "/dev/ttyS99"
[source.gun-1]
type = "serial-scanner"
port = "/dev/ttyS98"
[[station]]
name = "press"
scanner = "gun-1"
ideal_cycle = "1s"
rig = "rig-1"
[sink.hand]
type = "file"
"""


@pytest.fixture
def config(tmp_path: Path) -> LineConfig:
    file = tmp_path / "line.toml"
    file.write_text(LINE, encoding="utf-8")
    return load(file, None)


def cli(config: LineConfig, *words: str) -> tuple[int, str]:
    """The command as it is typed, and all that it prints."""
    file = config.data.parent / "line.toml"
    typed = [sys.executable, "-m", "edge", *words, "--line", str(file)]
    done = subprocess.run(typed, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


async def rejecting(config: LineConfig, sink: HandSink, bad: Sequence[int], count: int = 5) -> None:
    """A line whose far end will not take some of its events; then the agent ends."""

    def answer(records: Sequence[Record]) -> Receipt:
        no = {one.seq: f"no field {one.seq}" for one in records if one.seq in bad}
        return Receipt([one.seq for one in records if one.seq not in no], no)

    sink.answer = answer
    async with recording(config.line, config.journal) as recorder:
        bench = Bench(recorder, config.journal)
        async with bench.delivering(sink) as delivery:
            await bench.happen(count)
            await caught_up(delivery, sink)


def rejected(config: LineConfig) -> list[int]:
    reader = SinkReader(config.journal, "line-1")
    try:
        return reader.rejected_seqs("hand")
    finally:
        reader.close()


@asynccontextmanager
async def agent(config: LineConfig, sink: HandSink) -> AsyncIterator[Bench]:
    """Recorder, delivery and command socket, as the agent has them."""
    async with recording(config.line, config.journal) as recorder:
        bench = Bench(recorder, config.journal)
        async with bench.delivering(sink) as delivery, asyncio.TaskGroup() as group:
            house = House(recorder, ["hand"], {"hand": delivery})

            async def upkeep(chore: Chore) -> str:
                return await chore.carry_out(house)

            desk = OrderDesk(bench.clock, recorder)
            serving = group.create_task(serve_commands(config.data, desk, upkeep))
            await listening(config)
            yield bench
            await caught_up(delivery, sink)
            serving.cancel()


async def listening(config: LineConfig) -> None:
    """Until somebody can connect."""
    while True:
        try:
            with short_path(config.data, SOCKET) as path:
                _, writer = await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(0)
        else:
            writer.close()
            return


# --- rejected events ------------------------------------------------------------------------------------


async def test_without_an_agent_a_retry_waits_for_the_next_start(config: LineConfig) -> None:
    sink = HandSink()
    await rejecting(config, sink, [2, 4])
    assert await send_chore(config, RetryRejected("hand", (4,))) == "hand: 1 event to be sent again"
    assert rejected(config) == [2]
    again = HandSink()
    async with agent(config, again):
        pass
    assert again.seqs() == [4]
    assert await send_chore(config, RetryRejected("hand")) == "hand: 1 event to be sent again"
    assert rejected(config) == []


async def test_with_an_agent_it_is_sent_at_once_and_may_be_rejected_again(config: LineConfig) -> None:
    await rejecting(config, HandSink(), [2, 4])
    sink = HandSink(answer=lambda records: Receipt([], {one.seq: "still no" for one in records}))
    async with agent(config, sink) as bench:
        assert await send_chore(config, RetryRejected("hand", by="kim")) == "hand: 2 events to be sent again"
        await sink.until(lambda: {2, 4} <= set(sink.seqs()))
        sink.answer = all_of_it
        await bench.happen(1)
        await sink.until(lambda: 6 in sink.seqs())
        assert await send_chore(config, RetryRejected("hand", (2,))) == "hand: 1 event to be sent again"
        await sink.until(lambda: sink.seqs()[-1] == 2)
    assert rejected(config) == [4], "it is in quarantine again"


@pytest.mark.parametrize("running", [True, False])
async def test_what_is_given_up_is_not_sent_and_not_called_delivered(
    config: LineConfig, running: bool
) -> None:
    await rejecting(config, HandSink(), [2, 4])
    sink = HandSink()
    if running:
        async with agent(config, sink):
            said = await send_chore(config, DropRejected("hand", (2,)))
    else:
        said = await send_chore(config, DropRejected("hand", (2,)))
    assert said == "hand: 1 event given up; the journal still has it"
    assert rejected(config) == [4]
    reader = SinkReader(config.journal, "line-1")
    assert (reader.skipped("hand"), reader.progress("hand")) == (1, [(1, 5)])
    assert len(reader.records(1, 5)) == 5
    reader.close()
    assert sink.seqs() == []


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize(
    ("chore", "words"),
    [
        (RetryRejected("hand", (3,)), "hand has not rejected event 3"),
        (RetryRejected("nobody"), "nobody has rejected nothing"),
        (DropRejected("hand", (2, 77)), "hand has not rejected event 77"),
        (RetryObservation(9), "no observation 9 is in quarantine"),
        (DropObservations((9,)), "no observation 9 is in quarantine"),
    ],
)
async def test_a_wrong_number_changes_nothing(
    config: LineConfig, chore: Chore, words: str, running: bool
) -> None:
    await rejecting(config, HandSink(), [2, 4])
    if running:
        async with agent(config, HandSink()):
            with pytest.raises(NotRecorded, match=words):
                await send_chore(config, chore)
    else:
        with pytest.raises(NotRecorded, match=words):
            await send_chore(config, chore)
    assert rejected(config) == [2, 4]


async def test_an_agent_that_does_not_listen_keeps_its_journal(config: LineConfig) -> None:
    """Between its start and its socket, or where it hangs: the lock says no."""
    config.data.mkdir()
    journal = Journal(config.journal)
    try:
        with pytest.raises(JournalError, match="another agent is using it"):
            await send_chore(config, RetryRejected("hand"))
    finally:
        journal.close()


async def test_without_a_journal_there_is_nothing_to_do(config: LineConfig) -> None:
    with pytest.raises(JournalError, match="there is none"):
        await send_chore(config, RetryRejected("hand"))
    config.data.mkdir()
    with pytest.raises(JournalError, match="there is none"):
        await send_chore(config, ForgetSink("hand"))
    assert list(config.data.iterdir()) == [], "no lock, no socket"


async def test_an_agent_that_does_no_chores_says_so(config: LineConfig) -> None:
    config.data.mkdir()
    async with recording(config.line, config.journal) as recorder, asyncio.TaskGroup() as group:
        serving = group.create_task(serve_commands(config.data, OrderDesk(ManualClock(), recorder)))
        await listening(config)
        with pytest.raises(NotRecorded, match="nobody does this here"):
            await send_chore(config, RetryRejected("hand"))
        serving.cancel()


# --- a far end that is forgotten --------------------------------------------------------------------------


@pytest.mark.parametrize("running", [True, False])
async def test_a_sink_that_the_line_does_not_have_is_not_made_by_forgetting_it(
    config: LineConfig, running: bool
) -> None:
    await rejecting(config, HandSink(), [])
    async with contextlib.AsyncExitStack() as stack:
        if running:
            await stack.enter_async_context(agent(config, HandSink()))
            told = await tell(config, {"type": "forget_sink", "sink": "hnad", "configured": True})
            assert "no sink is called 'hnad'; known are hand" in told
        with pytest.raises(NotRecorded, match="no sink is called 'hnad'; known are hand"):
            await send_chore(config, ForgetSink("hnad"))
        assert await send_chore(config, ForgetSink("hand")) == (
            "hand: 0 records no longer wait for it; it gets what comes from now on"
        )
    with closing(SinkReader(config.journal, "line-1")) as reader:
        assert reader.sinks() == ["hand"]


@pytest.mark.parametrize(
    "asked",
    [
        {"type": "forget_sink", "sink": "hand", "by": "x" * 900_000},
        {"type": "forget_sink", "sink": "x" * 65},
        {"type": "forget_sink", "sink": ""},
        {"type": "retry_rejected", "sink": "hand", "by": "\x1b[2J"},
        {"type": "drop_rejected", "sink": "x" * 65, "seqs": [2]},
        {"type": "drop_rejected", "sink": "hand", "by": "x" * 65},
        {"type": "drop_rejected", "sink": "hand", "seqs": [1 << 63]},
        {"type": "drop_observations", "numbers": [1] * 10_001},
        {"type": "drop_observations", "numbers": [1], "by": "x" * 65},
        {"type": "retry_observation", "number": 1, "by": "x" * 65},
    ],
)
async def test_what_is_longer_than_it_may_be_is_refused_and_written_nowhere(
    config: LineConfig, asked: dict[str, object]
) -> None:
    await rejecting(config, HandSink(), [2, 4])
    async with agent(config, HandSink()):
        assert "this is no command: Expected" in await tell(config, asked)
    assert rejected(config) == [2, 4]
    assert len(json.encode(events_on_disk(config.journal))) < 10_000


async def tell(config: LineConfig, chore: dict[str, object]) -> str:
    """What the agent answers to a client that does not go through the command line."""
    with short_path(config.data, SOCKET) as path:
        reader, writer = await asyncio.open_unix_connection(path)
    writer.write(json.encode({"chore": chore}) + b"\n")
    answer = await reader.readline()
    writer.close()
    return answer.decode()


# --- observations -----------------------------------------------------------------------------------------


def put_aside(config: LineConfig, *observations: Observation) -> None:
    config.data.mkdir(exist_ok=True)
    journal = Journal(config.journal)
    journal.commit(quarantined=[(one, "KeyError: 'press'") for one in observations])
    journal.close()


def numbers_aside(config: LineConfig) -> list[int]:
    reader = SinkReader(config.journal, "line-1")
    try:
        return [one.id for one in reader.set_aside()]
    finally:
        reader.close()


RESULT = TestResult("SN-1", "leak", True)


@pytest.mark.parametrize("running", [True, False])
async def test_a_result_that_could_not_be_decided_is_decided_again(config: LineConfig, running: bool) -> None:
    clock = ManualClock()
    put_aside(config, see(clock, "rig-1", RESULT))
    if running:
        async with agent(config, HandSink()):
            said = await send_chore(config, RetryObservation(1, "kim"))
    else:
        said = await send_chore(config, RetryObservation(1, "kim"))
    assert said.startswith("observation 1: accepted")
    assert [
        (one["type"], one["unit"]) for one in events_on_disk(config.journal) if one["type"] == "test"
    ] == [("test", "SN-1")]
    assert numbers_aside(config) == []


@pytest.mark.parametrize("value", [17, "$E4711X", None, 2.5])
async def test_what_a_later_reading_has_is_not_decided_again(
    config: LineConfig, value: int | str | float | None
) -> None:
    put_aside(config, see(ManualClock(), "press.total", value))
    with pytest.raises(NotRecorded, match="its time is over"):
        await send_chore(config, RetryObservation(1))
    assert numbers_aside(config) == [1]
    assert await send_chore(config, DropObservations((1,))) == "1 observation thrown away"
    assert numbers_aside(config) == []


async def test_what_nothing_can_be_made_of_can_only_be_dropped(config: LineConfig) -> None:
    put_aside(config, see(ManualClock(), "rig-1", "\ud800"))
    with pytest.raises(NotRecorded, match="nothing can be made of"):
        await send_chore(config, RetryObservation(1))
    assert numbers_aside(config) == [1]


async def test_one_that_fails_again_is_in_quarantine_once(config: LineConfig) -> None:
    put_aside(config, see(ManualClock(), "rig-1", RESULT))
    journal = Journal(config.journal)
    with journal.transaction() as db:
        row = b'{"type":"station"}'
        db.execute("INSERT OR REPLACE INTO state (key, body) VALUES ('unit/SN-1', ?)", (row,))
    journal.close()
    for _ in range(2):
        with pytest.raises(NotRecorded, match="cannot be decided"):
            await send_chore(config, RetryObservation(1))
        assert numbers_aside(config) == [1]


# --- as it is typed -----------------------------------------------------------------------------------------


async def test_the_commands_show_and_do_it(config: LineConfig) -> None:
    await rejecting(config, HandSink(), [2, 4])
    put_aside(config, see(ManualClock(), "rig-1", RESULT), see(ManualClock(), "press.total", 7))
    code, text = cli(config, "quarantine", "list")
    assert code == 0
    assert "hand: event 2, scan of 2026-05-04" in text
    assert "no field 4" in text
    assert "observation 1, seen 2026-05-04" in text
    assert "KeyError: 'press'" in text
    assert '"SN-1"' in text
    code, text = cli(config, "quarantine", "list", "--json")
    told = json.decode(text)
    assert [one["seq"] for one in told["events"]] == [2, 4]
    assert [one["observation"]["signal"] for one in told["observations"]] == ["rig-1", "press.total"]
    code, text = cli(config, "sink", "list")
    assert code == 0
    assert text.splitlines()[0] == "hand: no agent runs: 3 delivered, 0 to deliver"
    assert "2 rejected for ever" in text
    assert cli(config, "quarantine", "retry", "hand")[1] == "say which: their numbers, or --all\n"
    assert cli(config, "quarantine", "retry", "hand", "3")[0] == 1
    assert cli(config, "quarantine", "drop", "hand", "2") == (
        0, "hand: 1 event given up; the journal still has it\n",
    )  # fmt: skip
    assert cli(config, "quarantine", "retry", "hand", "--all") == (0, "hand: 1 event to be sent again\n")
    assert cli(config, "quarantine", "retry", "core", "1")[1].startswith("observation 1: accepted")
    assert cli(config, "quarantine", "drop", "core", "--all") == (0, "1 observation thrown away\n")
    assert cli(config, "quarantine", "list") == (0, "nothing is in quarantine\n")
    code, text = cli(config, "sink", "list", "--json")
    status = json.decode(text)["hand"]
    assert (status["skipped"], status["rejected"]) == (1, 0)


@pytest.mark.parametrize("number", ["0", "-1", str(1 << 63), "9" * 23])
@pytest.mark.parametrize("name", ["core", "hand"])
def test_a_number_that_no_journal_has_is_a_fault_of_who_typed_it(
    config: LineConfig, name: str, number: str
) -> None:
    for verb in ("retry", "drop"):
        done = CliRunner().invoke(app, ["quarantine", verb, name, "--line", "x", "--", number])
        assert (done.exit_code, "Invalid value for '[NUMBER]...'" in done.output) == (2, True), done.output


@pytest.mark.parametrize("number", [0, -1, 1 << 63, 10**23])
async def test_the_agent_takes_no_such_number_either(config: LineConfig, number: int) -> None:
    async with agent(config, HandSink()):
        for chore in (
            RetryObservation(number),
            DropObservations((number,)),
            RetryRejected("hand", (number,)),
        ):
            with pytest.raises(NotRecorded, match="this is no command: Expected `int`"):
                await send_chore(config, chore)


async def test_a_bug_in_a_chore_is_answered(config: LineConfig, caplog: pytest.LogCaptureFixture) -> None:
    async def upkeep(chore: Chore) -> str:
        raise KeyError(chore.by)

    async with recording(config.line, config.journal) as recorder, asyncio.TaskGroup() as group:
        desk = OrderDesk(ManualClock(), recorder)
        serving = group.create_task(serve_commands(config.data, desk, upkeep))
        await listening(config)
        for _ in range(2):
            with pytest.raises(NotRecorded, match=r"a bug of the agent's stopped it; .*KeyError: 'anna'"):
                await send_chore(config, RetryObservation(1, "anna"))
        serving.cancel()
    assert "RetryObservation: stopped by a bug" in caplog.text


def test_without_a_journal_the_lists_say_so(config: LineConfig) -> None:
    file = str(config.data.parent / "line.toml")
    for words in (["sink", "list"], ["quarantine", "list"]):
        done = CliRunner().invoke(app, [*words, "--line", file])
        assert done.exit_code == 1
        assert "has the agent run here yet?" in done.output
