"""What a label says, and what the line's file says of labels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

LETTERS = {
    "E": "badge", "J": "job", "U": "station", "L": "lot", "S": "serial", "T": "tool", "P": "pack",
    "R": "document revision", "K": "check answer", "D": "downtime reason", "X": "scrap reason",
    "Q": "quantity", "A": "andon", "C": "command",
}  # fmt: skip


class Label(NamedTuple):
    """What a label names: a noun or a verb by its letter, and what else the same label says of it."""

    letter: str
    body: str
    """Of a GS1 or ISO 15434 serial: the item's number, a dot and the serial, for it is unique only with
    it. Of a lot: its number alone where `item` is said. Of a pack: its SSCC or licence plate."""
    form: str = "internal"
    """`internal`, `gs1`, `iso15434` or the name of an alias."""
    item: str | None = None
    """What it is one of, where the label says so: as the line's file names it, else GTIN or part number."""
    lot: str | None = None
    """Of a unit or a pack: the lot or batch it belongs to."""
    quantity: int | None = None
    """Of a pack or a lot: how many pieces are in it."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A plant's own label, by its pattern."""

    name: str
    pattern: re.Pattern[str]
    """Matches the whole label; its named groups are the parts of the meaning."""
    letter: str
    """What it means, as in `LETTERS`."""
    value: str = ""
    """What it names whatever its characters are, such as the command START; else a group says it."""
    item: str = ""
    """What it is one of, where no group says it."""
    longest: int = 512
    """The pattern matches no more characters than this."""


@dataclass(frozen=True, slots=True)
class LabelRules:
    """What the line's file says of labels."""

    aliases: tuple[Alias, ...] = ()
    items: Mapping[str, str] = field(default_factory=dict)
    """From a GTIN (14 digits) or a part number to the item or material as orders name it."""
    aim_required: bool = False
    """A label without its AIM identifier is refused: it may have been typed, or the gun is not set up."""
    gs1_unmarked: bool = False
    """GS1 is read also where neither an AIM identifier, a bracket nor a separator marks it."""
    end_optional: bool = False
    """An ISO 15434 message without its end (RS EOT) is read, as some suppliers print it."""
    serial_alone: bool = False
    """Serial numbers are unique without their item: the unit is named by the serial alone."""
    stand_ins: tuple[tuple[str, str], ...] = ()
    """What the gun sends in place of a control character, and the character: `("{GS}", "\\x1d")`."""

    def plain(self, text: str) -> str:
        """With control characters where the gun sent what stands for them."""
        for stand_in, control in self.stand_ins:
            text = text.replace(stand_in, control)
        return text

    def item_of(self, number: str) -> str:
        """The item by its GTIN or part number; unknown ones keep their number."""
        return self.items.get(number, number)


OWN_LABELS = LabelRules()
"""A line that has said nothing of labels."""
