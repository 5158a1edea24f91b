"""From the characters of a label to what it names.

scan     := [AIM id "]cm"] internal
internal := "$" T body check     T one letter, body [0-9A-Z.-]{1,40}
check    := ISO 7064 MOD 37,36 over T and body, without "." and "-"
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_AIM = re.compile(r"\][A-Za-z][0-9A-Za-z]")
_INTERNAL = re.compile(r"\$([A-Z])([0-9A-Z.-]{1,40})([0-9A-Z])")

LETTERS = {
    "E": "badge", "J": "job", "U": "unit", "L": "lot", "S": "serial", "T": "tool", "P": "pack",
    "R": "document revision", "K": "check answer", "D": "downtime reason", "X": "scrap reason",
    "Q": "quantity", "A": "andon", "C": "command",
}  # fmt: skip


class Label(NamedTuple):
    """What a label names: a noun or a verb by its letter, and what else the same label says of it."""

    letter: str
    body: str
    form: str = "internal"
    """`internal`, `gs1`, `iso15434` or the name of an alias."""
    item: str | None = None
    """What it is one of, where the label says so: as the line's file names it, else GTIN or part number."""
    lot: str | None = None
    """Of a unit or a pack: the lot or batch it belongs to."""
    quantity: int | None = None
    """Of a pack or a lot: how many are in it."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A plant's own label, by its pattern."""

    name: str
    pattern: re.Pattern[str]
    """Matches the whole label; its named groups are the parts of the meaning."""
    letter: str
    """What it means, as in `LETTERS`."""


@dataclass(frozen=True, slots=True)
class LabelRules:
    """What the line's file says of labels."""

    aliases: tuple[Alias, ...] = ()
    items: Mapping[str, str] = field(default_factory=dict)
    """From a GTIN (14 digits) or a part number to the item or material as orders name it."""


OWN_LABELS = LabelRules()
"""A line that has said nothing of labels."""


def check_character(text: str) -> str:
    """ISO 7064 MOD 37,36 over digits and capital letters. Raises ValueError on others."""
    remainder = 36
    for character in text:
        remainder = (remainder + _ALPHABET.index(character)) % 36 or 36
        remainder = remainder * 2 % 37
    return _ALPHABET[(1 - remainder) % 36]


def make_label(letter: str, body: str) -> str:
    """The text to print for a label, with its check character."""
    return f"${letter}{body}{check_character(_checked(letter, body))}"


def read_label(text: str, rules: LabelRules = OWN_LABELS) -> Label | str:
    """The label, or in words why it is none."""
    bare = text[3:] if _AIM.match(text) else text
    bare = bare.strip(" \r\n")
    if not bare.startswith("$"):
        return "not a label of this line"
    match = _INTERNAL.fullmatch(bare)
    if match is None or match[1] not in LETTERS:
        return "not a whole label: scan it again"
    letter, body, check = match.groups()
    if check_character(_checked(letter, body)) != check:
        return "the check character is wrong: scan it again"
    return Label(letter, body)


def _checked(letter: str, body: str) -> str:
    return letter + body.replace(".", "").replace("-", "")
