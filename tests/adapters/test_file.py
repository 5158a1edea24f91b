"""The file sink: what a receipt names is on the disk, whatever happened to the file before or meanwhile."""

import asyncio
import errno
import json
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters import file
from edge.contract import TELEMETRY, Outlet, Record, Sink, SinkLost, SinkRefused, parse_size
from tests.support.records import count


def open_sink(own: Path, **settings: Any) -> AbstractAsyncContextManager[Sink]:
    parsed = file.Settings.model_validate({"type": "file", **settings})
    return file.connect(parsed, Outlet("events", "line-1", "acme/leeds", own))


def stored(folder: Path, pattern: str = "events*.jsonl") -> list[int]:
    """The seq of every line, in the order of the files' age."""
    closed = sorted(path for path in folder.glob(pattern) if "-" in path.name)
    current = [path for path in folder.glob(pattern) if "-" not in path.name]
    return [json.loads(line)["seq"] for path in closed + current for line in path.read_text().splitlines()]


async def test_each_event_is_a_line_of_its_json(tmp_path: Path) -> None:
    events = [count(seq) for seq in range(3)]
    async with open_sink(tmp_path) as sink:
        receipt = await sink.write(events)
        assert list(receipt.acknowledged) == [0, 1, 2]
        assert not receipt.rejected
        await sink.show({"/health": b"{}"})
        assert (tmp_path / "events.jsonl").read_bytes() == b"".join(one.json + b"\n" for one in events)


async def test_line_protocol_goes_to_a_file_of_its_own(tmp_path: Path) -> None:
    async with open_sink(tmp_path, format="line-protocol") as sink:
        await sink.write([count(1)])
    made, totals = (tmp_path / "events.lp").read_text().splitlines()
    assert made.startswith("count,line=line-1,station=press,kind=good ")
    assert totals.startswith("order_total,")


@pytest.mark.parametrize("frames", [b"[]", b'[{"at":5,"values":{"zone":1.5}},{"at":6,"values":{"zone":2}}]'])
async def test_telemetry_is_a_line_of_json_or_a_line_a_frame(tmp_path: Path, frames: bytes) -> None:
    body = b'{"name":"oven","frames":%b}' % frames
    one = Record(7, "k-7", TELEMETRY, 5, "receipt", 5, "line-1", "", body, b"{}", 1, "oven")
    for form in ("json", "line-protocol"):
        async with open_sink(tmp_path, format=form) as sink:
            assert list((await sink.write([one])).acknowledged) == [7]
    assert body in (tmp_path / "events.jsonl").read_bytes()
    stamps = [line.split(b" ")[-1] for line in (tmp_path / "events.lp").read_bytes().splitlines()]
    assert stamps == ([] if frames == b"[]" else [b"5000007", b"6000007"])


async def test_a_folder_of_the_users_choice_is_made(tmp_path: Path) -> None:
    async with open_sink(tmp_path / "unused", folder=str(tmp_path / "a" / "b")) as sink:
        await sink.write([count(1)])
    assert stored(tmp_path / "a" / "b") == [1]
    assert not (tmp_path / "unused").exists()


async def test_a_torn_last_line_is_cut_off_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = count(1).json + b"\n"
    (tmp_path / "events.jsonl").write_bytes(whole + count(2).json[:40] + bytes(70_000))
    with caplog.at_level(logging.WARNING):
        async with open_sink(tmp_path) as sink:
            assert (tmp_path / "events.jsonl").read_bytes() == whole
            await sink.write([count(2)])
    assert stored(tmp_path) == [1, 2]
    assert "torn line; its 70040 bytes" in caplog.text


async def test_a_file_of_one_torn_line_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"x" * 200_000)
    async with open_sink(tmp_path):
        assert (tmp_path / "events.jsonl").read_bytes() == b""


async def test_files_turn_over_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    async with open_sink(tmp_path, rotate="1KB", keep=2) as sink:
        for seq in range(30):
            await sink.write([count(seq)])
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert all(path.stat().st_size <= 1000 for path in files)
    left = stored(tmp_path)
    assert left == list(range(left[0], 30))


