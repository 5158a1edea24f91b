"""Result files: what is whole and what is not, hostile names and files, kills, and the whole agent."""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters import result_files
from adapters._result_folder import Folder, Taken, plain
from adapters._result_memory import KEPT, Memory, fingerprint
from adapters.result_files import Settings, folder_failure, results_of
from edge.contract import Outcome, Quality, SourceLost, TestResult, Verdict
from tests.support.agent import running_agent, whole_lines
from tests.support.intake import MemoryIntake

LINE = "unit=U-{0:04};program=LEAK;number={0};leak=0.12:mbar:0:0.5;result=PASS\n"
UNNUMBERED = "program=SCALE;weight=12.5:g;result=PASS\n"
QUICK = {"quiet": "50ms", "every": "20ms"}


def settings(folder: Path, **keys: object) -> Settings:
    table = {"type": "result-files", "folder": str(folder), **QUICK, **keys}
    return Settings.model_validate(table)


@contextlib.asynccontextmanager
async def collecting(of: Settings, intake: MemoryIntake) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(result_files.collect(of, [], intake))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def results(intake: MemoryIntake) -> list[TestResult]:
    return [one.value for one in intake.seen if isinstance(one.value, TestResult)]


def units(intake: MemoryIntake) -> list[str]:
    return [one.unit for one in results(intake)]


def bad(intake: MemoryIntake) -> list[str]:
    return [one.detail for one in intake.seen if one.quality is Quality.BAD]


def names(folder: Path) -> list[str]:
    """What a user put there or looks for; not what the agent remembers."""
    found = [one.name for one in folder.iterdir() if one.is_file()] if folder.exists() else []
    return sorted(name for name in found if name != ".lineside-recorded")


async def there(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


def write(path: Path, *lines: str) -> None:
    path.write_text("".join(lines))


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


# --- hostile --------------------------------------------------------------------------------

HOSTILE = [
    b"a b.txt", b"-rf.txt", b"new\nline.txt", b"\x1b[31mred.txt", b"\xff\xfe.txt", "\u202egpj.txt".encode(),
    b"{name}.txt", b"%s%n.txt", b"n" * 251 + b".txt", b"*x.txt", b"'; drop.txt",
]  # fmt: skip


async def test_hostile_names(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    for number, name in enumerate(HOSTILE):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text(LINE.format(number))
        broken = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name[1:]))
        broken.write_text("x")
    async with collecting(settings(tmp_path, files="*"), intake):
        await intake.until(lambda: len(intake.seen) == 2 * len(HOSTILE))
        await there(lambda: names(tmp_path) == [] and names(tmp_path / "taking") == [])
    assert sorted(units(intake)) == sorted(f"U-{number:04}" for number in range(len(HOSTILE)))
    assert len(names(tmp_path / "done")) == len(HOSTILE)
    assert len(names(tmp_path / "broken")) == 2 * len(HOSTILE)
    assert all(one.isprintable() for one in bad(intake))


async def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    secret = tmp_path / "secret"
    write(secret, LINE.format(9))
    folder = tmp_path / "rig"
    folder.mkdir()
    (folder / "link.txt").symlink_to(secret)
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    os.mkfifo(folder / "pipe.txt")
    (folder / "dir.txt").mkdir()
    write(folder / "empty.txt")
    write(folder / "one.txt", LINE.format(1))
    async with collecting(settings(folder), intake):
        await there(lambda: names(folder / "done") == ["one.txt"])
        await asyncio.sleep(0.2)
    assert units(intake) == ["U-0001"]
    assert (folder / "link.txt").is_symlink()
    assert secret.exists()


async def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(50_000_000_000)
    async with collecting(settings(tmp_path, largest="10KB"), intake):
        await there(lambda: "huge.txt" in names(tmp_path / "broken"))
    assert "50000000000 bytes; a file larger than `largest`" in bad(intake)[0]


async def test_one_that_cannot_be_read_is_put_aside_and_does_not_stop_the_others(tmp_path: Path) -> None:
    """Root may read all, so it is a link, put there between two looks, that is not followed."""
    folder, intake = Folder(tmp_path, settings(tmp_path).rules()), MemoryIntake("rig-1")
    folder.prepare()
    (tmp_path / "taking/a.txt").symlink_to("/etc/passwd")
    assert folder.read("a.txt") is None  # never looked at before
    taken = folder.read("a.txt")
    assert taken is not None
    assert (taken.body, taken.fault) == (b"", "it cannot be read: Too many levels of symbolic links")
    folder.put_away(taken, ["no"], 1, broken=True)
    assert (tmp_path / "broken/a.txt").is_symlink()
    async with collecting(settings(tmp_path), intake):
        write(tmp_path / "one.txt", LINE.format(1))
        await intake.until(lambda: len(intake.seen) == 1)


