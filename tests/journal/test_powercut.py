"""The power goes at any instant: no acknowledged commit is lost, no journal is damaged."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from edge.journal import JournalReader
from edge.journal.frames import commits_behind_damage
from edge.journal.store import Journal
from edge.production.state import LineRow, decode_row
from tests.journal.floor import said
from tests.journal.powercut import Image, Op, images, recording

COMMITS = 240
IN_CI, IN_SOAK = 2_000, 20_000


@dataclass(slots=True)
class Lost:
    """What became of the images."""

    images: int = 0
    behind: int = 0
    """Those that lack a commit that had been acknowledged."""
    commits: int = 0
    """How many, of the one that lacks most."""
    damaged: int = 0
    torn: int = 0
    """Those in which state and events do not belong together."""
    told: int = 0
    """Those of which a start says that commits are lost with the end of the log; one in eight is asked."""

    @property
    def none(self) -> bool:
        return not (self.behind or self.damaged or self.torn or self.told)


def work(folder: Path, synchronous: str, checkpoints: str, seed: int) -> list[Op]:
    """A journal in use: commits of several sizes, checkpoints, a reader, the agent started again.

    `synchronous` of its commits and of its checkpoints; empty: as the journal has it.
    """
    chance = random.Random(seed)
    with recording() as ops:
        commits = 0
        for _ in range(3):
            journal = Journal(folder / "journal.db")
            as_usual = synchronous or journal._db.pragma("synchronous")
            journal._db.pragma("synchronous", as_usual)
            with closing(JournalReader(journal.path, "line-1")) as reader:
                while commits < COMMITS and (commits % 80 or not commits or chance.random() < 0.5):
                    commits += 1
                    number = journal.head + 1
                    long = "x" * chance.choice((10, 10, 10, 3_000, 9_000))
                    several = [said(number + place, long) for place in range(chance.randint(1, 6))]
                    head = journal.commit(several, {"line": LineRow(number + len(several) - 1)})
                    ops.append(Op("acknowledged", offset=head))
                    if not commits % 9:
                        assert reader.head() == head
                        journal._db.pragma("synchronous", checkpoints or as_usual)
                        journal.wal.checkpoint(reset=not commits % 4)
                        journal._db.pragma("synchronous", as_usual)
            journal.close()
            commits += 1
    return ops


def look_at(image: Image, folder: Path, lost: Lost) -> None:
    image.lay_out(folder)
    lost.images += 1
    log = folder / "journal.db-wal"
    if not lost.images % 8:  # the sums of a log take long in Python
        lost.told += log.exists() and commits_behind_damage(log) > 0
    try:
        db = apsw.Connection(str(folder / "journal.db"))
        try:
            sound = db.pragma("integrity_check") == "ok"
            version = db.pragma("user_version")
            [(head, row)] = (
                db.execute(
                    "SELECT (SELECT max(seq) FROM event), (SELECT body FROM state WHERE key = 'line')"
                ).fetchall()
                if version
                else [(None, None)]
            )
        finally:
            db.close()
    except (apsw.CorruptError, apsw.NotADBError):
        sound, head, row = False, None, None
    lost.damaged += not sound
    if sound:
        found = int(head or 0)
        if found < image.acknowledged:
            lost.behind += 1
            lost.commits = max(lost.commits, image.acknowledged - found)
        assert isinstance(row, bytes | None)
        lost.torn += (decode_row(row) if row else LineRow(0)) != LineRow(found)


def cut(folder: Path, count: int, synchronous: str = "", checkpoints: str = "", seed: int = 1) -> Lost:
    """So many images of one run."""
    lost = Lost()
    (folder / "run").mkdir()
    ops = work(folder / "run", synchronous, checkpoints, seed)
    place = folder / "image"
    for image in images(ops, count, random.Random(seed)):
        place.mkdir()
        look_at(image, place, lost)
        shutil.rmtree(place)
    return lost


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: what counts is what was synced, and that is modelled."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


def test_no_acknowledged_commit_is_lost(folder: Path) -> None:
    lost = cut(folder, IN_CI)
    assert lost.images == IN_CI
    assert lost.none, lost


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", range(10))
def test_no_acknowledged_commit_is_ever_lost(folder: Path, seed: int) -> None:
    lost = cut(folder, IN_SOAK // 10, seed=100 + seed)
    assert lost.none, lost


@pytest.mark.parametrize("synchronous", ["normal", "off"])
def test_the_model_finds_what_a_journal_that_syncs_less_loses(folder: Path, synchronous: str) -> None:
    """A model that finds nothing here could not find anything above."""
    lost = cut(folder, 300, synchronous)
    assert lost.behind > 30, lost
    assert lost.commits > 10, lost
    if synchronous == "off":
        assert lost.damaged > 3, lost


def test_the_model_notices_a_checkpoint_that_is_not_synced(folder: Path) -> None:
    assert not cut(folder, 300, checkpoints="off").none
