"""What a display reads, and what a value may be so that it reads that."""

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

_NUMBER = re.compile(r"([+-]?)(\d+|\d*\.\d+|\d+\.)([eE][+-]?\d{1,2})?", re.ASCII)
_UNIT = re.compile(r"\s*[^\d\s.,+-][^\d]{0,11}$")
"""What may stand behind a number: `V`, `kWh`, `%`."""
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Shown:
    """A display's reading."""

    text: str
    """As it was typed, without the space around it."""
    value: Fraction | None
    """None where it is no number."""
    digit: Fraction = Fraction(1)
    """What one of its last digit is worth."""

    @property
    def decimals(self) -> int:
        """Digits behind the point, below 0 where the last digit is tens or more."""
        count, digit = 0, self.digit
        while digit < 1:
            count, digit = count + 1, digit * 10
        while digit >= 10:
            count, digit = count - 1, digit / 10
        return count

    def reach(self) -> tuple[Fraction, Fraction]:
        """The least and the greatest value that reads so: rounded to its last digit, or cut off behind it."""
        assert self.value is not None
        half = self.digit / 2
        if self.value < 0:
            return self.value - self.digit, self.value + half
        return self.value - half, self.value + self.digit


def shown(text: str) -> Shown:
    """A number as displays and people write it (`229.01`, `229,01 V`, `1 234.5`), or a text.

    Raises ValueError where it is neither.
    """
    stripped = text.strip()
    if not stripped or len(stripped) > _LONGEST or not stripped.isprintable():
        raise ValueError(f"write what the display shows, 1 to {_LONGEST} characters")
    number = _number(stripped)
    if number is None:
        return Shown(stripped, None)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return Shown(stripped, Fraction(number), Fraction(10) ** exponent)


def _number(text: str) -> Decimal | None:
    bare = _UNIT.sub("", text) or text
    bare = re.sub(r"(?<=\d)[ '_\u00a0\u2009\u202f](?=\d{3})", "", bare).replace("\u2212", "-")
    if "," in bare and "." in bare:
        thousands = "," if bare.rindex(".") > bare.rindex(",") else "."
        bare = bare.replace(thousands, "")
    bare = bare.replace(",", ".")
    return Decimal(bare) if _NUMBER.fullmatch(bare) else None
