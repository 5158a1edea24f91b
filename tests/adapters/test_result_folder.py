"""Result files in a folder that others write to: many, planted ones, writers that do not let go, junk."""

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._result_folder import MOST_FILES, Folder, Taken, _free
from adapters._result_notes import Note, note_of, read_note, write_note
from edge.contract import Outcome, SourceLost, Verdict
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

ROWS: dict[str, Any] = {"holds": "results"}
JUNK = "nonsense\n"


def folder_of(path: Path, most: int = MOST_FILES, **keys: object) -> Folder:
    folder = Folder(path, settings(path, **{"quiet": "1ms", **keys}).rules(), most)
    folder.prepare()
    return folder


def taken(folder: Folder, name: str) -> Taken:
    """Looked at, moved to `taking/` and read."""
    folder.whole(0.0)
    assert name in folder.whole(1.0)
    assert folder.take(name)
    found = folder.read(name)
    assert found is not None
    return found


# --- many names -------------------------------------------------------------------------------


def test_what_does_not_match_hides_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, files="*.csv")
    for number in range(10_500):
        (tmp_path / f"r{number}.pdf").touch()
    for number in range(100):
        (tmp_path / f"r{number}.csv").write_text("a")
    folder.whole(0.0)
    assert len(folder.whole(1.0)) == 100


@pytest.mark.parametrize("marker", ["", "{stem}.ok"])
def test_each_of_many_files_has_its_turn(tmp_path: Path, marker: str) -> None:
    """More than are looked at in one go, and the first ones are never whole."""
    folder = folder_of(tmp_path, 10, files="*.csv", marker=marker, quiet="2s")
    for number in range(35):
        (tmp_path / f"a{number:02}.csv").write_text("a" if marker else "")
    for number in range(5):
        (tmp_path / f"b{number}.csv").write_text("b")
        (tmp_path / f"b{number}.ok").touch()
    found: set[str] = set()
    for now_s in range(20):
        found |= set(folder.whole(float(now_s)))
    assert found == {f"b{number}.csv" for number in range(5)}
    folder.whole(20.0)
    assert len(folder._seen) <= 10, "bounded"


def test_a_name_that_is_free_is_found_at_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    for number in range(20_000):
        (tmp_path / "done" / (f"r-{number}.csv" if number else "r.csv")).touch()
    write(tmp_path / "r.csv", LINE.format(1))
    one = taken(folder, "r.csv")
    before_s = time.perf_counter()
    folder.put_away(one, [], 1, broken=False)
    assert time.perf_counter() - before_s < 0.05
    assert (tmp_path / "done/r-20000.csv").exists()


@given(st.sets(st.integers(0, 40)))
def test_a_free_name_is_free(tmp_path_factory: pytest.TempPathFactory, numbers: set[int]) -> None:
    folder = tmp_path_factory.mktemp("done")
    for number in numbers:
        (folder / (f"r-{number}.csv" if number else "r.csv")).touch()
    assert not _free(folder, "r.csv").exists()


# --- what others put there --------------------------------------------------------------------


async def test_a_note_that_was_planted_is_ignored_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    intake = MemoryIntake("rig-1")
    (tmp_path / "taking").mkdir()
    (tmp_path / "taking/.plant.csv.recorded").write_text("999")
    for number, name in enumerate(("plant", "other", "many")):
        (tmp_path / f"{name}.csv").write_text(LINE.format(number))
    write_note(tmp_path / "taking/.other.csv.recorded", Note(999, 999, 3, "0" * 64))
    write_note(tmp_path / "taking/.many.csv.recorded", note_of(LINE.format(2).encode(), 99, 99, []))
    async with collecting(settings(tmp_path, **ROWS), intake):
        await there(lambda: len(names(tmp_path / "done")) == 3)
    assert len(results(intake)) == 3
    said = [one.getMessage() for one in caplog.records if "read from its beginning" in one.getMessage()]
    assert sorted(one.split()[0] for one in said) == ["many.csv", "other.csv", "plant.csv"]
    assert names(tmp_path / "taking") == []


def test_a_link_in_the_place_of_a_note_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("journal")
    rig = tmp_path / "rig"
    rig.mkdir()
    folder = folder_of(rig, **ROWS)
    write(rig / "many.csv", LINE.format(1), LINE.format(2))
    for name in (".many.csv.recorded~", ".many.csv.recorded", ".lineside-probe", ".lineside-recorded~"):
        (rig / "taking" / name).symlink_to(victim)
    (rig / "broken/many.csv.result.txt").symlink_to(victim)
    one = taken(folder, "many.csv")
    assert one.recorded == 0
    folder.note(one, 1, 2, ["x"])
    assert read_note(rig / "taking/.many.csv.recorded") == note_of(one.body, 1, 2, ["x"])
    folder.put_away(one, ["x"], 2, broken=True)
    assert victim.read_text() == "journal"
    assert (rig / "broken/many-1.csv.result.txt").read_text() == "x\n"


