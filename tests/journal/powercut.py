"""A power cut, as SQLite's files see it: what was synced is there, of the rest anything may be.

A VFS writes down every write, truncation and sync of a run. An image is what a disk can hold after the
power went at any instant of it: of the writes that no sync had confirmed by then each is there, is not, or
is there in some of its sectors only, whatever the order in which they were made. A sector of 512 bytes is
old or new, as SQLite takes it to be (https://sqlite.org/atomiccommit.html, 2.0).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512
NAME = "recorded"
BASE = "unix"
"""SQLite's own, on Linux."""


@dataclass(frozen=True, slots=True)
class Op:
    """One thing that was done to a file, or a commit that was acknowledged."""

    kind: str
    """`write`, `truncate`, `sync`, `delete` or `acknowledged`."""
    file: str = ""
    offset: int = 0
    """Of a truncation, the new size; of an acknowledgement, the head that it gave."""
    data: bytes = b""


class Recording(apsw.VFS):
    """Passes all on to SQLite's own VFS and notes what changes files that outlive the process."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        super().__init__(NAME, BASE, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "RecordedFile":
        return RecordedFile(name, flags, self.ops)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.ops.append(Op("delete", Path(filename).name))


class RecordedFile(apsw.VFSFile):
    """One open file."""

    def __init__(self, name: Any, flags: list[int], ops: list[Op]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(path).name if path else ""
        self._ops = ops
        super().__init__(BASE, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._note(Op("write", self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._note(Op("truncate", self._name, newsize))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._note(Op("sync", self._name))

    def _note(self, op: Op) -> None:
        if self._name:
            self._ops.append(op)


@contextmanager
def recording() -> Iterator[list[Op]]:
    """Every file that SQLite opens in the block is recorded, whoever opens it."""
    vfs = Recording()
    try:
        yield vfs.ops
    finally:
        vfs.unregister()


# --- what a disk can hold ---------------------------------------------------------------------------


@dataclass(slots=True)
class File:
    """What is certain to be there, and what has been done since."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)

    def sync(self) -> None:
        for op in self.pending:
            _apply(self.synced, op)
        self.pending.clear()


def _apply(content: bytearray, op: Op) -> None:
    if op.kind == "truncate":
        del content[op.offset :]
        return
    end = op.offset + len(op.data)
    if len(content) < op.offset:
        content.extend(bytes(op.offset - len(content)))
    content[op.offset : end] = op.data


@dataclass(frozen=True, slots=True)
class Image:
    """Files of one disk, and the head that had been acknowledged when the power went."""

    files: dict[str, bytes]
    acknowledged: int

    def lay_out(self, folder: Path) -> None:
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def images(
    ops: Sequence[Op], count: int, chance: random.Random, before: Mapping[str, bytes] | None = None
) -> Iterator[Image]:
    """So many, by the instant of the cut; every way to lose what was not synced has its turn.

    `before`: files that were there, and on disk.
    """
    cuts = sorted(chance.randrange(1, len(ops) + 1) for _ in range(count))
    disk = {name: File(bytearray(content)) for name, content in (before or {}).items()}
    acknowledged = done = 0
    for number, cut in enumerate(cuts):
        for op in ops[done:cut]:
            acknowledged = op.offset if op.kind == "acknowledged" else acknowledged
            _happen(disk, op)
        done = cut
        way = ("none", "all", "first", "some", "torn", "torn", "torn")[number % 7]
        yield Image({name: _left(file, way, chance) for name, file in disk.items()}, acknowledged)


def _happen(disk: dict[str, File], op: Op) -> None:
    if op.kind == "delete":
        disk.pop(op.file, None)
    elif op.kind == "sync":
        disk.setdefault(op.file, File()).sync()
    elif op.kind in ("write", "truncate"):
        disk.setdefault(op.file, File()).pending.append(op)


def _left(file: File, way: str, chance: random.Random) -> bytes:
    content = bytearray(file.synced)
    kept = len(file.pending) if way == "all" else 0
    if way == "first":
        kept = chance.randrange(len(file.pending) + 1)
    for number, op in enumerate(file.pending):
        if number < kept or (way in ("some", "torn") and chance.random() < 0.5):
            _apply(content, op)
        elif way == "torn" and op.kind == "write":
            _tear(content, op, chance)
    return bytes(content)


def _tear(content: bytearray, op: Op, chance: random.Random) -> None:
    """Some of its sectors have reached the disk."""
    for start in range(op.offset - op.offset % SECTOR, op.offset + len(op.data), SECTOR):
        if chance.random() < 0.5:
            low, high = max(start, op.offset), min(start + SECTOR, op.offset + len(op.data))
            _apply(content, Op("write", op.file, low, op.data[low - op.offset : high - op.offset]))
