"""Key events to characters, and characters to scans; no device, no clock, no await.

An event is what linux/input.h calls `struct input_event`: see Documentation/input/event-codes.rst of the
kernel. A packet is what changed at one instant; SYN_REPORT ends it.
"""

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from adapters._hid_layouts import FIXED, LAYOUTS, PAD, PAD_POINT, SPECIAL, Layout, Name

EV_SYN, EV_KEY, EV_MSC = 0, 1, 4
SYN_REPORT, SYN_DROPPED = 0, 3
PRESSED, REPEATED = 1, 2

TOO_LONG = "longer than {longest} characters without an end; is `end` what the gun sends?"
NO_END = "cut: no end came within {idle_ms} ms of the last key; does the gun send `end`?"
DROPPED = "keys were lost, for the machine was too busy to take them; scan again"
HUNG_UP = "cut: the gun went away in the middle"
NO_CHARACTER = (
    "{keys} is no character in the layout {layout!r}; is the gun set to another layout, or to send keys for "
    "control characters that are not in `keys`?"
)
_PACKET = 1024
_LEFT_CTRL, _LEFT_ALT, _RIGHT_ALT = 29, 56, 100
_CTRL, _SHIFT, _ALT, _META = {_LEFT_CTRL, 97}, {42, 54}, {_LEFT_ALT, _RIGHT_ALT}, {125, 126}
MODIFIERS = frozenset(_CTRL | _SHIFT | _ALT | _META)
_CAPS = 58
_SILENT = frozenset({_CAPS, 69, 70})
_NAMES = {code: name.upper() for name, code in SPECIAL.items()}
_CONTROLS: Mapping[tuple[int, bool], str] = {
    (26, False): "\x1b", (26, True): "\x1b", (27, False): "\x1d", (27, True): "\x1d",
    (43, False): "\x1c", (43, True): "\x1c", (7, False): "\x1e", (7, True): "\x1e",
    (12, False): "\x1f", (12, True): "\x1f", (53, False): "\x1f", (53, True): "\x1f",
}  # fmt: skip
"""With Ctrl, by the place where a US keyboard has [ ] \\ 6 - and /: so do all layouts of Windows that have
no such character there, and guns go by it."""
_ACCENTS = {"^": "\u0302", "´": "\u0301", "`": "\u0300", "¨": "\u0308", "~": "\u0303"}


class Event(NamedTuple):
    """One event. `at_s` is of the kernel's monotonic clock."""

    at_s: float
    type: int
    code: int
    value: int


@dataclass(frozen=True, slots=True)
class Reading:
    """How the keys of a gun are read."""

    layout: Name
    keys: Mapping[int, str]
    """By a key's number what it stands for, in the place of what it would type."""
    ends: frozenset[str]
    """Characters, any of which ends a scan. None at all: a pause ends it."""
    longest: int
    """Characters of a scan at the most."""
    idle_s: float


@dataclass(frozen=True, slots=True)
class Scan:
    """What was typed up to an end; where it is broken, so much of it as there is."""

    text: str
    broken: str = ""
    """Why it must not be believed."""


class NoCharacterError(Exception):
    """Keys that stand for no character; the text names them."""


