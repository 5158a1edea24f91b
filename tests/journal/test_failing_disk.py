"""A disk that fails: the agent says so, ends, tries nothing twice, and starts again from what is certain."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from edge.errors import JournalError, NotRecorded
from edge.journal import Journal, begin
from simulators.labels import label
from simulators.launch import simulator
from tests.journal.floor import counted, details, integrity, said
from tests.journal.powercut import BASE
from tests.line.test_agent import agent, made, packer, produced


class Failing(apsw.VFS):
    """SQLite's own, but syncs of one kind of file fail when they are told to."""

    def __init__(self) -> None:
        self.fails = ""
        """The end of the names."""
        self.failed = 0
        self.error: type[apsw.Error] = apsw.IOError
        super().__init__("failing", BASE, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "FailingFile":
        return FailingFile(name, flags, self)


class FailingFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], vfs: Failing) -> None:
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self._vfs = vfs
        super().__init__(BASE, name, flags)

    def xSync(self, flags: int) -> None:
        if self._vfs.fails and self._name.endswith(self._vfs.fails):
            self._vfs.failed += 1
            raise self._vfs.error("disk I/O error")
        super().xSync(flags)


@contextmanager
def failing() -> Iterator[Failing]:
    vfs = Failing()
    try:
        yield vfs
    finally:
        vfs.unregister()


def go_on_for(commits: int, journal: Journal) -> None:
    for number in range(commits):
        journal.commit([said(number, "x" * 10_000)])


def test_a_sync_that_fails_is_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with failing() as vfs:
        journal = Journal(path)
        journal.commit([said(1)])
        vfs.fails = "-wal"
        with pytest.raises(JournalError, match="disk I/O error; the agent must start again"):
            journal.commit([said(2)])
        vfs.fails = ""  # the kernel takes the pages for written now, and would say that all is well
        for _ in range(2):
            with pytest.raises(JournalError, match="must start again"):
                journal.commit([said(3)])
        with pytest.raises(JournalError), journal.transaction():
            pass
        assert vfs.failed == 1
        log = Path(f"{path}-wal").read_bytes()
        journal.close()
        assert Path(f"{path}-wal").read_bytes() == log, "the file is left as it is"
    journal, found = begin(path)
    assert found is None
    assert details(path)[1] == "event 1"
    assert journal.commit([said(9)]) == journal.head
    journal.close()
    assert integrity(path) == "ok"


def test_a_checkpoint_that_cannot_sync_ends_the_agent_too(tmp_path: Path) -> None:
    """SQLite's own checkpoint would keep it to itself."""
    path = tmp_path / "journal.db"
    with failing() as vfs:
        journal = Journal(path)
        vfs.fails = "journal.db"
        with pytest.raises(JournalError, match="must start again"):
            go_on_for(2_000, journal)
        head = journal.head
        journal.close()
    journal, found = begin(path)
    assert found is None
    assert journal.head >= head > 100
    assert set(details(path)) == set(range(1, journal.head + 1))
    journal.close()


def test_a_log_that_cannot_be_shortened_for_want_of_room_is_no_reason_to_end(tmp_path: Path) -> None:
    with failing() as vfs:
        journal = Journal(tmp_path / "journal.db")
        vfs.fails, vfs.error = "journal.db", apsw.FullError
        go_on_for(1_200, journal)
        assert vfs.failed
        assert journal.wal.bytes > 8_000_000
        vfs.fails = ""
        journal.commit([said(1, "x" * 2_000_000)])
        assert journal.wal.bytes < 8_000_000
        journal.close()


# --- a file system that turns read-only ------------------------------------------------------------


class Card:
    """A file system of its own in a file, as on a card; only root can have one."""

    def __init__(self, folder: Path) -> None:
        self._image = folder / "card.img"
        self.root = folder / "card"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(64 << 20)
        self._do("mkfs.ext4", "-q", "-F", str(self._image))
        self.mount()

    def mount(self) -> None:
        self._do("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.root))

    def wear_out(self) -> None:
        """The kernel finds an error in it, and lets nobody write to it from then on."""
        device = next(
            line.split()[0] for line in Path("/proc/mounts").read_text().splitlines()
            if line.split()[1] == str(self.root)
        )  # fmt: skip
        Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("test")

    def repair(self) -> None:
        """Move what it holds to a new one: another mount namespace may keep the worn one mounted."""
        os.sync()
        self._do("umount", str(self.root))
        worn, self._image = self._image, self._image.with_suffix(".new")
        shutil.copy(worn, self._image)
        subprocess.run(["e2fsck", "-fy", str(self._image)], capture_output=True, check=False)
        self.mount()

    def _do(self, *command: str) -> None:
        subprocess.run(command, capture_output=True, check=True)


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("needs e2fsprogs")
    try:
        made_of_it = Card(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("needs the right to mount; a sync that fails stands in for it elsewhere")
    yield made_of_it
    subprocess.run(["umount", "-l", str(made_of_it.root)], check=True)


async def test_an_agent_whose_card_turns_read_only_ends_loudly_and_starts_again_clean(
    tmp_path: Path, card: Card
) -> None:
    (card.root / "data").mkdir()
    (tmp_path / "data").symlink_to(card.root / "data")
    async with (
        packer(tmp_path, "--tcp") as machine,
        simulator("scanner", "--link", str(tmp_path / "gun-1")) as gun,
    ):
        host = f'host = "tcp://127.0.0.1:{machine.where.port}"'
        async with agent(tmp_path, host) as running:
            await running.until(lambda: "gun-1: connected" in running.log)
            await running.until(lambda: len(running.events("count")) == 2)
            assert (await gun.scan(label("J", "WO-1-10"))).answer == "confirmed"
            await machine.do("start")
            await running.until(lambda: produced(running, "WO-1") > 10)
            card.wear_out()
            assert await running.process.wait() == 1
            [said_last] = re.findall(r"^journal .*$", running.log, re.MULTILINE)
            assert "the agent must start again" in said_last
            assert "Traceback" not in running.log
        async with agent(tmp_path, host) as running:
            assert await running.process.wait() == 1, "as long as it is read-only"
        card.repair()
        known = set(details(tmp_path / "data/journal.db"))
        async with agent(tmp_path, host) as running:
            await running.until(lambda: produced(running, "WO-1") > 50)
            await machine.do("stop")
            await running.until(lambda: counted(tmp_path / "data/journal.db") == made(tmp_path))
            assert await running.stop() == 0
        assert known <= set(details(tmp_path / "data/journal.db"))
        assert integrity(tmp_path / "data/journal.db") == "ok"


def test_a_full_disk_is_no_failed_one(tmp_path: Path) -> None:
    with failing() as vfs:
        journal = Journal(tmp_path / "journal.db")
        vfs.fails, vfs.error = "-wal", apsw.FullError
        with pytest.raises(NotRecorded):
            journal.commit([said(1)])
        vfs.fails = ""
        assert journal.commit([said(1)]) == 1
        journal.close()
