"""A real agent under a clock that is set."""

import json
import os
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from adapters._line_protocol import lines
from edge.contract import Record
from edge.journal import JournalReader
from simulators.labels import label
from simulators.launch import simulator
from tests.line.test_agent import LINE, made, packer, scan_until_answered
from tests.support.agent import Agent, running_agent

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def agent(folder: Path, packer: str, offset: str) -> AbstractAsyncContextManager[Agent]:
    """Its wall clock is what `clock.rc` says; the monotonic one is the machine's."""
    assert FAKETIME is not None, "apt-get install faketime"
    set_to = folder / "clock.rc"
    set_to.write_text(offset)
    environment = {
        **os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(set_to),
        "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    return running_agent(folder, LINE.format(folder=folder, packer=packer), environment)


def journaled(folder: Path) -> list[Record]:
    reader = JournalReader(folder / "data/journal.db", "line-1")
    try:
        return reader.records(1, reader.head(), 1_000_000)
    finally:
        reader.close()


def parts(folder: Path) -> dict[str | None, int]:
    """By order, as the journal has them."""
    found: dict[Any, int] = {}
    for one in journaled(folder):
        if one.type == "count":
            order = one.context.get("order")
            found[order] = found.get(order, 0) + one.data["produced"]
    return {order: made for order, made in found.items() if made}


async def more_parts(running: Agent, number: int = 15) -> None:
    before = sum(parts(running.folder).values())
    await running.until(lambda: sum(parts(running.folder).values()) >= before + number)


def clock_words(folder: Path) -> list[str]:
    return [one.data["state"] for one in journaled(folder) if one.type == "clock"]


def delivered(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "data/out/file/events.jsonl").read_text().splitlines()
    return [json.loads(one) for one in lines]


def all_is_delivered_once(folder: Path) -> None:
    ids = [one["id"] for one in delivered(folder)]
    assert len(ids) == len(set(ids))
    assert set(ids) == {one.id for one in journaled(folder)}


@pytest.mark.timeout(90)
async def test_a_clock_set_back_an_hour_and_forward_30_days_changes_no_order_and_no_total(
    tmp_path: Path,
) -> None:
    async with (
        packer(tmp_path, "--tcp", "--cycle", "0.1") as machine,
        simulator("scanner", "--link", str(tmp_path / "gun-1")) as gun,
        agent(tmp_path, f'host = "tcp://127.0.0.1:{machine.where.port}"', "+0") as running,
    ):
        await running.until(lambda: "gun-1: connected" in running.log)
        await running.until(lambda: len(running.events("count")) == 2)
        assert await scan_until_answered(gun, label("J", "WO-1-10")) == "confirmed"
        await machine.do("start")
        await more_parts(running)
        for offset in ("-1h", "+0", "+30d"):
            words = len(clock_words(tmp_path))
            (tmp_path / "clock.rc").write_text(offset)
            await running.until(lambda words=words: len(clock_words(tmp_path)) > words)  # type: ignore[misc]
            await more_parts(running)
        await machine.do("stop")
        await running.until(lambda: sum(parts(tmp_path).values()) == made(tmp_path))
        await running.until(lambda: len(delivered(tmp_path)) == len(journaled(tmp_path)))
        assert await running.stop() == 0
    assert parts(tmp_path) == {"WO-1": made(tmp_path)}
    assert clock_words(tmp_path)[-1] == "stepped"
    all_is_delivered_once(tmp_path)
    cycles = [one.data["cycle_s"] for one in journaled(tmp_path) if one.type == "cycle"]
    assert max(cycles) < 60, "no cycle has the length of a step"


@pytest.mark.timeout(90)
async def test_a_start_in_1970_counts_and_tells_the_right_time_afterwards(tmp_path: Path) -> None:
    begun_ms = time.time_ns() // 1_000_000
    async with (
        packer(tmp_path, "--tcp", "--cycle", "0.1") as machine,
        simulator("scanner", "--link", str(tmp_path / "gun-1")) as gun,
        agent(tmp_path, f'host = "tcp://127.0.0.1:{machine.where.port}"', "-56y") as running,
    ):
        await running.until(lambda: "gun-1: connected" in running.log)
        await running.until(lambda: [one.type for one in journaled(tmp_path)].count("count") == 2)
        assert await scan_until_answered(gun, label("J", "WO-1-10")) == "confirmed"
        await machine.do("start")
        await more_parts(running)
        assert delivered(tmp_path) == [], "nothing goes out with such a time"
        held = {one.id for one in journaled(tmp_path)}
        (tmp_path / "clock.rc").write_text("+0")
        await running.until(lambda: clock_words(tmp_path) == ["doubtful", "right"])
        await more_parts(running)
        await machine.do("stop")
        await running.until(lambda: sum(parts(tmp_path).values()) == made(tmp_path))
        await running.until(lambda: len(delivered(tmp_path)) == len(journaled(tmp_path)))
        assert await running.stop() == 0
    assert parts(tmp_path) == {"WO-1": made(tmp_path)}
    all_is_delivered_once(tmp_path)
    found = journaled(tmp_path)
    assert held < {one.id for one in found}
    ended_ms = time.time_ns() // 1_000_000
    assert all(begun_ms <= one.seen_ms <= ended_ms for one in found)
    counted = [one.seen_ms for one in found if one.type == "count"]  # the word about the clock goes first
    assert counted == sorted(counted)
    stamps = [line.rsplit(" ", 1)[1] for one in found for line in lines(one)[:1]]
    assert len(stamps) == len(set(stamps))
