"""The watched folder: what is taken, what is left alone, and where it goes."""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.errors import NotRecorded
from edge.observation import Outcome, Verdict, WorkOrder
from edge.orders.folder import _Watched, watch
from tests.support.line import run_quickly

QUIET_S = 2.0
HEADER = "id,item,quantity\n"


class Desk:
    """Takes orders as the core does; `full` while it records nothing."""

    def __init__(self) -> None:
        self.orders: dict[str, WorkOrder] = {}
        self.asked = 0
        self.full = False

    async def take(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        self.asked += 1
        if self.full:
            raise NotRecorded("the disk is full")
        return [self._one(order) for order in orders]

    def _one(self, order: WorkOrder) -> Outcome:
        if order.item == "NO":
            return Outcome(Verdict.REFUSED, f"{order.id}: no")
        known = self.orders.get(order.id) == order
        self.orders[order.id] = order
        return Outcome(Verdict.DUPLICATE if known else Verdict.ACCEPTED, order.id)


@contextlib.asynccontextmanager
async def watched(folder: Path, desk: Desk, home: Path | None = None) -> AsyncIterator[None]:
    task = asyncio.ensure_future(watch(folder, home or folder.parent, desk.take))
    try:
        yield
        assert not task.done(), "it ended by itself"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(200):
        while not holds():
            await asyncio.sleep(0.05)


def result(path: Path) -> dict[str, Any]:
    found = json.loads(path.with_name(f"{path.name}.result.json").read_text())
    assert isinstance(found, dict)
    return found


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_files_are_taken_in_and_moved_with_a_result(tmp_path: Path) -> None:
    folder, desk = tmp_path / "orders", Desk()

    async def main() -> None:
        async with watched(folder, desk):
            await until((folder / "done").is_dir)
            (folder / "a.csv").write_text(HEADER + "A,P7,1\nB,P7,x\nC,NO,3\nA,P7,1\n")
            (folder / "B.JSON").write_text('{"id": "D", "item": "P7", "quantity": 1}')
            (folder / "bad.csv").write_text("no,orders\n")
            (folder / "none.csv").write_text(HEADER + "A,NO,1\n")
            (folder / "empty.json").write_text("[]")
            await until(lambda: len(names(folder)) == 10)

    run_quickly(main())
    assert names(folder) == {
        *(
            f"done/{name}{more}"
            for name in ("a.csv", "B.JSON", "empty.json")
            for more in ("", ".result.json")
        ),
        *(f"failed/{name}{more}" for name in ("bad.csv", "none.csv") for more in ("", ".result.json")),
    }
    assert set(desk.orders) == {"A", "D"}
    told = result(folder / "done/a.csv")
    assert (told["accepted"], told["duplicates"], told["refused"]) == (1, 1, 2)
    assert [(one["line"], one["verdict"]) for one in told["orders"]] == [
        (2, "accepted"), (3, "refused"), (4, "refused"), (5, "duplicate"),
    ]  # fmt: skip
    assert "whole number, found 'x'" in told["orders"][1]["words"]
    assert "has a column" in result(folder / "failed/bad.csv")["orders"][0]["words"]


def test_what_is_not_meant_is_left_alone(tmp_path: Path) -> None:
    folder, desk = tmp_path / "orders", Desk()
    folder.mkdir()
    order = HEADER + "A,P7,1\n"
    for name in (".a.csv", "a.csv.part", "a.part", "a.txt", "csv", "x.csv.result.json"):
        (folder / name).write_text(order)
    (folder / "empty.csv").touch()
    (folder / "folder.csv").mkdir()
    os.mkfifo(folder / "pipe.csv")
    (folder / "link.csv").symlink_to(folder / "a.txt")
    before = names(folder)

    async def main() -> None:
        async with watched(folder, desk):
            (folder / "z.csv").write_text(HEADER + "Z,P7,1\n")
            await until((folder / "done/z.csv").exists)
            await asyncio.sleep(2 * QUIET_S)

    run_quickly(main())
    assert names(folder) == before | {"done/z.csv", "done/z.csv.result.json"}
    assert set(desk.orders) == {"Z"}


def test_a_file_that_is_still_written_is_never_half_read(tmp_path: Path) -> None:
    folder, desk = tmp_path / "orders", Desk()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with watched(folder, desk):
            await until(folder.is_dir)
            with (folder / "slow.csv").open("w") as file:
                file.write(HEADER)
                for number in range(20):
                    file.write(f"A{number},P7,1\n")
                    file.flush()
                    await asyncio.sleep(QUIET_S / 4)
                    assert desk.asked == 0
            written_s = loop.time()
            await until(lambda: desk.asked)
            assert loop.time() - written_s > QUIET_S / 2

    run_quickly(main(), factor=4)
    assert (desk.asked, len(desk.orders)) == (1, 20)


def test_a_file_that_changes_while_it_is_looked_at_is_not_read(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.csv", _Watched(tmp_path, make=False)
    path.write_text(HEADER)
    assert (folder.quiet(0.0), folder.quiet(QUIET_S - 0.1), folder.quiet(QUIET_S)) == ([], [], ["a.csv"])
    path.write_text(HEADER + "A,P7,1\n")
    assert folder.read("a.csv") is None
    assert (folder.quiet(3.0), folder.quiet(3.0 + QUIET_S)) == ([], ["a.csv"])
    assert folder.read("a.csv") == path.read_bytes()
    other = tmp_path / "b.part"
    other.write_text(HEADER + "B,P7,1\n")
    other.replace(path)
    assert folder.read("a.csv") is None


def test_the_oldest_file_is_read_first(tmp_path: Path) -> None:
    folder = _Watched(tmp_path, make=False)
    for number, name in enumerate(("c.csv", "a.json", "b.csv")):
        (tmp_path / name).write_text(HEADER)
        os.utime(tmp_path / name, (number, number))
    folder.quiet(0.0)
    assert folder.quiet(QUIET_S) == ["c.csv", "a.json", "b.csv"]


def test_the_same_name_again_overwrites_nothing(tmp_path: Path) -> None:
    folder, desk = tmp_path / "orders", Desk()

    async def main() -> None:
        async with watched(folder, desk):
            await until(folder.is_dir)
            for number in range(4):
                (folder / "a.csv").write_text(f"{HEADER}A,P7,{number + 1}\n")
                os.utime(folder / "a.csv", (1_777_900_000, 1_777_900_000))
                await until(lambda: not (folder / "a.csv").exists())

    run_quickly(main())
    stems = ["a", "a-20260504T130640Z", "a-20260504T130640Z-2", "a-20260504T130640Z-3"]
    assert names(folder) == {f"done/{stem}.csv{more}" for stem in stems for more in ("", ".result.json")}
    assert [(folder / f"done/{stem}.csv").read_text()[-2] for stem in stems] == ["1", "2", "3", "4"]


def test_a_folder_that_vanishes_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, aside, desk = tmp_path / "share/orders", tmp_path / "share/aside", Desk()
    folder.mkdir(parents=True)

    async def main() -> None:
        async with watched(folder, desk, home=tmp_path / "data"):
            await until((folder / "done").is_dir)
            folder.rename(aside)
            await until(lambda: caplog.messages)
            await asyncio.sleep(5)
            (aside / "a.csv").write_text(HEADER + "A,P7,1\n")
            aside.rename(folder)
            await until(lambda: desk.orders)

    with caplog.at_level(logging.WARNING):
        run_quickly(main())
    assert caplog.messages == [
        f"the folder of orders {folder} cannot be used: No such file or directory",
        f"the folder of orders {folder} is back",
    ]


def test_what_is_not_recorded_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, desk = tmp_path / "orders", Desk()
    desk.full = True

    async def main() -> None:
        async with watched(folder, desk):
            await until(folder.is_dir)
            (folder / "a.csv").write_text(HEADER + "A,P7,1\n")
            await until(lambda: desk.asked > 3)
            assert names(folder) == {"a.csv"}
            desk.full = False
            await until((folder / "done/a.csv").exists)

    run_quickly(main())
    assert [one for one in caplog.messages if "waits" in one] == [
        "a.csv waits: not recorded: the disk is full"
    ]
    assert set(desk.orders) == {"A"}


def test_a_file_that_cannot_be_moved_is_taken_in_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, desk = tmp_path / "orders", Desk()
    (folder / "done").mkdir(parents=True)
    (folder / "done/.result.part").mkdir()  # the result cannot be written

    async def main() -> None:
        async with watched(folder, desk):
            (folder / "a.csv").write_text(HEADER + "A,P7,1\n")
            await until(lambda: "cannot be moved" in caplog.text)
            await asyncio.sleep(3 * QUIET_S)
            assert (desk.asked, names(folder)) == (1, {"a.csv"})
            (folder / "done/.result.part").rmdir()
            (folder / "a.csv").write_text(HEADER + "A,P7,2\n")
            await until((folder / "done/a.csv").exists)

    run_quickly(main())
    assert (desk.asked, desk.orders["A"].quantity) == (2, 2)


def test_hostile_names_and_contents_are_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, desk = tmp_path / "orders", Desk()
    folder.mkdir()
    odd = [b"\x1b[2J.csv", b"\xff.json", b"x" * 251 + b".csv", "\u202e.csv".encode()]
    for name in odd:
        (folder / os.fsdecode(name)).write_bytes(b"\x1b]0;\x07" * 10)

    async def main() -> None:
        async with watched(folder, desk):
            await until(
                lambda: len(names(folder)) == 8 and all(one.startswith("failed/") for one in names(folder))
            )

    with caplog.at_level(logging.INFO):
        run_quickly(main())
    assert len(caplog.messages) == 4
    assert all(message.isprintable() for message in caplog.messages)