# --- the disk and the share -----------------------------------------------------------------


async def test_a_folder_that_is_not_there_or_goes(tmp_path: Path) -> None:
    with pytest.raises(SourceLost, match=r"there is no .*; is the share mounted"):
        await result_files.collect(settings(tmp_path / "none"), [], MemoryIntake("rig-1"))
    with pytest.raises(SourceLost, match="nothing is mounted at"):
        await result_files.collect(settings(tmp_path, mount=str(tmp_path)), [], MemoryIntake("rig-1"))
    folder, intake = tmp_path / "share", MemoryIntake("rig-1")
    folder.mkdir()
    async with collecting(settings(folder), intake) as task:
        await there(lambda: intake.connections == 1)
        folder.rename(tmp_path / "away")
        with pytest.raises(SourceLost, match="there is no"):
            await asyncio.wait_for(task, 5)
    assert not folder.exists()


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 256 KB in size."""
    folder = tmp_path / "mnt"
    folder.mkdir()
    if not mounted(folder):
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def mounted(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=256K", "lineside-test", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


async def test_a_share_that_vanishes_is_noticed_and_used_again_when_it_is_back(share: Path) -> None:
    """Its empty mount point is a folder like any other, and nothing is left in it."""
    of, intake = settings(share, mount=str(share)), MemoryIntake("rig-1")
    async with collecting(of, intake) as task:
        write(share / "one.txt", LINE.format(1))
        await there(lambda: names(share / "done") == ["one.txt"])
        subprocess.run(["umount", "-l", str(share)], check=True)
        with pytest.raises(SourceLost, match=r"nothing is mounted at|is the share mounted"):
            await asyncio.wait_for(task, 5)
    assert list(share.iterdir()) == []
    assert mounted(share)
    async with collecting(of, intake):
        write(share / "two.txt", LINE.format(2))
        await intake.until(lambda: len(intake.seen) == 2)
    assert units(intake) == ["U-0001", "U-0002"]


async def test_a_full_share_loses_nothing(share: Path) -> None:
    """No room for a note or a report: files are recorded and moved all the same, or wait and say so."""
    intake = MemoryIntake("rig-1")
    of = settings(share, holds="results")
    async with collecting(of, intake) as task:
        await there(lambda: intake.connections == 1)
        write(share / "large.tmp", *[LINE.format(number) for number in range(1, 101)])
        write(share / "broken.tmp", "nonsense\n")
        with contextlib.suppress(OSError), (share / "filler").open("wb", buffering=0) as filler:
            (share / "filler").rename(share / "filler.tmp")
            while True:
                filler.write(b"x" * 4096)
        (share / "broken.tmp").rename(share / "broken.txt")
        await there(lambda: names(share / "broken")[:1] == ["broken.txt"])
        (share / "large.tmp").rename(share / "large.txt")
        with pytest.raises(SourceLost, match=r"the disk of .* is full"):
            await asyncio.wait_for(task, 5)
    (share / "filler.tmp").unlink()
    async with collecting(of, intake):
        await there(lambda: "large.txt" in names(share / "done"))
    assert set(units(intake)) == {f"U-{number:04}" for number in range(1, 101)}


@pytest.mark.parametrize(
    "number", [errno.ENOENT, errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ESTALE, errno.EHOSTDOWN, 999]
)
def test_every_error_of_the_disk_is_a_sentence(number: int) -> None:
    said = folder_failure("rig-1", settings(Path("/srv/rig")), OSError(number, os.strerror(number)))
    assert isinstance(said, SourceLost)
    assert "/srv/rig" in said.reason


async def test_what_cannot_be_recorded_waits_and_nothing_overtakes_it(tmp_path: Path) -> None:
    intake = MemoryIntake("rig-1")
    intake.failing = True
    async with collecting(settings(tmp_path), intake):
        write(tmp_path / "one.txt", LINE.format(1))
        await there(lambda: names(tmp_path / "taking") == ["one.txt"])
        write(tmp_path / "one.txt", LINE.format(2))  # the rig goes on, under the same name
        await asyncio.sleep(0.3)
        assert names(tmp_path) == ["one.txt"]
        intake.failing = False
        await intake.until(lambda: len(intake.seen) == 2)
    assert units(intake) == ["U-0001", "U-0002"]


@pytest.mark.parametrize(
    "table",
    [
        {"folder": "relative"}, {"files": "a/*.csv"}, {"files": ""}, {"marker": "done"}, {"marker": "{x}.ok"},
        {"marker": "../{name}.ok"}, {"marker": "{name}"}, {"largest": "1GB"}, {"mount": "x"},
        {"port": "/dev/x"},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"type": "result-files", "folder": "/srv/rig", **table})


# --- kills ----------------------------------------------------------------------------------

DYING = """
import asyncio, os, signal, sys
from pathlib import Path
from adapters import result_files
from edge.contract import Outcome, Verdict
from tests.support.intake import MemoryIntake

