"""The results sink: one whole file a job, the newest result wins, and what a receipt names is on the disk."""

import csv
import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import ValidationError

from adapters import results
from edge.contract import Outlet, Record, Sink, SinkLost, SinkRefused
from edge.journal.reader import iso
from tests.support.records import AT_MS, count, record

RESULT = {
    "order": "WO-1", "operation": 10, "state": "Ended", "item": "P7", "quantity": 100, "produced": 104,
    "good": 100, "scrap": 3, "rework": 1, "reworked": 2, "adjusted": -1, "inspected": 9, "first_pass": 8,
    "started_ms": AT_MS, "ended_ms": AT_MS + 1000, "busy_s": 1.0, "reasons": {"BURR": 2, "DENT": 1},
    "lots": ["L1", "L2"], "people": ["4711"], "aside": {"setup/press": 4},
}  # fmt: skip


def said(seq: int, *, epoch: str = "k3f9", at_ms: int = AT_MS, **data: Any) -> Record:
    """A `result` event."""
    made = record(seq, "result", {**RESULT, **data}, {}, station="", at_ms=at_ms)
    return replace(made, id=f"{epoch}-{seq}")


def open_sink(own: Path, **table: Any) -> AbstractAsyncContextManager[Sink]:
    parsed = results.Settings.model_validate({"type": "results", **table})
    return results.connect(parsed, Outlet("erp", "line-1", "acme/leeds", own))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_each_job_is_a_file_of_json(tmp_path: Path) -> None:
    async with open_sink(tmp_path / "own") as sink:
        await sink.show({"/health": b"{}"})
        receipt = await sink.write([said(7), count(8), said(9, operation=20), said(10, operation=None)])
    assert (list(receipt.acknowledged), receipt.rejected) == ([7, 8, 9, 10], {})
    assert names(tmp_path / "own") == {"line-1_WO-1-10.json", "line-1_WO-1-20.json", "line-1_WO-1.json"}
    held = json.loads((tmp_path / "own/line-1_WO-1-10.json").read_bytes())
    times = {"started": iso(AT_MS), "ended": iso(AT_MS + 1000)}
    sender = {"line": "line-1", "id": "k3f9-7", "at": iso(AT_MS)}
    wanted = {**{key: value for key, value in RESULT.items() if not key.endswith("_ms")}, **times, **sender}
    assert held == wanted


