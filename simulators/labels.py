"""Labels as a job card or a badge carries them: `$` letter body check.

The check character is ISO/IEC 7064 MOD 37,36 over the letter and the body without `.` and
`-`. It is computed here again, and not taken from the collector, so that a simulated label
does not share the collector's mistakes.
"""

import re

_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BODY = re.compile(r"[0-9A-Z.-]{1,40}")
_LETTER = re.compile(r"[A-Z]")


def label(letter: str, body: str) -> str:
    """`label("J", "WO-1001-10")` is `"$JWO-1001-10"` and its check character. Raises ValueError."""
    if _LETTER.fullmatch(letter) is None:
        raise ValueError(f"a label begins with one letter from A to Z, not {letter!r}")
    if _BODY.fullmatch(body) is None:
        raise ValueError(f"a label's body is 1 to 40 of 0-9, A-Z, '.' and '-', not {body!r}")
    return f"${letter}{body}{check_character(letter + body.replace('.', '').replace('-', ''))}"


def check_character(text: str) -> str:
    """ISO/IEC 7064 MOD 37,36 of digits and upper-case letters, by its recursive method.

    The product P begins at 36; for each character S = P + value, P = 2 * (S mod 36, or 36
    where that is 0) mod 37. The check's value c makes P + c congruent to 1 modulo 36.
    """
    product = 36
    for character in text:
        product = ((product + _CHARACTERS.index(character)) % 36 or 36) * 2 % 37
    return _CHARACTERS[(1 - product) % 36]