class Keyboard:
    """What is held, and what it types. It starts with no key held and Caps Lock off."""

    def __init__(self, layout: Layout, keys: Mapping[int, str]) -> None:
        self.caps = False
        self._layout = layout
        self._keys = keys
        self._held: set[int] = set()
        self._dead = ""
        self._number: str | None = None

    @property
    def waits(self) -> bool:
        """True where something was begun: an accent, or a number under Alt."""
        return bool(self._dead or self._number)

    def press(self, code: int) -> str:
        """What it adds to the text, nothing for many. Raises NoCharacterError."""
        if code in self._keys:
            return self._flushed(self._keys[code])
        if code in MODIFIERS:
            self._held.add(code)
            return ""
        if code in _SILENT:
            self.caps ^= code == _CAPS
            return ""
        shift, ctrl = bool(self._held & _SHIFT), bool(self._held & _CTRL)
        altgr = _RIGHT_ALT in self._held or {_LEFT_CTRL, _LEFT_ALT} <= self._held
        if code in PAD and self._held & _ALT and not ctrl:
            return self._counted(PAD[code])
        if self._held & _META or (_LEFT_ALT in self._held and not altgr):
            raise NoCharacterError(self._named(code))
        if ctrl and not altgr:
            return self._flushed(self._control(code, shift))
        return self._composed(code, shift, altgr)

    def release(self, code: int) -> str:
        """What it adds to the text: a number that was typed under Alt counts when Alt is let go."""
        self._held.discard(code)
        number = self._number
        if code not in _ALT or number is None:
            return ""
        self._number = None
        return self._flushed(_by_number(number))

    def flush(self) -> str:
        """An accent that nothing followed is a character of its own; a number under Alt is forgotten."""
        dead, self._dead, self._number = self._dead, "", None
        return dead

    def hold(self, codes: Collection[int]) -> None:
        """These keys are held, and no other."""
        self._held = set(codes) & MODIFIERS
        self.flush()

    def _counted(self, digit: str) -> str:
        self._number = (self._number or "") + digit
        if len(self._number) > 4:
            self._number = None
            raise NoCharacterError("a number of more than four digits under Alt")
        return ""

    def _control(self, code: int, shift: bool) -> str:
        """Ctrl makes a letter a control character: its number without the upper three bits."""
        letter = self._layout.find(code, shift=shift, altgr=False) or ""
        if letter.isascii() and letter.isalpha():
            return chr(ord(letter) & 0x1F)
        if (code, shift) in _CONTROLS:
            return _CONTROLS[code, shift]
        if letter and letter in "[\\]^_":
            return chr(ord(letter) & 0x1F)
        raise NoCharacterError(self._named(code))

    def _composed(self, code: int, shift: bool, altgr: bool) -> str:
        if code in FIXED:
            character: str | None = FIXED[code]
        elif code == PAD_POINT or code in PAD:
            character = PAD.get(code, self._layout.point)
        else:
            character = self._layout.find(code, shift=shift ^ self._capital(code), altgr=altgr)
        if character is None:
            raise NoCharacterError(self._named(code))
        if (code, shift, altgr) in self._layout.dead and not self._dead:
            self._dead = character
            return ""
        if self._dead:
            dead, self._dead = self._dead, ""
            return _accented(dead, character)
        return character

    def _capital(self, code: int) -> bool:
        """Caps Lock turns the case of letters, and nothing else."""
        plain = self._layout.plain.get(code, "")
        return self.caps and plain != plain.upper() == self._layout.shift.get(code)

    def _flushed(self, text: str) -> str:
        dead, self._dead = self._dead, ""
        return dead + text

    def _named(self, code: int) -> str:
        words = (("Ctrl", _CTRL), ("Alt", _ALT), ("Shift", _SHIFT), ("Windows", _META))
        plain = FIXED.get(code) or PAD.get(code) or self._layout.plain.get(code)
        key = _NAMES.get(code) or (plain.upper() if plain and plain.isprintable() else f"number {code}")
        return "the key " + " ".join([*(word for word, of in words if self._held & of), key])


def _by_number(digits: str) -> str:
    """As Windows has it: 1 to 127 are ASCII; above, a leading zero means code page 1252, none 437 or 850.

    Raises NoCharacterError, also for the numbers on which the older two do not agree.
    """
    number = int(digits)
    if 0 < number < 128:
        return chr(number)
    pages = ("cp1252",) if digits.startswith("0") else ("cp437", "cp850")
    texts = {bytes([number]).decode(page, "ignore") for page in pages} if 0 < number < 256 else set()
    if len(texts) != 1 or texts == {""}:
        raise NoCharacterError(f"the number {digits} under Alt")
    return texts.pop()


def _accented(dead: str, character: str) -> str:
    """Both in one where there is one; the accent alone before a space; else one after the other."""
    if character == " ":
        return dead
    both = unicodedata.normalize("NFC", character + _ACCENTS[dead])
    return both if len(both) == 1 else dead + character


