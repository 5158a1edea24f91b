"""What the keys of a keyboard stand for, layout by layout; numbers are those of linux/input-event-codes.h.

A gun types as if at a keyboard of the country that it is programmed for, and its makers go by the layouts
of Windows. Only what a label can hold is here: no key that does something, but those that guns are told to
send in the place of a control character.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Name = Literal["us", "gb", "de", "fr", "es", "it", "se", "ch"]

_PLACES = (41, *range(2, 14), *range(16, 28), *range(30, 41), 43, 86, *range(44, 54))
"""The keys of four rows, from the left: of digits, and of Q, A and Z. 43 is left of Enter, 86 left of Z."""

FIXED: Mapping[int, str] = {
    1: "\x1b", 14: "\b", 15: "\t", 28: "\r", 57: " ",
    96: "\r", 98: "/", 55: "*", 74: "-", 78: "+", 117: "=",
}  # fmt: skip
"""Keys that are the same everywhere: Escape, Backspace, Tab, Enter, the bar, and around the number pad."""

PAD: Mapping[int, str] = dict(zip((82, 79, 80, 81, 75, 76, 77, 71, 72, 73), "0123456789", strict=True))
"""The digits of the number pad, whatever Num Lock is: no gun means the arrows there."""
PAD_POINT = 83

SPECIAL: Mapping[str, int] = {
    **{f"f{number}": 58 + number for number in range(1, 11)},
    "f11": 87, "f12": 88,
    **{f"f{number}": 170 + number for number in range(13, 25)},
    "esc": 1, "backspace": 14, "caps-lock": 58, "num-lock": 69, "scroll-lock": 70,
    "home": 102, "up": 103, "page-up": 104, "left": 105, "right": 106, "end": 107, "down": 108,
    "page-down": 109, "insert": 110, "delete": 111, "pause": 119, "print": 99, "menu": 127,
}  # fmt: skip
"""Keys that a gun may be told to send for a control character, by the name that a user writes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What each key gives, by its number and the modifiers that are held."""

    plain: Mapping[int, str]
    shift: Mapping[int, str]
    altgr: Mapping[int, str]
    shift_altgr: Mapping[int, str]
    dead: frozenset[tuple[int, bool, bool]]
    """Key, shift and AltGr of accents that wait for the next character."""
    point: str
    """What the number pad has beside its zero."""

    def find(self, code: int, *, shift: bool, altgr: bool) -> str | None:
        """The character; None where there is none."""
        if altgr:
            return (self.shift_altgr if shift else self.altgr).get(code)
        return (self.shift if shift else self.plain).get(code)


def _keys(*rows: str) -> dict[int, str]:
    return dict(zip(_PLACES, "".join(rows), strict=True))


def _layout(
    plain: Sequence[str],
    shift: Sequence[str],
    altgr: Mapping[int, str] | None = None,
    shift_altgr: Mapping[int, str] | None = None,
    dead: str = "",
    point: str = ".",
) -> Layout:
    """`dead` are the accents that wait; the layouts here have none of them twice."""
    levels = ((False, False, _keys(*plain)), (True, False, _keys(*shift)), (False, True, altgr or {}))
    waiting = frozenset(
        (code, shifted, alted)
        for shifted, alted, keys in levels
        for code, character in keys.items()
        if character in dead
    )
    return Layout(levels[0][2], levels[1][2], levels[2][2], shift_altgr or {}, waiting, point)


LAYOUTS: Mapping[Name, Layout] = {
    "us": _layout(
        ("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'\\", "\\zxcvbnm,./"),
        ("~!@#$%^&*()_+", "QWERTYUIOP{}", 'ASDFGHJKL:"|', "|ZXCVBNM<>?"),
    ),
    "gb": _layout(
        ("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'#", "\\zxcvbnm,./"),
        ('¬!"£$%^&*()_+', "QWERTYUIOP{}", "ASDFGHJKL:@~", "|ZXCVBNM<>?"),
        {41: "¦", 5: "€"},
    ),
    "de": _layout(
        ("^1234567890ß´", "qwertzuiopü+", "asdfghjklöä#", "<yxcvbnm,.-"),
        ('°!"§$%&/()=?`', "QWERTZUIOPÜ*", "ASDFGHJKLÖÄ'", ">YXCVBNM;:_"),
        {3: "²", 4: "³", 8: "{", 9: "[", 10: "]", 11: "}", 12: "\\", 16: "@", 18: "€", 27: "~", 86: "|",
         50: "µ"},
        dead="^´`", point=",",
    ),
    "fr": _layout(
        ("²&é\"'(-è_çà)=", "azertyuiop^$", "qsdfghjklmù*", "<wxcvbn,;:!"),
        ("²1234567890°+", "AZERTYUIOP¨£", "QSDFGHJKLM%µ", ">WXCVBN?./§"),
        {3: "~", 4: "#", 5: "{", 6: "[", 7: "|", 8: "`", 9: "\\", 10: "^", 11: "@", 12: "]", 13: "}",
         18: "€", 27: "¤"},
        dead="^¨~`",
    ),
    "es": _layout(
        ("º1234567890'¡", "qwertyuiop`+", "asdfghjklñ´ç", "<zxcvbnm,.-"),
        ('ª!"·$%&/()=?¿', "QWERTYUIOP^*", "ASDFGHJKLÑ¨Ç", ">ZXCVBNM;:_"),
        {41: "\\", 2: "|", 3: "@", 4: "#", 5: "~", 7: "¬", 18: "€", 26: "[", 27: "]", 40: "{", 43: "}"},
        dead="`^´¨~",
    ),
    "it": _layout(
        ("\\1234567890'ì", "qwertyuiopè+", "asdfghjklòàù", "<zxcvbnm,.-"),
        ('|!"£$%&/()=?^', "QWERTYUIOPé*", "ASDFGHJKLç°§", ">ZXCVBNM;:_"),
        {18: "€", 26: "[", 27: "]", 39: "@", 40: "#"},
        {26: "{", 27: "}"},
    ),
    "se": _layout(
        ("§1234567890+´", "qwertyuiopå¨", "asdfghjklöä'", "<zxcvbnm,.-"),
        ('½!"#¤%&/()=?`', "QWERTYUIOPÅ^", "ASDFGHJKLÖÄ*", ">ZXCVBNM;:_"),
        {3: "@", 4: "£", 5: "$", 8: "{", 9: "[", 10: "]", 11: "}", 12: "\\", 18: "€", 27: "~", 86: "|",
         50: "µ"},
        dead="´`¨^~", point=",",
    ),
    "ch": _layout(
        ("§1234567890'^", "qwertzuiopü¨", "asdfghjklöä$", "<yxcvbnm,.-"),
        ('°+"*ç%&/()=?`', "QWERTZUIOPè!", "ASDFGHJKLéà£", ">YXCVBNM;:_"),
        {2: "¦", 3: "@", 4: "#", 7: "¬", 8: "|", 9: "¢", 12: "´", 13: "~", 18: "€", 26: "[", 27: "]",
         40: "{", 43: "}", 86: "\\"},
        dead="^¨`´~",
    ),
}  # fmt: skip
