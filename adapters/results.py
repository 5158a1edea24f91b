"""Sink `results`: what became of each job, one file a job in a folder, for another system to fetch.

A file is replaced whole: written beside, flushed, renamed. Whoever reads it never sees half of it.
"""

import asyncio
import csv
import errno
import logging
import os
import re
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Literal

import msgspec
from pydantic import field_validator

from adapters._disk import disk_failure
from edge.contract import (
    Outlet,
    Receipt,
    Record,
    Sink,
    SinkError,
    SinkLost,
    SinkSettings,
    Unmarked,
)
from edge.resultform import SaidResult, as_csv, as_json, said_result

_log = logging.getLogger(__name__)

_NO_FLUSH = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""What a network share answers that cannot flush a folder."""
_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,150}")
_SEQ = re.compile(r"[0-9]{1,19}")
_LARGEST = 1 << 20
"""Bytes of a file that is read to see how new it is."""
_PROBE = 4096


class Settings(SinkSettings):
    """`[sink.NAME]` with `type = "results"`."""

    format: Literal["json", "csv"] = "json"
    folder: str | None = None
    """Where the files are, such as a mounted share; it must be there, and is never made. A folder of the
    sink's own in the agent's state unless given."""

    @field_validator("folder")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and (not value.startswith("/") or "\0" in value):
            raise ValueError('write the whole path, such as "/srv/erp/results"')
        return value

    def owns(self) -> list[str]:
        """The folder, where it is named: two would write each other's files."""
        return [self.folder] if self.folder else []


class _Known(msgspec.Struct):
    """What a file says of itself."""

    id: str
    at: str


class Files:
    """The files of one sink. Its methods block, and may be called from any thread."""

    def __init__(self, folder: Path, is_own: bool, line: str, suffix: str) -> None:
        self._folder = folder
        self._is_own = is_own
        self._line = line
        self._suffix = suffix

    def open(self) -> None:
        """See that a file can be written there. Raises OSError."""
        if self._is_own:
            self._folder.mkdir(parents=True, exist_ok=True)
        probe = self._folder / f".{self._line}.part"
        try:
            _write(probe, bytes(_PROBE))
        finally:
            with suppress(OSError):
                probe.unlink()

    def keep(self, said: SaidResult) -> None:
        """On the disk when this returns, unless something newer is there. Raises OSError, or ValueError for
        a job whose name no file can have."""
        path = self._path(said)
        known = self._known(path)
        if known is not None and not _takes_the_place(said, known):
            return
        data = as_json(said) if self._suffix == "json" else as_csv(SaidResult, [said]).encode()
        beside = path.with_name(f".{path.name}.part")
        _write(beside, data)
        beside.rename(path)
        _flush_folder(self._folder)

    def _path(self, said: SaidResult) -> Path:
        job = said.order if said.operation is None else f"{said.order}-{said.operation}"
        name = f"{said.line}_{job}"
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:80]!r} cannot be the name of a file")
        return self._folder / f"{name}.{self._suffix}"

    def _known(self, path: Path) -> _Known | None:
        """What is there already; None where nothing is, or nothing of ours."""
        try:
            text = _read(path)
        except FileNotFoundError:
            return None
        try:
            if self._suffix == "json":
                return msgspec.json.decode(text, type=_Known)
            [row] = csv.DictReader(StringIO(text.decode()))
            return msgspec.convert(row, _Known)
        except (ValueError, RecursionError, csv.Error):
            _log.warning("%s holds no result that can be read; it is written anew", path)
            return None


def _takes_the_place(said: SaidResult, known: _Known) -> bool:
    """A higher seq is newer. A lower one of another epoch is an old event that came again, or the first of
    a journal that was begun anew: the time tells."""
    epoch, _, seq = said.id.rpartition("-")
    its_epoch, _, its_seq = known.id.rpartition("-")
    if not _SEQ.fullmatch(its_seq) or int(seq) >= int(its_seq):
        return True
    return epoch != its_epoch and said.at > known.at


def _read(path: Path) -> bytes:
    """The beginning of a regular file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is no file", str(path))
        return os.read(fd, _LARGEST)
    finally:
        os.close(fd)


def _write(path: Path, data: bytes) -> None:
    """A whole file, flushed; none at all where that fails. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(fd)


def _flush_folder(folder: Path) -> None:
    """A new name outlives a power cut only when its folder is flushed too, where a share can do that."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(fd)


def failure(sink: str, folder: Path, error: OSError) -> SinkError:
    """What an error of the disk or the share means for the sink."""
    if error.errno == errno.ENOENT:
        return SinkLost(sink, f"{folder} is not there; make it, or mount the share")
    check = "the disk or the share"
    return disk_failure(sink, error, f"files in {folder}", free="free some space", check=check)


class ResultsSink(Unmarked):
    """An open folder. It has no notion of a current state."""

    def __init__(self, name: str, folder: Path, files: Files) -> None:
        self._name = name
        self._folder = folder
        self._files = files

    async def write(self, records: Sequence[Record]) -> Receipt:
        if not any(record.type == "result" for record in records):
            return Receipt([record.seq for record in records])
        return await asyncio.to_thread(self._keep, records)

    async def show(self, states: Mapping[str, bytes]) -> None:
        """States are no results."""

    def _keep(self, records: Sequence[Record]) -> Receipt:
        """What is no result is done with at once. One file that cannot be written keeps no other back."""
        settled: list[int] = []
        rejected: dict[int, str] = {}
        failed: list[OSError] = []
        kept = 0
        for record in records:
            try:
                kept += self._kept(record)
                settled.append(record.seq)
            except ValueError as error:  # msgspec.ValidationError is one
                rejected[record.seq] = f"this is no result: {error}"
            except OSError as error:
                failed.append(error)
        if failed and not kept:
            raise failure(self._name, self._folder, failed[0]) from failed[0]
        return Receipt(settled, rejected)

    def _kept(self, record: Record) -> bool:
        """Whether it is a result, and on the disk. Raises ValueError or OSError."""
        if record.type != "result":
            return False
        self._files.keep(said_result(record.data, record.line, record.id, record.at_ms))
        return True


@asynccontextmanager
async def connect(settings: Settings, outlet: Outlet) -> AsyncIterator[Sink]:
    """Try the folder. Raises SinkLost or SinkRefused."""
    folder = outlet.folder if settings.folder is None else Path(settings.folder)
    files = Files(folder, settings.folder is None, outlet.line, settings.format)
    try:
        await asyncio.to_thread(files.open)
    except OSError as error:
        raise failure(outlet.name, folder, error) from error
    yield ResultsSink(outlet.name, folder, files)
