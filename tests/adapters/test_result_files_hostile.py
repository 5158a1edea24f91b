"""Result files with hostile names and content, on disks and shares that fail."""

import asyncio
import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from adapters import result_files
from adapters._result_folder import Folder
from adapters.result_files import Settings, folder_failure
from edge.contract import SourceLost
from tests.adapters.result_files_support import (
    LINE,
    bad,
    collecting,
    names,
    settings,
    there,
    units,
    write,
)
from tests.support.intake import MemoryIntake

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
