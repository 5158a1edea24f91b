"""kill -9 at any instant, with parts being made: each is counted once, for its order, and arrives."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from edge.journal import JournalReader
from simulators.labels import label
from simulators.launch import Running, simulator
from tests.line.test_agent import LINE, agent, made, packer, scan_until_answered
from tests.support.servers import Heard, heard, mosquitto, session

IN_CI, IN_SOAK = 10, 500
AGAIN_WITHIN_S = 10.0
"""After a kill, from the start of the next process to the first count on disk."""
CAUGHT_UP_S = 60.0
FAST = LINE.replace('ideal_cycle = "100ms"', 'ideal_cycle = "20ms"')
NEVER_KILLED = (
    "allow_anonymous true", "autosave_on_changes false", "autosave_interval 1800", "max_queued_messages 0"
)  # fmt: skip
"""Of a broker: it need not write down its whole queue after every message."""
HEARD_WITHIN_S = 60.0
SINK = """
[sink.broker]
type = "mqtt"
broker = ["mqtt://127.0.0.1:{port}"]
"""


@dataclass(slots=True)
class Killed:
    """What was seen on the way."""

    kills: int = 0
    again_s: list[float] = field(default_factory=list)


def with_broker(port: int) -> str:
    return FAST + SINK.format(port=port)


def head(folder: Path) -> int:
    """seq of the newest event on disk; 0 before there is a journal."""
    path = folder / "data/journal.db"
    if not path.exists():
        return 0
    reader = JournalReader(path, "line-1")
    try:
        return reader.head()
    finally:
        reader.close()


def counts(folder: Path) -> list[Mapping[str, Any]]:
    """Every count event of the journal."""
    reader = JournalReader(folder / "data/journal.db", "line-1")
    try:
        found: list[Mapping[str, Any]] = []
        first, last = 1, reader.head()
        while records := reader.records(first, last, 5_000):
            found += [json.loads(one.json) for one in records if one.type == "count"]
            first = records[-1].seq + 1
        return found
    finally:
        reader.close()


def parts(events: Iterable[Mapping[str, Any]], order: str | None) -> int:
    return sum(one["data"]["produced"] for one in events if one["context"].get("order") == order)


async def live_then_die(folder: Path, host: str, port: int, dice: random.Random, seen: Killed) -> None:
    """Start the agent, and kill it: while it starts, or when it has been counting for a moment."""
    before, begin = head(folder), time.monotonic()
    async with agent(folder, host, with_broker(port)) as running:
        if dice.random() < 0.3:
            await asyncio.sleep(dice.uniform(0.0, 1.5))
        else:
            await running.until(lambda: head(folder) > before + 3)
            seen.again_s.append(time.monotonic() - begin)
            await asyncio.sleep(dice.uniform(0.0, 1.0))
        running.process.kill()
        await running.process.wait()
    seen.kills += 1


async def play(folder: Path, kills: int, seed: int) -> Killed:
    """Fifty parts a second, `kills` kills; then everything is asked for and compared."""
    dice, seen = random.Random(seed), Killed()
    async with (
        mosquitto(folder / "broker", options=NEVER_KILLED) as broker,
        packer(folder, "--tcp", cycle=0.02) as machine,
        simulator("scanner", "--link", str(folder / "gun-1")) as gun,
    ):
        host = f'host = "tcp://127.0.0.1:{machine.where.port}"'
        witness = await session(broker.port, "witness", "#")
        await begin_order(folder, host, broker.port, gun)
        await machine.do("start")
        while seen.kills < kills:
            await live_then_die(folder, host, broker.port, dice, seen)
        async with agent(folder, host, with_broker(broker.port)) as running:
            await machine.do("stop")
            await running.until(lambda: parts(counts(folder), "WO-1") >= made(folder), CAUGHT_UP_S)
            await running.until(lambda: len(arrived(folder)) >= head(folder), CAUGHT_UP_S)
            messages = await all_of_it(folder, broker.port, witness)
            assert await running.stop() == 0
        compare(folder, messages + await all_of_it(folder, broker.port, witness, messages))
    return seen


async def begin_order(folder: Path, host: str, port: int, gun: Running) -> None:
    async with agent(folder, host, with_broker(port)) as running:
        await running.until(lambda: len(running.events("count")) == 2)
        await running.until(lambda: "gun-1: connected" in running.log)
        assert await scan_until_answered(gun, label("J", "WO-1-10")) == "confirmed"
        running.process.kill()
        await running.process.wait()


def arrived(folder: Path) -> dict[str, set[str]]:
    """Id to what arrived under it in the file sink: more than one thing under an id would be a forgery."""
    found: dict[str, set[str]] = {}
    for path in sorted((folder / "data/out/file").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            found.setdefault(json.loads(line)["id"], set()).add(line)
    return found


async def all_of_it(
    folder: Path, port: int, witness: Sequence[str], known: Sequence[Heard] = ()
) -> list[Heard]:
    """What the durable session has besides, until nothing that the file has is missing."""
    found: list[Heard] = []
    deadline = time.monotonic() + HEARD_WITHIN_S
    while missing := arrived(folder).keys() - {one.json["id"] for one in (*known, *found) if is_event(one)}:
        assert time.monotonic() < deadline, f"{len(missing)} events never came from the broker"
        found += await heard(port, "#", 10**9, *witness, within_s=2)
    return found


def is_event(message: Heard) -> bool:
    return "/_event/" in message.topic


def compare(folder: Path, messages: Iterable[Heard]) -> None:
    """The machine's own truth, the journal and both far ends."""
    truth, events, far = made(folder), counts(folder), arrived(folder)
    assert (parts(events, "WO-1"), parts(events, None)) == (truth, 0)
    assert {len(texts) for texts in far.values()} == {1}
    assert Counter(int(name.rpartition("-")[2]) for name in far) == Counter(range(1, head(folder) + 1))
    there = [json.loads(text) for texts in far.values() for text in texts]
    assert parts((one for one in there if one["type"] == "count"), "WO-1") == truth
    by_mqtt = {one.json["id"]: one.json for one in messages if is_event(one)}
    assert by_mqtt == {one["id"]: one for one in there}
    with apsw.Connection(str(folder / "data/journal.db")) as db:
        assert db.pragma("integrity_check") == "ok"


@pytest.mark.timeout(300)
async def test_ten_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    seen = await play(tmp_path, IN_CI, seed=1)
    assert seen.kills == IN_CI
    assert max(seen.again_s) < AGAIN_WITHIN_S


@pytest.mark.long
@pytest.mark.timeout(7_200)
async def test_five_hundred_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    seen = await play(tmp_path, IN_SOAK, seed=2)
    assert seen.kills == IN_SOAK
    assert max(seen.again_s) < AGAIN_WITHIN_S
