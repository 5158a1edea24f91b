"""How many of a file's results are on disk already: a note beside it, for after a kill.

The folder belongs to whoever reaches the share, so that nothing in it is believed or followed: a note is of
the very content that it was written for, or it is no note.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from msgspec import DecodeError, Struct, json

_LONGEST = 1_000_000


class Note(Struct, frozen=True, forbid_unknown_fields=True):
    """What was done with a content."""

    recorded: int
    """So many of its results, from the first one on."""
    of: int
    """So many results it held."""
    size: int
    """In bytes."""
    sha256: str
    told: tuple[str, ...] = ()
    """What the report says of those."""

    def begun(self, body: bytes, *, grows: bool) -> int | None:
        """So many results of this content need not be recorded again; None where the note is of another.

        Where results are a line each, what was written behind them later is new, and so is the last one
        that was read before its line had an end.
        """
        if not 0 <= self.recorded <= self.of or self.size > len(body):
            return None
        if self.size < 0 or self.sha256 != digest(body[: self.size]):
            return None
        before, behind = body[: self.size].rstrip(b"\0"), body[self.size :].lstrip(b"\0")
        if not behind.strip():
            return self.recorded
        if not grows:
            return None
        was_cut = not (before.endswith((b"\r", b"\n")) or behind.startswith((b"\r", b"\n")))
        return max(0, min(self.recorded, self.of - 1)) if was_cut else self.recorded


def note_of(body: bytes, recorded: int, of: int, told: Sequence[str]) -> Note:
    return Note(recorded, of, len(body), digest(body), tuple(told))


def digest(body: bytes) -> str:
    """By which a content is known again."""
    return sha256(body).hexdigest()


def read_note(path: Path) -> Note | None:
    """None where there is none that can be read."""
    with suppress(OSError, DecodeError, RecursionError):
        return json.decode(read_plain(path, _LONGEST), type=Note)
    return None


def write_note(path: Path, note: Note) -> None:
    """On disk when it returns. Raises OSError."""
    part = path.with_name(path.name + "~")
    part.unlink(missing_ok=True)
    write_new(part, json.encode(note), durable=True)
    part.replace(path)


# --- files in a folder that others write to ---------------------------------------------------


class NotAFile(OSError):
    """A symbolic link, a pipe, a folder: not what was looked for."""


def read_plain(path: Path, longest: int) -> bytes:
    """One byte more than `longest` at the most; follows no link, waits for no pipe. Raises OSError."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise NotAFile("it is no file")
        return file.read(longest + 1)


def write_new(path: Path, content: bytes, *, durable: bool = False) -> None:
    """A file that was not there before. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o666), "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
