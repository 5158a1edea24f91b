"""Result files: the way of a file, what is whole and what is broken, and the numbers in it."""

import asyncio
import os
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from adapters._result_folder import Folder, Taken, plain
from adapters._result_memory import KEPT, Memory, fingerprint
from adapters.result_files import results_of
from edge.contract import Outcome, Verdict
from tests.adapters.result_files_support import (
    LINE,
    bad,
    collecting,
    names,
    results,
    settings,
    there,
    units,
    write,
)
from tests.support.intake import MemoryIntake

UNNUMBERED = "program=SCALE;weight=12.5:g;result=PASS\n"


# --- the way of a file ----------------------------------------------------------------------


async def test_a_file_is_recorded_and_then_moved(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    write(tmp_path / "one.txt", LINE.format(1))
    async with collecting(settings(tmp_path), intake):
        await there(lambda: names(tmp_path / "done") == ["one.txt"])
        write(tmp_path / "two.txt", LINE.format(2))
        await there(lambda: names(tmp_path / "done") == ["one.txt", "two.txt"])
    assert units(intake) == ["U-0001", "U-0002"]
    assert results(intake)[0].number == "1"
    assert intake.seen[0].detail == LINE.format(1).strip()
    assert [names(tmp_path), names(tmp_path / "taking"), names(tmp_path / "broken")] == [[], [], []]
    assert intake.connections == 1


async def test_the_oldest_comes_first(tmp_path: Path) -> None:
    for number, name in ((3, "a"), (1, "c"), (2, "b")):
        write(tmp_path / name, LINE.format(number))
        os.utime(tmp_path / name, (1_000_000 + number, 1_000_000 + number))
    intake = MemoryIntake("rig-1")
    async with collecting(settings(tmp_path), intake):
        await intake.until(lambda: len(intake.seen) == 3)
    assert units(intake) == ["U-0001", "U-0002", "U-0003"]
    assert all(one.at_ms == one.seen_ms for one in intake.seen)  # of 1970: a clock was wrong


async def test_a_file_that_waited_has_the_time_at_which_it_was_written(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    write(tmp_path / "one.txt", LINE.format(1))
    before_s = os.stat(tmp_path / "one.txt").st_mtime - 3600
    os.utime(tmp_path / "one.txt", (before_s, before_s))
    async with collecting(settings(tmp_path), intake):
        await intake.until(lambda: len(intake.seen) == 1)
    assert abs(intake.seen[0].at_ms - before_s * 1000) < 1_000


async def test_a_file_is_not_read_while_it_is_written(tmp_path: Path) -> None:
    """A writer that pauses for less than `quiet`, line by line."""
    intake = MemoryIntake("rig-1")
    of = settings(tmp_path, holds="results", quiet="400ms")
    async with collecting(of, intake):
        with (tmp_path / "slow.txt").open("w") as file:
            for number in range(1, 9):
                text = LINE.format(number)
                for piece in (text[:20], text[20:]):
                    file.write(piece)
                    file.flush()
                    await asyncio.sleep(0.1)
                    assert intake.seen == []
        await intake.until(lambda: len(intake.seen) == 8)
    assert bad(intake) == []
    assert len(set(units(intake))) == 8


async def test_one_that_is_written_to_after_it_was_taken_is_read_when_it_rests(tmp_path: Path) -> None:
    """The writer paused for longer than `quiet` and still has it open."""
    rules = settings(tmp_path, holds="results").rules()
    folder = Folder(tmp_path, rules)
    folder.prepare()
    file = (tmp_path / "slow.txt").open("w")
    with file:
        file.write(LINE.format(1))
        file.flush()
        assert folder.whole(0.0) == []
        assert folder.whole(1.0) == ["slow.txt"]
        assert folder.take("slow.txt")
        file.write(LINE.format(2))
        file.flush()
        assert folder.read("slow.txt") is None
    taken = folder.read("slow.txt")
    assert taken is not None
    assert taken.body.count(b"unit=") == 2


def test_an_empty_file_is_still_being_made(tmp_path: Path) -> None:
    folder = Folder(tmp_path, settings(tmp_path).rules())
    folder.prepare()
    (tmp_path / "new.txt").touch()
    assert [folder.whole(now_s) for now_s in (0.0, 100.0)] == [[], []]
    write(tmp_path / "new.txt", LINE.format(1))
    assert [folder.whole(now_s) for now_s in (200.0, 300.0)] == [[], ["new.txt"]]


async def test_with_a_marker_a_file_waits_for_it(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    write(tmp_path / "one.csv", LINE.format(1))
    async with collecting(settings(tmp_path, marker="{stem}.ok", files="*"), intake):
        await asyncio.sleep(0.2)  # longer than `quiet`: nothing may happen
        assert intake.seen == []
        write(tmp_path / "one.ok")
        await there(lambda: names(tmp_path / "done") == ["one.csv"])
    assert (units(intake), names(tmp_path)) == (["U-0001"], [])


async def test_a_renamed_file_is_taken_at_once(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    async with collecting(settings(tmp_path, ready="renamed", quiet="1h"), intake):
        write(tmp_path / "one.tmp", LINE.format(1)[:10])
        await asyncio.sleep(0.1)
        assert intake.seen == []
        write(tmp_path / "one.tmp", LINE.format(1))
        (tmp_path / "one.tmp").rename(tmp_path / "one.txt")
        await intake.until(lambda: len(intake.seen) == 1)
    assert units(intake) == ["U-0001"]


async def test_the_pattern_of_names(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    for name in ("A.TXT", "b.log", ".c.txt", "~d.txt", "e.txt.part"):
        write(tmp_path / name, LINE.format(1))
    async with collecting(settings(tmp_path, files="*.txt"), intake):
        await there(lambda: names(tmp_path / "done") == ["A.TXT"])
        await asyncio.sleep(0.2)
    assert names(tmp_path) == [".c.txt", "b.log", "e.txt.part", "~d.txt"]


# --- broken ---------------------------------------------------------------------------------


async def test_a_broken_file_is_reported_and_told_why(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    write(tmp_path / "cut.txt", LINE.format(1)[:20])
    write(tmp_path / "mixed.txt", LINE.format(2), "nonsense\n", LINE.format(3))
    (tmp_path / "binary.txt").write_bytes(b"\xff\x00" * 100)
    async with collecting(settings(tmp_path, holds="results"), intake):
        await there(lambda: len(names(tmp_path / "broken")) == 6)
    assert sorted(units(intake)) == ["U-0002", "U-0003"]
    assert sorted(one.partition(":")[0] for one in bad(intake)) == ["binary.txt", "cut.txt", "mixed.txt"]
    report = (tmp_path / "broken/mixed.txt.result.txt").read_text()
    assert report == "result 2: 'nonsense' is no name=value\n"


async def test_what_the_core_does_not_record_is_not_called_done(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1", lambda one: Outcome(Verdict.REFUSED, "scan the unit first"))
    write(tmp_path / "one.txt", LINE.format(1))
    async with collecting(settings(tmp_path), intake):
        await there(lambda: "one.txt" in names(tmp_path / "broken"))
    assert (tmp_path / "broken/one.txt.result.txt").read_text() == "result 1: scan the unit first\n"


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    async with collecting(settings(tmp_path), intake):
        for number in (1, 2, 3):
            write(tmp_path / "same.txt", LINE.format(number))
            await intake.until(lambda number=number: len(intake.seen) == number)  # type: ignore[misc]
            await there(lambda number=number: len(names(tmp_path / "done")) == number)  # type: ignore[misc]
    assert names(tmp_path / "done") == ["same-1.txt", "same-2.txt", "same.txt"]
    assert (tmp_path / "done/same-2.txt").read_text() == LINE.format(3)


async def test_a_report_whose_file_was_fetched_is_not_overwritten(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    async with collecting(settings(tmp_path), intake):
        write(tmp_path / "one.txt", "first\n")
        await there(lambda: names(tmp_path / "broken") == ["one.txt", "one.txt.result.txt"])
        told = (tmp_path / "broken/one.txt.result.txt").read_text()
        (tmp_path / "broken/one.txt").unlink()
        write(tmp_path / "one.txt", "second\n")
        await there(lambda: "one-1.txt.result.txt" in names(tmp_path / "broken"))
    assert (tmp_path / "broken/one.txt.result.txt").read_text() == told


# --- numbers --------------------------------------------------------------------------------


async def test_results_without_a_number_are_numbered_by_file(tmp_path: Path) -> None:
    """Two equal weights are two; the same file again is known."""
    intake = MemoryIntake("scale")
    of = settings(tmp_path, holds="results", unit="scanned")
    write(tmp_path / "w.txt", UNNUMBERED, UNNUMBERED)
    at_ms = os.stat(tmp_path / "w.txt").st_mtime_ns // 1_000_000
    async with collecting(of, intake):
        await intake.until(lambda: len(intake.seen) == 2)
        await there(lambda: names(tmp_path / "done") == ["w.txt"])
    assert [one.number for one in results(intake)] == [f"w.txt@{at_ms}#1", f"w.txt@{at_ms}#2"]
    assert len({one.detail for one in intake.seen}) == 2


async def put_back(tmp_path: Path, intake: MemoryIntake, **keys: object) -> None:
    """What was taken is put back from `done/` by hand, with the time that it had, before a new start."""
    async with collecting(settings(tmp_path, **keys), intake):
        await there(lambda: names(tmp_path / "done") == ["a.txt"])
    (tmp_path / "done" / "a.txt").rename(tmp_path / "a.txt")
    async with collecting(settings(tmp_path, **keys), intake):
        await there(lambda: names(tmp_path / "done") == ["a.txt"] and not names(tmp_path))


async def test_a_file_that_is_put_back_is_known_however_many_results_it_has(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    write(tmp_path / "a.txt", *(LINE.format(number) for number in range(100)))
    await put_back(tmp_path, intake, holds="results")
    assert Counter(units(intake)).most_common(1) == [("U-0000", 1)]
    assert len(intake.seen) == 100
    copied = tmp_path / "b.txt"
    write(copied, (tmp_path / "done" / "a.txt").read_text())
    async with collecting(settings(tmp_path, holds="results"), intake):
        await there(lambda: names(tmp_path / "done") == ["a.txt", "b.txt"])
    assert len(intake.seen) == 100, "unit and number say that they are the same"


async def test_two_equal_weights_are_two_and_one_that_is_put_back_is_one(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    keys = {"unit": "scanned"}
    write(tmp_path / "a.txt", UNNUMBERED)
    await put_back(tmp_path, intake, **keys)
    assert len(intake.seen) == 1
    write(tmp_path / "a.txt", UNNUMBERED)
    async with collecting(settings(tmp_path, **keys), intake):
        await there(lambda: names(tmp_path / "done") == ["a-1.txt", "a.txt"])
    assert len(intake.seen) == 2
    (tmp_path / "done" / "a-1.txt").rename(tmp_path / "a-1.txt")
    async with collecting(settings(tmp_path, **keys), intake):
        await there(lambda: names(tmp_path / "done") == ["a-1.txt", "a.txt"] and not names(tmp_path))
    assert len(intake.seen) == 2, "also by the name that it was given in done"


def test_what_is_remembered_is_bounded_and_outlives_a_cut_line(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    memory.load()
    prints = [fingerprint(b"%d" % number) for number in range(3 * KEPT)]
    for at in range(0, len(prints), 1_000):
        memory.add(prints[at : at + 1_000])
    memory.add(prints[:1])
    assert prints[-1] in memory
    assert prints[1] not in memory
    with (tmp_path / "memory").open("a") as file:
        file.write(prints[1][:30])
    memory.add([prints[2]])
    again = Memory(tmp_path / "memory")
    again.load()
    assert [prints[2] in again, prints[-1] in again, prints[1] in again] == [True, True, False]
    for at in range(0, len(prints), 100):
        again.add(prints[at : at + 100])
    for at in range(0, len(prints), 100):
        again.add(prints[at : at + 100])
    assert (tmp_path / "memory").stat().st_size < 5 * KEPT * 65


@given(st.binary(max_size=300), st.sampled_from(["line", "lines", "results"]))
def test_any_content_is_results_or_reasons(body: bytes, holds: str) -> None:
    of = settings(Path("/r"), holds=holds)
    for one in results_of(of, Taken("x", body, 0, 0)):
        assert (one.result is None) == bool(one.reason)


@given(st.binary(min_size=1, max_size=255).filter(lambda raw: not set(raw) & {0, 47}))
def test_any_name_can_be_shown(raw: bytes) -> None:
    text = plain(os.fsdecode(raw))
    assert text.isprintable()
    text.encode("utf-8")
