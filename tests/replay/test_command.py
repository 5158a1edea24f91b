"""`[line] record` and `lineside replay`: the real agent on a simulated machine, then the command."""

import asyncio
import os
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import apsw
import pytest
from msgspec import json

from edge.config import load
from edge.errors import ConfigError
from edge.journal import JournalReader
from simulators.labels import label
from simulators.launch import simulator
from tests.line.test_agent import LINE, made, packer, produced
from tests.support.agent import Agent, running_agent

pytestmark = pytest.mark.timeout(90)

RECORDED = LINE.replace("[line]", '[line]\nrecord = "1MB"')


def agent(folder: Path, host: str) -> AbstractAsyncContextManager[Agent]:
    """As in the agent's own tests, with a recording."""
    return running_agent(folder, RECORDED.format(folder=folder, packer=host))


async def replay(folder: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", "replay", str(folder / "line.toml"), *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


def counted(folder: Path) -> int:
    """Parts of the order in the journal; in the file that a sink writes, some come twice after a kill."""
    reader = JournalReader(folder / "data/journal.db", "line-1")
    counts = [one for one in reader.records(1, reader.head(), 1_000_000) if one.type == "count"]
    reader.close()
    return sum(one.data["produced"] for one in counts if one.context.get("order") == "WO-1")


async def shift(folder: Path) -> None:
    """A job card and parts; the agent is killed once and stopped once on the way."""
    async with (
        packer(folder, "--tcp") as machine,
        simulator("scanner", "--link", str(folder / "gun-1")) as gun,
    ):
        host = f'host = "tcp://127.0.0.1:{machine.where.port}"'
        async with agent(folder, host) as running:
            await running.until(lambda: len(running.events("count")) == 2)
            await running.until(lambda: "gun-1: connected" in running.log)
            assert (await gun.scan(label("J", "WO-1-10"))).answer == "confirmed"
            await machine.do("start")
            await running.until(lambda: produced(running, "WO-1") > 10)
        async with agent(folder, host) as running:
            await running.until(lambda: counted(folder) > 30)
            await machine.do("stop")
            await running.until(lambda: counted(folder) == made(folder))
            assert await running.stop() == 0


async def test_a_shift_of_the_real_agent_is_replayed_to_the_byte(tmp_path: Path) -> None:
    await shift(tmp_path)
    record, journal = tmp_path / "data/record", tmp_path / "data/journal.db"
    events = tmp_path / "events.jsonl"
    status, out, err = await replay(tmp_path, str(record), "--against", str(journal), "--events", str(events))
    assert status == 0, out + err
    assert "byte for byte" in out
    assert "00000001.jsonl: " in out
    assert "00000002.jsonl: " in out
    reader = JournalReader(journal, "line-1")
    facts = {one.seq: one for one in reader.facts(1, reader.head(), 1_000_000)}
    reader.close()
    printed = [json.decode(line) for line in events.read_bytes().splitlines()]
    assert len(facts) - 10 <= len(printed) <= len(facts), "a commit may have been cut off by the kill"
    for line, text in zip(printed, events.read_bytes().splitlines(), strict=True):
        assert line["type"] == facts[line["seq"]].type
        assert facts[line["seq"]].data in text
    await and_with_another_journal_or_line(tmp_path, record, journal)


async def and_with_another_journal_or_line(folder: Path, record: Path, journal: Path) -> None:
    with apsw.Connection(str(journal)) as db:
        db.execute("UPDATE event SET at_ms = at_ms + 1 WHERE seq = 2")
    db.close()
    status, out, err = await replay(folder, str(record), "--against", str(journal))
    assert status == 1
    assert "first difference: " in out
    assert "at_ms of event 2 was" in out
    line = folder / "line.toml"
    line.write_text(line.read_text().replace('ideal_cycle = "100ms"', 'ideal_cycle = "90ms"'))
    status, out, err = await replay(folder, str(record))
    assert (status, err.count("\n")) == (1, 1)
    assert "--force" in err
    status, out, err = await replay(folder, str(record / "00000002.jsonl"), "--force", "--events", "-")
    assert status == 0, err
    assert all(json.decode(one)["seq"] for one in out.splitlines())
    assert "00000002.jsonl: " in err


async def test_a_wrong_file_or_journal_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "line.toml").write_text(RECORDED.format(folder=tmp_path, packer='host = "tcp://127.0.0.1:1"'))
    (tmp_path / "noise").write_bytes(os.urandom(10_000))
    (tmp_path / "empty").mkdir()
    (tmp_path / "1.jsonl").write_text("")
    noise = str(tmp_path / "noise")
    for arguments, words in (
        ([noise], "is no recording of Lineside"),
        ([str(tmp_path / "none")], "No such file"),
        ([str(tmp_path / "empty")], "holds no segment"),
        ([noise, "--against", noise], "journal"),
        ([noise, "--against", str(tmp_path / "none.db")], "journal"),
        ([noise, "--events", str(tmp_path / "no/such/folder")], "cannot be written"),
    ):
        status, out, err = await replay(tmp_path, *arguments)
        assert (status, out, err.count("\n")) == (1, "", 1), (arguments, out, err)
        assert words in err


@pytest.mark.parametrize(
    ("written", "size"), [('"1MB"', 10**6), ('"64MB"', 64 * 10**6), ('"1.5 GiB"', 3 * 2**29), (None, None)]
)
def test_record_is_a_size(tmp_path: Path, written: str | None, size: int | None) -> None:
    text = LINE if written is None else LINE.replace("[line]", f"[line]\nrecord = {written}")
    (tmp_path / "line.toml").write_text(text.format(folder=tmp_path, packer='host = "tcp://127.0.0.1:1"'))
    assert load(tmp_path / "line.toml").record == size


@pytest.mark.parametrize("written", ["64", '"64"', '"999KB"', '"-1MB"', "true", '""', '"1 PB"', '"९MB"'])
def test_what_is_no_size_is_a_fault(tmp_path: Path, written: str) -> None:
    text = LINE.replace("[line]", f"[line]\nrecord = {written}")
    (tmp_path / "line.toml").write_text(text.format(folder=tmp_path, packer='host = "tcp://127.0.0.1:1"'))
    with pytest.raises(ConfigError) as raised:
        load(tmp_path / "line.toml")
    assert [fault.key for fault in raised.value.faults] == ["line.record"]