async def test_each_job_is_a_file_of_csv(tmp_path: Path) -> None:
    async with open_sink(tmp_path, format="csv") as sink:
        await sink.write([said(7, item='a "b", c', ended_ms=None)])
    with (tmp_path / "line-1_WO-1-10.csv").open(newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    assert row["item"] == 'a "b", c'
    assert (row["reasons"], row["lots"], row["aside"]) == ("BURR=2;DENT=1", "L1;L2", "setup/press=4")
    assert (row["started"], row["ended"], row["adjusted"]) == (iso(AT_MS), "", "-1")
    assert (row["id"], row["at"], row["line"]) == ("k3f9-7", iso(AT_MS), "line-1")


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_a_correction_takes_the_place_and_an_old_repeat_does_not(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"line-1_WO-1-10.{form}"
    async with open_sink(tmp_path, format=form) as sink:
        await sink.write([said(7)])
        await sink.write([said(30, at_ms=AT_MS - 90_000)])  # the clock was set back
        assert "k3f9-30" in path.read_text()
    async with open_sink(tmp_path, format=form) as sink:
        assert list((await sink.write([said(7), said(29)])).acknowledged) == [7, 29]
        assert "k3f9-30" in path.read_text()
        assert list((await sink.write([said(31, epoch="next"), said(30)])).acknowledged) == [31, 30]
        assert list((await sink.write([said(30)])).acknowledged) == [30]
    assert "next-31" in path.read_text()


async def test_a_journal_that_was_begun_anew_is_heard(tmp_path: Path) -> None:
    async with open_sink(tmp_path) as sink:
        await sink.write([said(5000)])
        await sink.write([said(40, epoch="new", at_ms=AT_MS + 60_000, good=1)])
        held = json.loads((tmp_path / "line-1_WO-1-10.json").read_bytes())
    assert (held["id"], held["good"]) == ("new-40", 1)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
async def test_in_whatever_order_they_come_the_newest_stays(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Over starts of the agent: a later epoch has later seqs and, as far as clocks go, later times."""
    folder = tmp_path_factory.mktemp("any")
    form = data.draw(st.sampled_from(["json", "csv"]))
    told = [said(seq, epoch=f"e{seq // 4}", at_ms=AT_MS + seq, good=seq) for seq in range(1, 12)]
    coming = data.draw(st.lists(st.sampled_from(told), min_size=1, max_size=12))
    newest = 0
    while coming:
        some = data.draw(st.integers(1, len(coming)))
        async with open_sink(folder, format=form) as sink:
            await sink.write(coming[:some])
        newest = max(newest, *(one.seq for one in coming[:some]))
        coming = coming[some:]
        assert _held(folder, form) == newest


def _held(folder: Path, form: str) -> int:
    """The seq that the one file tells of."""
    [path] = folder.iterdir()
    if form == "json":
        return int(json.loads(path.read_bytes())["good"])
    with path.open(newline="") as file:
        [row] = csv.DictReader(file)
    return int(row["good"])


@pytest.mark.parametrize(
    "holds",
    [b"", b"\xff\xfe", b"[" * 5000, b'{"id": 5}', b"id,at\n", b'{"id":"x-' + b"9" * 6000 + b'","at":""}'],
)
@pytest.mark.parametrize("form", ["json", "csv"])
async def test_what_is_no_result_there_is_written_anew(tmp_path: Path, holds: bytes, form: str) -> None:
    path = tmp_path / f"line-1_WO-1-10.{form}"
    path.write_bytes(holds)
    async with open_sink(tmp_path, format=form) as sink:
        await sink.write([said(7)])
    assert "k3f9-7" in path.read_text()


@given(holds=st.binary(max_size=200), form=st.sampled_from(["json", "csv"]))
@settings(max_examples=100, deadline=None)
def test_whatever_a_file_holds_it_says_something_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, holds: bytes, form: str
) -> None:
    path = tmp_path_factory.mktemp("held") / "x"
    path.write_bytes(holds)
    results.Files(path.parent, False, "line-1", form)._known(path)


@pytest.mark.parametrize("order", ["../../etc/passwd", "a/b", "", "a\0b", "a\nb", "x" * 200, "CON:"])
async def test_a_hostile_name_is_rejected_and_touches_nothing(tmp_path: Path, order: str) -> None:
    folder = tmp_path / "in" / "folder"
    async with open_sink(folder) as sink:
        receipt = await sink.write([said(7), said(8, order=order, operation=None)])
    if order:
        assert set(receipt.rejected) == {8}
        assert names(folder) == {"line-1_WO-1-10.json"}
    assert names(tmp_path) == {"in"}


async def test_what_is_no_result_is_rejected_in_words(tmp_path: Path) -> None:
    async with open_sink(tmp_path) as sink:
        receipt = await sink.write([record(3, "result", {"order": 5}), said(4)])
    assert list(receipt.acknowledged) == [4]
    assert "this is no result" in receipt.rejected[3]


async def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.write_text("mine")
    (folder / "line-1_WO-1-10.json").symlink_to(other)
    async with open_sink(folder) as sink:
        await sink.write([said(7)])
        (folder / ".line-1_WO-1-10.json.part").symlink_to(other)
        with pytest.raises(SinkRefused):
            await sink.write([said(8)])
    assert other.read_text() == "mine"
    assert not (folder / "line-1_WO-1-10.json").is_symlink()


async def test_one_file_that_cannot_be_written_keeps_no_other_back(tmp_path: Path) -> None:
    (tmp_path / "line-1_WO-1-10.json").mkdir()
    async with open_sink(tmp_path) as sink:
        receipt = await sink.write([said(7), count(8), said(9, operation=20)])
        assert list(receipt.acknowledged) == [8, 9]
        with pytest.raises(SinkRefused, match=r"line-1_WO-1-10.json cannot be written"):
            await sink.write([said(7), count(8)])


# --- the folder -----------------------------------------------------------------------------


async def test_a_share_that_is_not_mounted_is_waited_for(tmp_path: Path) -> None:
    share = tmp_path / "share"
    with pytest.raises(SinkLost, match="is not there; make it, or mount the share"):
        async with open_sink(tmp_path / "own", folder=str(share)):
            pass
    assert not share.exists()
    share.mkdir()
    async with open_sink(tmp_path / "own", folder=str(share)) as sink:
        share.rename(tmp_path / "gone")
        with pytest.raises(SinkLost, match="is not there"):
            await sink.write([said(7)])
        (tmp_path / "gone").rename(share)
        assert list((await sink.write([said(7)])).acknowledged) == [7]


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes; the kernel says so with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    async with open_sink(tmp_path) as sink:
        await sink.write([said(7)])
        before = (tmp_path / "line-1_WO-1-10.json").read_bytes()
        with no_room(100), pytest.raises(SinkLost, match=r"no room for files in .*; free some space"):
            await sink.write([count(8), said(9, good=0)])
        assert (tmp_path / "line-1_WO-1-10.json").read_bytes() == before
        assert names(tmp_path) == {"line-1_WO-1-10.json"}
        assert list((await sink.write([said(9, good=0)])).acknowledged) == [9]
    with no_room(100), pytest.raises(SinkLost, match="no room"):
        async with open_sink(tmp_path):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_folder_that_must_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SinkRefused, match="check the folder and who owns it"):
        async with open_sink(tmp_path):
            pass
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, SinkLost, "free some space"),
        (errno.EDQUOT, SinkLost, "free some space"),
        (errno.EROFS, SinkRefused, "check the folder"),
        (errno.EACCES, SinkRefused, "check the folder"),
        (errno.ENOENT, SinkLost, "mount the share"),
        (errno.ESTALE, SinkLost, "check the disk or the share"),
        (errno.EHOSTDOWN, SinkLost, "check the disk or the share"),
        (errno.EIO, SinkLost, "check the disk or the share"),
    ],
)
def test_what_an_error_means(number: int, kind: type[Exception], words: str) -> None:
    found = results.failure("erp", Path("/srv/erp"), OSError(number, os.strerror(number)))
    assert type(found) is kind
    assert words in str(found)


def test_settings() -> None:
    table = {"type": "results", "format": "csv", "folder": "/srv/erp"}
    assert results.Settings.model_validate(table).owns() == ["/srv/erp"]
    for wrong in ({"folder": "erp"}, {"folder": "/a\0b"}, {"format": "xml"}, {"folders": "/x"}):
        with pytest.raises(ValidationError):
            results.Settings.model_validate({"type": "results", **wrong})
