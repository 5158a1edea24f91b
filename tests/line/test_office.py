"""The office at its terminal, beside a running agent: what it corrects is what every far end holds then."""

import asyncio
import contextlib
import json
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge.journal import JournalReader
from edge.journal.reader import Fact
from simulators.labels import label
from simulators.launch import simulator
from tests.line.test_agent import LINE, made, packer, produced
from tests.support.agent import Agent, running_agent
from tests.support.servers import victoria_metrics, victoria_values

pytestmark = pytest.mark.timeout(120)

MORE = """
[[order]]
id = "WO-2"
item = "P8"
quantity = 50
operations = [10]

[sink.erp]
type = "results"

[sink.plant]
type = "influxdb"
url = "http://127.0.0.1:{influx}"
bucket = "line-1"
"""


@dataclass(slots=True)
class Office:
    """A terminal in the folder of the line's file."""

    folder: Path

    async def run(self, *arguments: str, line: bool = True) -> tuple[int, str, str]:
        """`lineside ...`: exit status, output, errors."""
        on = ("--line", "line.toml", "--data", "data") if line else ()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", *arguments, *on, cwd=self.folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return process.returncode, out.decode(), err.decode()

    async def does(self, *arguments: str) -> str:
        status, out, err = await self.run(*arguments)
        assert status == 0, err
        return out

    async def reads(self, *arguments: str) -> Any:
        return json.loads(await self.does(*arguments, "--json"))

    def facts(self, last: int | None = None) -> list[Fact]:
        reader = JournalReader(self.folder / "data/journal.db", "line-1")
        with contextlib.closing(reader):
            return reader.facts(1, reader.head() if last is None else last, 1_000_000)

    def results(self) -> dict[str, Any]:
        """What the results sink holds, by the name of the file."""
        folder = self.folder / "data/out/erp"
        return {path.stem: json.loads(path.read_bytes()) for path in folder.glob("*.json")}


def agent(folder: Path, port: int, influx: int) -> AbstractAsyncContextManager[Agent]:
    host = f'host = "tcp://127.0.0.1:{port}"'
    return running_agent(folder, LINE.format(folder=folder, packer=host) + MORE.format(influx=influx))


def newest(port: int, order: str, field: str) -> float | None:
    """The last value of a series of this order in the database."""
    found = victoria_values(port, f'{{__name__="order_total_{field}",order="{order}"}}')
    values = [pair for series in found.values() for pair in series]
    return max(values)[1] if values else None


async def test_a_wrong_card_is_put_right_everywhere(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with (
        packer(tmp_path, "--tcp") as machine,
        simulator("scanner", "--link", str(tmp_path / "gun-1")) as gun,
        victoria_metrics(tmp_path / "victoria") as influx,
        agent(tmp_path, machine.where.port, influx.port) as running,
    ):
        await running.until(lambda: len(running.events("count")) == 2)
        await running.until(lambda: "gun-1: connected" in running.log)
        await machine.do("start")
        await running.until(lambda: produced(running, None) > 5)
        assert (await gun.scan(label("J", "WO-2-10"))).answer == "confirmed"
        await running.until(lambda: produced(running, "WO-2") > 10)
        await machine.do("stop")
        await running.until(lambda: _counted(running) == made(tmp_path))

        # the inbox gives the parts before the card to its job
        items = await office.reads("inbox")
        loose = produced(running, None)
        assert sum(one["produced"] for one in items) == loose
        assert {one["owner"] for one in items} == {"WO-2-10"}
        for one in items:
            said = await office.does("inbox", "accept", one["run"], "--by", "anna")
            assert said == f"{one['produced']} parts of packer are WO-2-10 now\n"
        assert await office.does("inbox") == "no part is unassigned\n"

        # it was the wrong card: everything is WO-1's
        before = office.facts()
        [wo_2] = await office.reads("orders", "results", "WO-2")
        assert (wo_2["state"], wo_2["produced"]) == ("Running", made(tmp_path))
        reason = ("--reason", "wrong card", "--by", "anna")
        span = ("--station", "packer", "--from", "2000-01-01T00:00", "--to", datetime.now(UTC).isoformat())
        said = await office.does("correct", "reassign", "--job", "WO-1-10", *span, *reason)
        assert said == f"{made(tmp_path)} parts of packer are WO-1-10 now\n"
        assert office.facts(before[-1].seq) == before

        [wo_1] = await office.reads("orders", "results", "WO-1")
        [wo_2] = await office.reads("orders", "results", "WO-2")
        assert (wo_1["produced"], wo_2["produced"], wo_2["good"], wo_2["scrap"]) == (made(tmp_path), 0, 0, 0)

        # the file: moved counts once more under their new owner, both sides with their figures
        await running.until(lambda: _by_order(running) == {"WO-1": made(tmp_path)})
        said_of = [one for one in running.events("attribution") if one["data"]["reason"] == "wrong card"]
        sides = {one["context"].get("order"): one for one in said_of}
        assert (sides["WO-2"]["data"]["order_good"], sides["WO-2"]["data"]["order_scrap"]) == (0, 0)
        assert sides["WO-1"]["data"]["order_good"] == wo_1["good"]
        assert {one["data"]["by"] for one in sides.values()} == {"anna"}

        # the database: zeros for the one that lost them
        async with asyncio.timeout(30):
            while newest(influx.port, "WO-1", "good") != wo_1["good"]:
                await asyncio.sleep(0.1)
        assert newest(influx.port, "WO-1", "scrap") == wo_1["scrap"]
        assert [newest(influx.port, "WO-2", field) for field in ("good", "scrap", "rework")] == [0, 0, 0]
        assert newest(influx.port, "UNASSIGNED", "good") == 0

        # what became of it goes out when it has ended, and again when it is corrected
        assert office.results() == {}
        await office.does("correct", "abort", "WO-2-10", *reason)
        await office.does("correct", "end", "WO-1-10", *reason)
        await running.until(lambda: len(office.results()) == 2)
        assert office.results()["line-1_WO-2-10"]["good"] == 0
        first = office.results()["line-1_WO-1-10"]
        assert (first["good"], first["state"]) == (wo_1["good"], "Ended")
        run = sides["WO-1"]["context"]["run"]
        said = await office.does("correct", "adjust", run, "--good", "2", *reason)
        assert said == f"{run}: +2 good, +0 scrap\n"
        await running.until(lambda: office.results()["line-1_WO-1-10"]["good"] == wo_1["good"] + 2)
        second = office.results()["line-1_WO-1-10"]
        assert (second["adjusted"], _seq(second) > _seq(first)) == (2, True)
        assert office.facts(before[-1].seq) == before
        assert "Traceback" not in running.log
        assert await running.stop() == 0


def _counted(running: Agent) -> int:
    return sum(one["data"]["produced"] for one in running.events("count"))


def _seq(result: dict[str, Any]) -> int:
    return int(result["id"].rpartition("-")[2])


def _by_order(running: Agent) -> dict[str, int]:
    """Parts by order, of the newest attribution of each count in the file."""
    latest: dict[int, dict[str, Any]] = {}
    for event in running.events("count"):
        known = latest.get(event["seq"])
        if known is None or event["attribution"] >= known["attribution"]:
            latest[event["seq"]] = event
    found: dict[str, int] = {}
    for event in latest.values():
        order = event["context"].get("order") or "UNASSIGNED"
        found[order] = found.get(order, 0) + event["data"]["produced"]
    return {order: parts for order, parts in found.items() if parts}
