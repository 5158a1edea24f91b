"""What the core decided, written down beside the journal, so that it can be decided again.

A segment is a file of JSON lines. The first one is a `Header`, each other one an `Entry`: an observation,
or a row that the next observation needs. A segment needs no other to be replayed.
"""

import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from hashlib import sha256
from io import BufferedWriter
from math import isfinite
from pathlib import Path
from types import FunctionType

import msgspec
from msgspec import Struct, convert, to_builtins

from edge import __version__
from edge.journal import Journal
from edge.observation import Observation, TestResult, Verdict
from edge.production import Decision, Line, needs
from edge.production.state import Row
from edge.production.views import is_view

log = logging.getLogger("lineside.recording")

FORMAT = 1
FOLDER = "record"
"""Under the line's data folder."""
BLOCK = 4096
"""A file takes whole blocks of a disk; the bound holds for these."""
SEGMENTS = 4
"""A segment is at most the bound divided by this."""

_encode = msgspec.json.Encoder().encode


class Header(Struct, frozen=True):
    """The first line of a segment."""

    lineside_record: int
    """`FORMAT`."""
    version: str
    """Of the Lineside that wrote it."""
    line: str
    core: str
    """`core_hash` of the line that decided."""
    epoch: str
    """Of the journal that the events went to."""
    head: int
    """seq of the newest event before the first observation."""
    boot: str