@pytest.mark.parametrize("aside", ["taking", "done", "broken"])
async def test_a_folder_of_ours_that_leads_elsewhere_is_refused(tmp_path: Path, aside: str) -> None:
    rig, elsewhere = tmp_path / "rig", tmp_path / "elsewhere"
    rig.mkdir()
    elsewhere.mkdir()
    (rig / aside).symlink_to(elsewhere)
    with pytest.raises(SourceLost, match=f"{aside} must be a folder, no link"):
        await result_files_once(rig)
    (rig / aside).unlink()
    folder = folder_of(rig)
    (rig / aside).rmdir() if aside != "taking" else (rig / aside).rename(rig / "away")
    (rig / aside).symlink_to(elsewhere)
    with pytest.raises(OSError, match="no link"):
        folder.begun()


async def result_files_once(rig: Path) -> None:
    async with collecting(settings(rig), MemoryIntake("rig-1")) as task:
        await asyncio.wait_for(task, 5)


@pytest.mark.parametrize("name", [".hang.csv.recorded", ".lineside-recorded", ".lineside-probe"])
async def test_a_pipe_in_the_place_of_a_note_stalls_nothing(tmp_path: Path, name: str) -> None:
    intake = MemoryIntake("rig-1")
    (tmp_path / "taking").mkdir()
    os.mkfifo(tmp_path / "taking" / name)
    write(tmp_path / "hang.csv", LINE.format(1))
    async with asyncio.timeout(5), collecting(settings(tmp_path, **ROWS), intake) as task:
        await intake.until(lambda: len(intake.seen) == 1 or task.done())
    assert units(intake) == ["U-0001"]


# --- a writer that does not let go ------------------------------------------------------------


async def test_what_is_written_after_a_file_was_put_away_is_taken_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same file, open all the time; its last line was read before its end was written."""
    intake = MemoryIntake("rig-1")
    of = settings(tmp_path, **ROWS, unit="scanned")
    rows = ["program=A;weight=1;result=PASS\n", "program=A;weight=1;result=PASS\n", "program=B;result=FAIL\n"]
    async with collecting(of, intake):
        with (tmp_path / "slow.csv").open("w") as file:
            file.write(rows[0] + rows[1][:-1])
            file.flush()
            await there(lambda: names(tmp_path / "done") == ["slow.csv"])
            file.write("\n" + rows[2])
            file.flush()
            await intake.until(lambda: len(intake.seen) == 3)
            await there(lambda: names(tmp_path / "done") == ["slow.csv"])
            file.write(rows[2][:12])
            file.flush()
            await there(lambda: "slow.csv" in names(tmp_path / "broken"))
            file.write(rows[2][12:])
            file.flush()
            await there(lambda: names(tmp_path / "done") == ["slow.csv"])
    assert [one.program for one in results(intake)] == ["A", "A", "B", "B"]
    assert len({one.detail for one in intake.seen}) == 5
    assert "slow.csv was written to after it was read; it is looked at once more" in caplog.messages


@pytest.mark.parametrize(
    ("before", "after", "grows", "begun"),
    [
        (b"a\nb\n", b"a\nb\n", True, 2),
        (b"a\nb\n", b"a\nb\nc\n", True, 2),
        (b"a\nb", b"a\nb\nc", True, 2),
        (b"a\nb", b"a\nbb\nc", True, 1),
        (b"a\nb", b"a\nb\n", False, 2),
        (b"a\nb\n", b"a\nb\nc\n", False, None),
        (b"a\nb\n", b"a\nX\nc\n", True, None),
        (b"a\nb\n", b"a\n", True, None),
        ("a\nb\n".encode("utf-16-le"), "a\nb\nc\n".encode("utf-16-le"), True, 2),
    ],
)
def test_a_note_is_of_the_content_that_it_was_written_for(
    before: bytes, after: bytes, grows: bool, begun: int | None
) -> None:
    assert note_of(before, 2, 2, []).begun(after, grows=grows) == begun


@given(st.binary(max_size=200))
def test_any_note_is_one_or_none(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("note") / "note"
    path.write_bytes(raw)
    assert read_note(path) is None


# --- junk -------------------------------------------------------------------------------------


async def test_a_file_of_junk_is_told_in_a_few_words(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    write(tmp_path / "junk.csv", LINE.format(1), JUNK * 50_000, LINE.format(2))
    async with collecting(settings(tmp_path, **ROWS), intake):
        await there(lambda: "junk.csv" in names(tmp_path / "broken"))
    assert units(intake) == ["U-0001", "U-0002"]
    assert len(bad(intake)) == 21
    assert bad(intake)[-1] == "junk.csv: 49980 more of its results are broken; see junk.csv.result.txt"
    report = (tmp_path / "broken/junk.csv.result.txt").read_text().splitlines()
    assert (len(report), report[0][:9], report[-1]) == (201, "result 2:", "and 49800 more")


async def test_a_fault_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is broken is in the log by its event; what the core refuses is said here."""
    caplog.set_level(logging.INFO)
    intake = MemoryIntake("rig-1", lambda one: Outcome(Verdict.REFUSED, "scan first"))
    write(tmp_path / "a.csv", JUNK)
    write(tmp_path / "b.csv", LINE.format(1), LINE.format(2))
    async with collecting(settings(tmp_path, **ROWS), intake):
        await there(lambda: len(names(tmp_path / "broken")) == 4)
    assert caplog.messages == ["rig-1: b.csv: result 1: scan first"]