async def test_a_clock_that_goes_back_does_not_make_the_newest_file_the_oldest(tmp_path: Path) -> None:
    (tmp_path / "events-20990101T000000.000000Z.jsonl").write_bytes(b"")
    (tmp_path / "events-of-mine.jsonl").write_bytes(b"not the sink's\n")
    async with open_sink(tmp_path, rotate="100B", keep=2) as sink:
        for seq in range(3):
            await sink.write([count(seq)])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "events-20990101T000000.000001Z.jsonl",
        "events-20990101T000000.000002Z.jsonl",
        "events-of-mine.jsonl",
        "events.jsonl",
    ]
    assert (tmp_path / "events-20990101T000000.000002Z.jsonl").read_bytes() == count(1).json + b"\n"


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.rename(path.with_suffix(".old"))])
async def test_a_file_that_is_taken_away_is_begun_again(
    tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    async with open_sink(tmp_path) as sink:
        await sink.write([count(1)])
        harm(tmp_path / "events.jsonl")
        await sink.write([count(2)])
    assert stored(tmp_path, "events.jsonl") == [2]


async def test_two_agents_cannot_write_one_file(tmp_path: Path) -> None:
    async with open_sink(tmp_path):
        with pytest.raises(SinkRefused, match="another process writes"):
            async with open_sink(tmp_path):
                pass


async def test_writes_at_once_never_mix_and_a_cancelled_one_is_whole(tmp_path: Path) -> None:
    async with open_sink(tmp_path) as sink, asyncio.TaskGroup() as group:
        for start in range(0, 400, 100):
            group.create_task(sink.write([count(seq) for seq in range(start, start + 100)]))
        cut = group.create_task(sink.write([count(seq) for seq in range(400, 500)]))
        await asyncio.sleep(0)
        cut.cancel()
    seen = stored(tmp_path)
    runs = [seen[start : start + 100] for start in range(0, len(seen), 100)]
    assert all(run == list(range(run[0], run[0] + 100)) for run in runs)
    assert {run[0] for run in runs} >= {0, 100, 200, 300}


@pytest.fixture
async def small_disk(tmp_path: Path) -> AsyncIterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    tmpfs = ["mount", "-t", "tmpfs", "-o", "size=64k", "lineside-test", str(disk)]
    if subprocess.run(tmpfs, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount; the size limit below stands in for it")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk_loses_nothing_and_heals(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(40_000))
    async with open_sink(small_disk) as sink:
        await sink.write([count(1)])
        with pytest.raises(SinkLost, match="free some space"):
            await sink.write([count(seq) for seq in range(2, 200)])
        assert stored(small_disk) == [1]
        ballast.unlink()
        await sink.write([count(seq) for seq in range(2, 20)])
    assert stored(small_disk) == list(range(1, 20))


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_write_that_fails_in_the_middle_leaves_no_half_batch(tmp_path: Path) -> None:
    async with open_sink(tmp_path) as sink:
        await sink.write([count(1)])
        with file_size_limit(2_000), pytest.raises(SinkLost, match="no room"):
            await sink.write([count(seq) for seq in range(2, 50)])
        assert stored(tmp_path) == [1]
        await sink.write([count(2)])
    assert stored(tmp_path) == [1, 2]


async def test_a_path_that_cannot_be_written_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(SinkRefused, match="plain"):
        async with open_sink(tmp_path / "plain"):
            pass
    (tmp_path / "events.jsonl").mkdir()
    with pytest.raises(SinkRefused, match=r"events\.jsonl cannot be written"):
        async with open_sink(tmp_path):
            pass


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, SinkLost), (errno.EDQUOT, SinkLost), (errno.EIO, SinkLost), (errno.ESTALE, SinkLost),
        (errno.EACCES, SinkRefused), (errno.EPERM, SinkRefused), (errno.EROFS, SinkRefused),
        (errno.EAGAIN, SinkRefused),
    ],
)  # fmt: skip
def test_each_error_of_the_disk_has_its_meaning(number: int, kind: type[Exception]) -> None:
    error = file.failure("events", Path("/x/events.jsonl"), OSError(number, os.strerror(number)))
    assert type(error) is kind
    assert "/x/events.jsonl" in str(error)


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.adapters.test_file import open_sink
from tests.support.records import count

async def main():
    async with open_sink(Path(sys.argv[1])) as sink:
        for seq in range(10**9):
            await sink.write([count(10 * seq + n) for n in range(10)])
            print(10 * seq + 9, flush=True)

asyncio.run(main())
"""


async def test_kill_minus_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    acknowledged = -1
    while acknowledged < 199:
        acknowledged = int(await writer.stdout.readline())
    writer.kill()
    rest = (await writer.communicate())[0].split()
    acknowledged = int(rest[-1]) if rest else acknowledged
    async with open_sink(tmp_path):
        seen = stored(tmp_path)
    assert seen == list(range(len(seen)))
    assert len(seen) > acknowledged


# --- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [("16MB", 16_000_000), ("512 KB", 512_000), ("1.5GB", 1_500_000_000), ("64KiB", 65_536), ("1B", 1)],
)
def test_sizes_are_written_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["16", "16 mb", "-1MB", "0MB", "MB", "", True, None, 0, -5, 1.5])
def test_other_sizes_are_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="16MB"):
        parse_size(text)


@given(st.text() | st.integers() | st.floats() | st.none())
def test_any_size_is_positive_or_refused(value: object) -> None:
    with suppress(ValueError):
        assert parse_size(value) >= 1


def test_the_defaults_are_those_of_an_embedded_sink() -> None:
    settings = file.Settings(type="file")
    assert (settings.rotate, settings.keep, settings.format) == (16_000_000, 8, "json")
    assert settings.linger == timedelta(seconds=1)
    with pytest.raises(ValidationError):
        file.Settings.model_validate({"type": "file", "keep": 0})