class Entry(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Any other line: one of `row`, `seen`, `odd` and `passed`."""

    row: str = ""
    """Key of a row that the next observation needs and that no earlier one of the segment did."""
    body: Row | None = None
    """The row; None: there was none."""
    seen: Observation | None = None
    odd: str = ""
    """An observation that no JSON can hold (NaN, half a surrogate pair): as Python writes it, in a text."""
    events: int = 0
    """How many events the observation gave."""
    passed: int = 0
    """So many seq are of telemetry, and of no event."""
    quarantined: bool = False
    """The core could not decide the observation; it changed nothing."""

    def observation(self) -> Observation:
        """Raises ValueError."""
        return self.seen if self.seen is not None else convert(json.loads(self.odd), Observation)


def core_hash(line: Line) -> str:
    """sha256 of everything in the configuration that the core decides by, in one canonical form."""
    given = {one.name: getattr(line, one.name) for one in fields(line) if one.init}
    return sha256(msgspec.json.encode(given, enc_hook=_by_name, order="sorted")).hexdigest()


def _by_name(thing: object) -> str:
    """What no JSON holds of a line: the patterns of its labels, and how it tells the time of day."""
    if isinstance(thing, re.Pattern):
        return f"{thing.flags} {thing.pattern}"
    if isinstance(thing, FunctionType):
        return thing.__qualname__
    raise NotImplementedError(f"{type(thing).__name__} is no part of a line")


@dataclass(slots=True)
class _Piece:
    """Lines that wait to be written: to the segment that is open, or to a new one."""

    begins: bool
    text: bytearray = field(default_factory=bytearray)


class Tape:
    """The recorder's: `note` what was decided, then `keep` or `forget` all of it.

    What a segment holds of the core's rows is not all of them but those that its observations need,
    each as it was when it was first needed: the state may grow to millions of rows, and a copy of it
    would be larger than any segment.
    """

    def __init__(self, folder: Path, bound: int, line: Line, journal: Journal, boot: str) -> None:
        """`bound` is in bytes, of all segments in the folder together, also those of earlier runs."""
        self._folder = folder
        self._bound = bound
        self._limit = bound // SEGMENTS // BLOCK * BLOCK
        self._line = line
        self._header = Header(FORMAT, __version__, line.name, core_hash(line), journal.epoch, 0, boot)
        self._head = self._kept_head = journal.head
        self._known: set[str] = set()
        self._size = 0
        self._passed = 0
        """seq of telemetry since the last line."""
        self._pieces: list[_Piece] = []
        self._file: BufferedWriter | None = None
        self._off = False

    def note(self, observation: Observation, decision: Decision, rows: Mapping[str, Row | None]) -> None:
        """Take down what was decided, with the rows as they were before. Touches no disk."""
        if self._off:
            return
        text = self._text(observation, decision, rows) if self._size else b""
        if not text or self._size + len(text) > self._limit:
            self._begin()
            text = self._text(observation, decision, rows)
        self._head += len(decision.events)
        if text and self._size + len(text) <= self._limit:
            self._append(text)
        else:  # larger than a segment: left out, and nothing can follow it but a new one
            self._pieces.pop()
            self._size = 0

    def pass_over(self, number: int) -> None:
        """So many batches of telemetry follow what was noted. In the journal's thread, before `keep`."""
        self._head += number
        self._passed += number

    def keep(self) -> None:
        """Write what was noted; called in the journal's thread once its events are on disk. Never raises.

        It is not flushed to the disk: a power cut may take the last seconds.
        """
        try:
            for piece in self._pieces:
                if piece.begins:
                    self._open_next()
                if self._file is not None:
                    self._file.write(piece.text)
            if self._file is not None:
                self._file.flush()
        except OSError as error:
            self._off = True
            log.error("%s: %s; recording is switched off until the next start", self._folder, error.strerror)
            self.close()
        self._pieces.clear()
        self._kept_head = self._head

    def forget(self) -> None:
        """What was noted never happened, and the rows are what they were before: a new segment begins."""
        self._pieces.clear()
        self._size = 0
        self._head = self._kept_head

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    # --- lines --------------------------------------------------------------------------------

    def _begin(self) -> None:
        header = _encode(msgspec.structs.replace(self._header, head=self._head)) + b"\n"
        self._known.clear()
        self._pieces.append(_Piece(True, bytearray(header)))
        self._size = len(header)
        self._passed = 0

    def _append(self, text: bytes) -> None:
        if not self._pieces:
            self._pieces.append(_Piece(False))
        self._pieces[-1].text += text
        self._size += len(text)

    def _text(self, observation: Observation, decision: Decision, rows: Mapping[str, Row | None]) -> bytes:
        """The lines of one observation; nothing where they cannot be written."""
        quarantined = decision.outcome.verdict is Verdict.QUARANTINED
        needed = () if quarantined else needs(self._line, observation, rows)
        new = [key for key in dict.fromkeys(needed) if key not in self._known]
        try:
            lines = [_encode(Entry(row=key, body=rows[key])) for key in new]
            lines.append(_seen(observation, len(decision.events), quarantined))
        except ValueError:
            return b""
        self._known.update(key for key in new if not is_view(key))
        if self._passed:
            lines.insert(0, _encode(Entry(passed=self._passed)))
            self._passed = 0
        return b"\n".join([*lines, b""])

    # --- files --------------------------------------------------------------------------------

    def _open_next(self) -> None:
        """Begin the next file, once the oldest have made room for a whole segment."""
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        old = segments(self._folder)
        number = int(old[-1].stem) + 1 if old else 1
        sizes = {path: -(-path.stat().st_size // BLOCK) * BLOCK for path in old}
        while old and sum(sizes.values()) + self._limit > self._bound:
            del sizes[old[0]]
            old.pop(0).unlink()
        self._file = (self._folder / f"{number:08}.jsonl").open("xb")


def segments(folder: Path) -> list[Path]:
    """The segments in a folder, oldest first."""
    found = [path for path in folder.glob("*.jsonl") if path.stem.isascii() and path.stem.isdigit()]
    return sorted(found, key=lambda path: int(path.stem))


def _seen(observation: Observation, events: int, quarantined: bool) -> bytes:
    """Raises ValueError on a whole number of thousands of digits."""
    if _is_plain(observation):
        with suppress(UnicodeEncodeError):
            return _encode(Entry(seen=observation, events=events, quarantined=quarantined))
    odd = json.dumps(to_builtins(observation))
    return _encode(Entry(odd=odd, events=events, quarantined=quarantined))


def _is_plain(observation: Observation) -> bool:
    """msgspec writes NaN and infinity as null, and reads a very large whole number as a float."""
    value = observation.value
    if isinstance(value, TestResult):
        numbers = [number for step in value.steps for number in (step.value, step.low, step.high)]
        return all(not isinstance(number, float) or isfinite(number) for number in numbers)
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    return not isinstance(value, float) or isfinite(value)