folder, disk, dies_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

class Disk(MemoryIntake):
    recorded = 0
    async def emit(self, observations):
        with disk.open("a") as file:
            file.write("".join(f"{one.detail}\\n" for one in observations))
        self.recorded += len(observations)
        if dies_at and self.recorded >= dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if dies_at == 0 and any("STOP" in one.detail for one in observations):
            print("done", flush=True)
        return [Outcome(Verdict.ACCEPTED) for _ in observations]

of = result_files.Settings.model_validate(
    {"type": "result-files", "folder": str(folder), "holds": "results", "quiet": "20ms", "every": "10ms",
     "ignore": ["last"]})
asyncio.run(result_files.collect(of, [], Disk("rig-1")))
"""


async def test_a_kill_in_a_large_file_repeats_no_more_than_the_core_remembers(tmp_path: Path) -> None:
    """500 results, killed after every 100th or so: each is on disk, and what comes twice comes at once."""
    folder, disk = tmp_path / "rig", tmp_path / "disk"
    folder.mkdir()
    lines = [LINE.format(number) for number in range(1, 501)]
    write(folder / "shift.txt", *lines, "unit=STOP;program=P;number=501;result=PASS\n")
    arguments = (sys.executable, "-c", DYING, str(folder), str(disk))
    for _ in range(4):
        process = await asyncio.create_subprocess_exec(*arguments, "100")
        assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGKILL
    process = await asyncio.create_subprocess_exec(*arguments, "0", stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"done\n"
    await there(lambda: names(folder / "done") == ["shift.txt"])
    process.kill()
    await process.wait()
    came = [int(one.partition("number=")[2].partition(";")[0]) for one in disk.read_text().splitlines()]
    assert set(came) == set(range(1, 502))
    remembered: list[int] = []
    for number in came:
        assert number in remembered[-64:] or number not in remembered
        remembered += [number] if number not in remembered else []
    assert remembered == sorted(remembered)


AGENT = """
[line]
name = "line-1"
badge = "optional"

[source.rig-1]
type = "result-files"
folder = "{folder}/rig"
holds = "results"
quiet = "20ms"
every = "10ms"

[[station]]
name = "eol"
ideal_cycle = "10s"
rig = "rig-1"

[sink.file]
type = "file"
"""


def recorded(folder: Path) -> Counter[str]:
    """How often each unit's result is in the file sink, by its event's id: a repeat on the way is none."""
    tests = {}
    for path in sorted((folder / "data/out/file").glob("*.jsonl")):
        for event in whole_lines(path):
            if event["type"] == "test":
                tests[event["id"]] = event["data"]["unit"]
    return Counter(tests.values())


def make_files(folder: Path, number: int) -> int:
    """One with a result and one with ninety, the first of them `number` + 1; the last one's number."""
    for size in (1, 90):
        write(folder / f"{number}.tmp", *[LINE.format(number + one) for one in range(1, size + 1)])
        (folder / f"{number}.tmp").rename(folder / f"{number}.txt")
        number += size
    return number


def has_begun(folder: Path, number: int) -> bool:
    """Some of the newest results are on record."""
    return sum(recorded(folder).values()) > number - 80


async def test_the_agent_records_each_result_once_however_often_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "rig"
    folder.mkdir()
    number = 0
    for _ in range(3):
        async with running_agent(tmp_path, AGENT.format(folder=tmp_path)) as running:
            number = make_files(folder, number)
            await running.until(partial(has_begun, tmp_path, number))
            running.process.kill()
            await running.process.wait()
    async with running_agent(tmp_path, AGENT.format(folder=tmp_path)) as running:
        await running.until(lambda: running.log.count("rig-1: connected") == 4)
        await running.until(lambda: len(recorded(tmp_path)) >= number)
        await there(lambda: len(names(folder / "done")) == 6)
        assert await running.stop() == 0
    assert recorded(tmp_path) == Counter({f"U-{one:04}": 1 for one in range(1, number + 1)})


def test_a_file_of_one_line_may_end_like_a_line(tmp_path: Path) -> None:
    columns = {"fields": {"unit": 1, "result": 2}, "constants": {"program": "P"}, "columns": 2}
    of = settings(tmp_path, format="csv", **columns)
    [one] = results_of(of, Taken("r.csv", b"U-1,PASS\r\n", 5_000_000, 0))
    assert one.result == TestResult("U-1", "P", True, None, "r.csv@5#1")
