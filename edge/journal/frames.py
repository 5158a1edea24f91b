"""Reads a write-ahead log that nobody has open: are there commits behind a place that is damaged?

SQLite takes such a log to end at the first frame whose sum is wrong, for that is how a commit looks that
was under way when the power went. But then it is the last one. Where several commits stand behind it, those
were on disk, and are lost. The format: https://sqlite.org/fileformat2.html#walformat.
"""

import struct
from pathlib import Path
from typing import BinaryIO

_HEAD = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682
"""With the lowest bit set the sums are of big-endian words."""
_MASK = 0xFFFFFFFF


def commits_behind_damage(log: Path) -> int:
    """How many commits stand behind the first damaged frame, but for one that may have been under way.

    Raises OSError.
    """
    with log.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return 0
        magic, _, page, _, salt_1, salt_2, sum_1, sum_2 = _HEAD.unpack(head)
        order = ">" if magic & 1 else "<"
        sound = _sum(head[:24], order, (0, 0)) == (sum_1, sum_2)
        if not sound or magic & ~1 != _MAGIC or not 512 <= page <= 65_536:
            return 0  # it was being begun anew: what it held is in the database
        return max(0, _commits_behind(file, page, (salt_1, salt_2), order, (sum_1, sum_2)) - 1)


def _commits_behind(
    file: BinaryIO, page: int, salts: tuple[int, int], order: str, sums: tuple[int, int]
) -> int:
    commits, whole = 0, True
    while len(frame := file.read(_FRAME.size + page)) == _FRAME.size + page:
        _, size, *salted = _FRAME.unpack_from(frame)
        if tuple(salted[:2]) != salts:
            whole = False  # of the log before this one, or damaged
            continue
        if whole:
            sums = _sum(frame[:8] + frame[_FRAME.size :], order, sums)
            whole = sums == tuple(salted[2:])
        commits += not whole and size > 0
    return commits


def _sum(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    one, two = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & _MASK
        two = (two + second + one) & _MASK
    return one, two
