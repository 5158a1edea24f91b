"""The check that goes on beside the line."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.errors import JournalDamaged
from edge.journal import Integrity, Journal, begin
from edge.journal.integrity import Pace, damage_at_start, examine
from simulators.launch import simulator
from tests.journal.floor import fill, pages_of, said, spoil
from tests.line.test_agent import agent
from tests.support.agent import Agent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data/journal.db"


def always() -> bool:
    return True


@pytest.mark.parametrize("how", ["quick_check", "integrity_check"])
def test_a_sound_journal_has_no_fault(path: Path, how: str) -> None:
    fill(path, 2_000)
    assert examine(path, how, always) == ""


TABLES = ["event", "state", "context", "mention", "event_at", "sqlite_autoindex_context_1"]


@pytest.mark.parametrize("name", TABLES)
def test_a_fault_is_found_wherever_it_is(path: Path, name: str) -> None:
    fill(path, 2_000)
    spoil(path, pages_of(path, name)[-1:])
    assert examine(path, "integrity_check", always)


def test_an_index_that_lacks_an_event_is_found(path: Path) -> None:
    """Every page is well for itself; what one says of the other is not."""
    fill(path, 2_000)
    [leaf, *_] = pages_of(path, "event_at")[1:]
    content = path.read_bytes()
    file = bytearray(content)
    other = pages_of(path, "event_at")[2]
    file[(leaf - 1) * 4096 : leaf * 4096] = content[(other - 1) * 4096 : other * 4096]
    path.write_bytes(file)
    assert "event_at" in (examine(path, "integrity_check", always) or "")


def test_it_stops_when_it_is_told_to(path: Path) -> None:
    fill(path, 20_000)
    assert examine(path, "integrity_check", lambda: False) is None


def test_it_takes_a_quarter_of_the_time_at_the_most(path: Path) -> None:
    pace = Pace(path)
    worked_s, began_s = 0.0, time.monotonic()
    while time.monotonic() - began_s < 1.0:
        asked_s = time.monotonic()
        while time.monotonic() - asked_s < 0.001:
            pass
        worked_s += time.monotonic() - asked_s
        assert pace.go_on()
    assert worked_s < 0.5


def test_it_does_not_rest_while_it_holds_the_log_up(path: Path) -> None:
    Path(f"{path}-wal").write_bytes(bytes(9_000_000))
    pace = Pace(path)
    began_s = time.monotonic()
    while time.monotonic() - began_s < 0.05:
        asked_s = time.monotonic()
        pace.go_on()
        assert time.monotonic() - asked_s < 0.03


async def test_a_sound_one_is_checked_while_events_come_in(path: Path) -> None:
    fill(path, 5_000)
    journal = Journal(path)
    check = Integrity(path, 0.0, 0.0)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(check.run())
        while check.result != "ok":
            journal.commit([said(1)])
            await asyncio.sleep(0)
        running.cancel()
    assert check.checked_mono_s is not None
    journal.close()


async def test_damage_ends_the_agent_and_is_noted_for_the_next_start(path: Path) -> None:
    fill(path, 5_000)
    spoil(path, pages_of(path, "event")[5:6])
    check = Integrity(path, 0.0)
    with pytest.raises(JournalDamaged, match="set aside at the next start"):
        await check.run()
    assert damage_at_start(path) == check.result
    journal, found = begin(path)
    assert found is not None
    assert damage_at_start(path) == ""
    journal.close()


MANY = """
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 1000000)
INSERT INTO mention (subject, seq) SELECT 'lot/' || n, n FROM number
"""


async def test_a_check_that_is_cancelled_leaves_no_thread_at_work(path: Path) -> None:
    fill(path, 1)
    db = apsw.Connection(str(path))
    db.execute(MANY)
    db.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await Integrity(path, 0.0).run()
    began_s = time.monotonic()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - began_s < 0.5, "to the end of the check it would take more than a second"


def told_of_the_journal(running: Agent) -> list[str]:
    said_of_it = [one["data"] for one in running.events("health") if one["data"]["state"] == "journal"]
    return [one["detail"] for one in said_of_it]


async def test_an_agent_sets_a_torn_journal_aside_and_records_that(tmp_path: Path, path: Path) -> None:
    fill(path, 3_000)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    async with (
        simulator("modbus_packer", "--tcp", "--station", "packer", "--truth", str(tmp_path / "t")) as machine,
        agent(tmp_path, f'host = "tcp://127.0.0.1:{machine.where.port}"') as running,
    ):
        await running.until(lambda: "packer-plc: connected" in running.log)
        await running.until(lambda: len(told_of_the_journal(running)) == 1)
        assert "is kept as journal.db.corrupt-1" in told_of_the_journal(running)[0]
        assert "ERROR" in running.log
        words = ["journal", "--line", str(tmp_path / "line.toml"), "--data", str(tmp_path / "data")]
        shown = await asyncio.to_thread(CliRunner().invoke, app, words)
        assert shown.exit_code == 0
        parts = ("written to the disk since", "not checked since", "kept aside: journal.db.corrupt-1")
        for part in parts:
            assert part in shown.output
        assert "is kept as journal.db.corrupt-1" in running.log
        assert await running.stop() == 0
    async with agent(tmp_path, f'host = "tcp://127.0.0.1:{machine.where.port}"') as running:
        await running.until(lambda: running.log.count("is up, its journal is") == 2)
        assert await running.stop() == 0
    assert running.log.count("what can be read of it is taken over") == 1
    assert not (path.parent / "journal.db.news").exists()
