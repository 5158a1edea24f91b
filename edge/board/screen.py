"""What a station's screen says beside its gun: each scan of late, and what waits for the next label."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct, json

from edge.journal.reader import Said
from edge.observation import Verdict
from edge.production.events import Flag, Forgotten, Scan
from edge.production.line import StationSpec
from edge.production.nouns import NOUN_MS
from edge.production.repeats import AGAIN_MS, ASKS
from edge.production.scanned import Noun
from edge.production.state import Station

KEPT = 8
"""Scans of a station that are told: a page that skips a snapshot or two still gets every one."""
BACK = 5_000
"""A board that starts looks so many records back for the last scans."""
LONGEST_LABEL = 60

Kind = Literal["accepted", "refused", "duplicate", "ask", "note"]
"""`ask`: a repeat after a restart, which is done only if it is scanned again; `note`: no scan said it."""

_TITLES: Mapping[Kind, str] = {
    "accepted": "ACCEPTED", "refused": "REFUSED", "duplicate": "DUPLICATE", "ask": "AGAIN?",
    "note": "FORGOTTEN",
}  # fmt: skip
_FLAGS: Mapping[str, tuple[Kind, str]] = {
    "no_unit": ("refused", "NO UNIT"), "verdict_differs": ("refused", "VERDICT DIFFERS"),
    "badge_ended": ("note", "BADGE ENDED"),
}  # fmt: skip
"""What is told here though nobody scanned; see the query `said_after`."""
_KINDS: Mapping[Verdict, Kind] = {Verdict.ACCEPTED: "accepted", Verdict.DUPLICATE: "duplicate"}
_WAITS = {
    "X": "scrap {0}: how many?", "C": "{0}: how many?", "S": "unit {0}: verdict or reason?",
    "L": "lot {0}: how much?",
}  # fmt: skip

_NAMES = {
    "\x02": "<STX>", "\x03": "<ETX>", "\x04": "<EOT>", "\t": "<TAB>", "\n": "<LF>", "\r": "<CR>",
    "\x1b": "<ESC>", "\x1c": "<FS>", "\x1d": "<GS>", "\x1e": "<RS>",
}  # fmt: skip

_decode_scan = json.Decoder(Scan).decode
_decode_flag = json.Decoder(Flag).decode
_decode_forgotten = json.Decoder(Forgotten).decode


class ScanNow(Struct, frozen=True):
    """One scan, or a word about one."""

    seq: int
    """Of its event; 0: it is older than what the board has looked at."""
    kind: Kind
    title: str
    words: str
    label: str
    """As it was read; what cannot be printed by its name."""
    at_ms: int
    age_s: float


class ScreenNow(Struct, frozen=True):
    """One station's."""

    scans: Sequence[ScanNow] = ()
    """The newest first."""
    accepted: ScanNow | None = None
    """The last one that was accepted, however long ago."""
    waits: str = ""
    """What the next label is about; empty where it is about nothing in particular."""
    waits_s: float | None = None
    """So long it still waits."""
    waits_of_s: float = 0.0
    """How long that was at first."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A scan that is in the journal."""

    seq: int
    at_ms: int
    kind: Kind
    words: str
    label: str
    title: str = ""
    """Where it is not that of its kind."""

    def now(self, now_ms: int) -> ScanNow:
        age_s = max(0.0, (now_ms - self.at_ms) / 1000)
        title = self.title or _TITLES[self.kind]
        return ScanNow(self.seq, self.kind, title, self.words, self.label, self.at_ms, age_s)


class ScanLog:
    """The last scans of each station. A gun that several stations name is heard at all of them."""

    def __init__(self, stations: Sequence[StationSpec]) -> None:
        self._by_gun: dict[str, list[str]] = {}
        for spec in stations:
            self._by_gun.setdefault(spec.gun or "", []).append(spec.name)
        self._of: dict[str, deque[Heard]] = {spec.name: deque(maxlen=KEPT) for spec in stations}
        self.seq = -1
        """Up to this record the journal has been looked at; -1: not yet."""

    def after(self, head: int) -> int:
        """The record to look on from; a journal that ends before it is another one."""
        if head < self.seq:
            for heard in self._of.values():
                heard.clear()
            self.seq = -1
        return max(0, head - BACK) if self.seq < 0 else self.seq

    def add(self, said: Iterable[Said], head: int) -> None:
        """What was said since, oldest first."""
        for one in said:
            heard, stations = self._read(one)
            for station in stations:
                if station in self._of:
                    self._of[station].append(heard)
        self.seq = head

    def of(self, station: str) -> tuple[Heard, ...]:
        """The newest first."""
        return tuple(reversed(self._of[station]))

    def _read(self, one: Said) -> tuple[Heard, list[str]]:
        if one.type == Forgotten.type:
            told = _decode_forgotten(one.data)
            return Heard(one.seq, one.at_ms, "note", named(told.words), readable(told.label)), [one.station]
        if one.type == Flag.type:
            flag = _decode_flag(one.data)
            told_as, title = _FLAGS[flag.flag]
            return Heard(one.seq, one.at_ms, told_as, named(flag.detail), "", title), [one.station]
        scan = _decode_scan(one.data)
        kind = "ask" if scan.words.endswith(ASKS) else _KINDS.get(scan.outcome, "refused")
        heard = Heard(one.seq, one.at_ms, kind, named(scan.words), readable(scan.label))
        return heard, self._by_gun.get(scan.gun, [])


def readable(label: str) -> str:
    """As `named`; a label that is long is cut."""
    return named(label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…")


def named(text: str) -> str:
    """What cannot be printed, or turns the text around, is shown by its name."""
    return "".join(one if one.isprintable() else _NAMES.get(one, f"<{ord(one):X}>") for one in text)


NEW = Station()


@dataclass(frozen=True, slots=True)
class Screen:
    """What was read for one station's screen."""

    scans: Sequence[Heard] = ()
    row: Station = NEW


def screen_now(screen: Screen, now_ms: int, mono_ms: int, boot: str) -> ScreenNow:
    """The screen at `now_ms` (UTC), which is `mono_ms` of this boot's clock."""
    scans = [heard.now(now_ms) for heard in screen.scans]
    last = screen.row.last_scan
    accepted = next((one for one in scans if one.kind == "accepted"), None)
    if accepted is None and last is not None and last.at_ms:
        accepted = Heard(0, last.at_ms, "accepted", last.words, readable(last.label)).now(now_ms)
    words, left_ms, of_ms = _waiting(screen.row, mono_ms, boot)
    return ScreenNow(scans, accepted, words, left_ms / 1000 if words else None, of_ms / 1000)


def _waiting(row: Station, mono_ms: int, boot: str) -> tuple[str, int, int]:
    """In words, and for how many milliseconds more and in all."""
    last = row.last_scan
    if last is not None and last.asked_boot == boot:
        left_ms = AGAIN_MS - (mono_ms - last.asked_mono_ms)
        if 0 < left_ms <= AGAIN_MS:
            return "once more? scan it again", left_ms, AGAIN_MS
    noun = row.noun
    if noun is None or noun.is_over or noun.boot != boot or noun.letter not in _WAITS:
        return "", 0, 0
    left_ms = NOUN_MS - (mono_ms - noun.mono_ms)
    return (_about(noun), left_ms, NOUN_MS) if 0 < left_ms <= NOUN_MS else ("", 0, 0)


def _about(noun: Noun) -> str:
    body = noun.body.lower() if noun.letter == "C" else noun.body
    because = f" ({noun.reason})" if noun.reason else ""
    return _WAITS[noun.letter].format(readable(body)) + because