class Scans:
    """Cuts what is typed into scans; holds `longest` characters and one packet at the most.

    A scan in which keys were lost, or that holds a key that is no character, is broken as a whole: what it
    was is unknown, and the half of a label must not pass for one. It ends at its end or at a pause.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._keyboard = Keyboard(LAYOUTS[reading.layout], reading.keys)
        self._packet: list[tuple[int, bool]] = []
        self._bare = False
        self._dropping = False
        self._text: list[str] = []
        self._broken = ""
        self._last_s = 0.0
        self.lost_keys = False
        """Nobody knows what is held: ask the device, and say so with `hold`."""

    @property
    def caps(self) -> bool:
        """Whether Caps Lock is on."""
        return self._keyboard.caps

    @property
    def ends_s(self) -> float | None:
        """When a pause would end what is unfinished; None where nothing is."""
        unfinished = self._text or self._broken or self._keyboard.waits
        return self._last_s + self._reading.idle_s if unfinished else None

    def feed(self, event: Event) -> list[Scan]:
        """Take the next event.

        With every key comes its scan code. Where there is one without a key, the kernel has thrown the key
        away: it does so with all that wait when it is asked what is held (EVIOCGKEY).
        """
        if event.type == EV_MSC:
            self._bare = True
        elif event.type == EV_KEY:
            self._collect(event)
        elif event.type == EV_SYN and event.code == SYN_DROPPED:
            self._drop()
        elif event.type == EV_SYN and event.code == SYN_REPORT:
            return self._reported(event.at_s)
        return []

    def expire(self, now_s: float) -> list[Scan]:
        """Say that nothing is there to be read."""
        if self.ends_s is None or now_s < self.ends_s:
            return []
        return self._paused()

    def doubt(self, reason: str, now_s: float) -> list[Scan]:
        """Believe nothing of the scan that is typed now; what a pause had ended before comes out."""
        scans = self.expire(now_s)
        self._broken, self._last_s = self._broken or reason, now_s
        return scans

    def hold(self, codes: Collection[int]) -> None:
        """These keys are held now."""
        self._keyboard.hold(codes)
        self.lost_keys = False

    def abandon(self, reason: str) -> list[Scan]:
        """Give up what is unfinished."""
        return self._ended(reason) if self.ends_s is not None else []

    def _collect(self, event: Event) -> None:
        if event.value == REPEATED or self._dropping:
            return
        self._packet.append((event.code, event.value == PRESSED))
        if len(self._packet) > _PACKET:
            self._drop()

    def _drop(self) -> None:
        """All up to the next SYN_REPORT is worth nothing."""
        self._packet.clear()
        self._dropping = True

    def _reported(self, now_s: float) -> list[Scan]:
        bare, self._bare = self._bare and not self._packet, False
        if self._dropping:
            self._dropping, self.lost_keys = False, True
            return self.doubt(DROPPED, now_s)
        if not self._packet:
            return self.doubt(DROPPED, now_s) if bare else []
        scans = self.expire(now_s)
        self._last_s = now_s
        packet, self._packet = self._packet, []
        # One report of a keyboard is a state, not a sequence: what is held counts before what is typed.
        for code, pressed in sorted(packet, key=lambda one: one[0] not in MODIFIERS):
            for character in self._typed(code, pressed):
                scans += self._taken(character)
        return scans

    def _typed(self, code: int, pressed: bool) -> str:
        try:
            return self._keyboard.press(code) if pressed else self._keyboard.release(code)
        except NoCharacterError as error:
            reason = NO_CHARACTER.format(keys=error, layout=self._reading.layout)
            self._broken = self._broken or reason
            return ""

    def _taken(self, character: str) -> list[Scan]:
        if character in self._reading.ends:
            return self._ended()
        if len(self._text) < self._reading.longest:
            self._text.append(character)
        else:
            self._broken = self._broken or TOO_LONG.format(longest=self._reading.longest)
        return []

    def _paused(self) -> list[Scan]:
        idle_ms = round(self._reading.idle_s * 1000)
        return self._ended(NO_END.format(idle_ms=idle_ms) if self._reading.ends else "")

    def _ended(self, reason: str = "") -> list[Scan]:
        """What was typed, if there is any; `reason` is why it would be broken."""
        text, broken = "".join(self._text) + self._keyboard.flush(), self._broken or reason
        self._text.clear()
        self._broken = ""
        return [Scan(text, broken)] if text or broken else []
