"""From the characters of a label to what it names. Its page is labels.md.

scan     := [AIM id "]cm"] ( GS1 | ISO 15434 | internal | alias )
internal := "$" T body check     T one letter, body [0-9A-Z.-]{1,40}
check    := ISO 7064 MOD 37,36 over T and body, without "." and "-"
"""

import re
from dataclasses import replace

from edge.production.alias import read_alias
from edge.production.gs1 import GS, is_bracketed, looks_unmarked, read_gs1
from edge.production.iso15434 import HEADER, RS, read_message
from edge.production.label import LETTERS, OWN_LABELS, Alias, Label, LabelRules

__all__ = [
    "LETTERS", "LONGEST", "OWN_LABELS", "Alias", "Label", "LabelRules", "check_character", "describe",
    "make_label", "read_label", "unit_name",
]  # fmt: skip

LONGEST = 512
"""Characters of a label; the longest that is printed on a job card has 43."""
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_AIM = re.compile(r"\][A-Za-z][0-9A-Za-z]")
_ANOTHER_AIM = re.compile(r"\][ACEFGIJLOQRXZdeopz][0-9]")
_ANOTHER_MESSAGE = re.compile(r"\[\)>(?=[\x1e\x1d])")
_GS1 = ("]C1", "]d2", "]d5", "]Q3", "]Q4", "]e0", "]e1", "]e2", "]J1")
"""AIM identifiers of symbols that begin with FNC1, and of DataBar: they hold GS1 and nothing else."""
_PRODUCT = ("]E0", "]E3", "]E4", "]I1")
"""EAN, UPC and ITF-14: a GTIN and no more."""
_INTERNAL = re.compile(r"\$([A-Z])([0-9A-Z.-]{1,40})([0-9A-Z])")


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
    if len(text) > LONGEST:
        return f"{len(text)} characters, at most {LONGEST} are read: not a label of this line"
    aim, bare = _split(text.strip(_ENDS))
    if rules.aim_required and not aim:
        return "no AIM identifier before it: let the gun send one"
    found = _several(aim, bare) or _read(aim, bare, rules)
    return found or _nearest(aim, bare, rules)


_ENDS = " \t\r\n"


def _split(text: str) -> tuple[str, str]:
    """The AIM identifier and the rest. It says what kind of symbol was read (ISO/IEC 15424)."""
    return (text[:3], text[3:].strip(_ENDS)) if _AIM.match(text) else ("", text)


def _read(aim: str, bare: str, rules: LabelRules) -> Label | str:
    """By the first grammar that it belongs to; empty where it belongs to none."""
    if bare.startswith("$"):
        return _internal(bare)
    for alias in rules.aliases:
        if (found := read_alias(alias, bare, rules)) is not None:
            return found
    plain = rules.plain(bare)
    if plain.startswith(HEADER):
        return read_message(plain, rules)
    if _is_gs1(aim, plain) or (rules.gs1_unmarked and looks_unmarked(plain)):
        return read_gs1(plain, rules)
    return ""


def _is_gs1(aim: str, plain: str) -> bool:
    """Only what is certain: an AIM identifier, brackets as printed, or a separator and an AI's digits."""
    return aim in _GS1 or is_bracketed(plain) or (GS in plain and _BEGINS_WITH_AI.match(plain) is not None)


_BEGINS_WITH_AI = re.compile(r"\x1d*[0-9]{2}")


def _internal(bare: str) -> Label | str:
    match = _INTERNAL.fullmatch(bare)
    if match is None or match[1] not in LETTERS:
        return "not a whole label: scan it again"
    letter, body, check = match.groups()
    if check_character(_checked(letter, body)) != check:
        return "the check character is wrong: scan it again"
    return Label(letter, body)


def _several(aim: str, bare: str) -> str:
    """In words, where one scan holds two labels; empty where it does not."""
    another = (_ANOTHER_AIM.search(bare, 1) if aim else None) or _ANOTHER_MESSAGE.search(bare, 1)
    if another is not None:
        return _two(bare[: another.start()], _split(bare[another.start() :])[1])
    place = bare.rfind("$", 1)
    if place > 0 and isinstance(_internal(bare[place:]), Label):
        return _two(bare[:place], bare[place:])
    return ""


def _two(first: str, second: str) -> str:
    if first.strip(_ENDS) == second:
        return "the same label twice in one scan: scan it once"
    return "two labels in one scan: scan one after the other"


def _nearest(aim: str, bare: str, rules: LabelRules) -> str:
    """Why it is of no grammar, by the one that it is most like."""
    plain, half = rules.plain(bare), len(bare) // 2
    if not bare:
        return "nothing readable"
    if bare[:half] == bare[half:] and isinstance(_read(aim, bare[:half], rules), Label):
        return _two(bare[:half], bare[half:])
    if isinstance(_internal(f"${bare}"), Label):
        return "not a label of this line, or its beginning ($) is cut: scan it again"
    if RS in plain or plain.startswith((HEADER[1:], HEADER[2:])):
        return "ISO 15434: its beginning ([)>) is missing: cut, scan it again"
    if aim in _PRODUCT:
        return "the number of a product alone: it names no unit and no lot"
    if looks_unmarked(plain):
        return "looks like GS1, but nothing marks it: let the gun send AIM identifiers"
    if bare[:8].lower().startswith(("http://", "https://")):
        return "a web address, and not a label of this line"
    return "not a label of this line"


def unit_name(text: str, rules: LabelRules = OWN_LABELS) -> str:
    """The unit that a device names: a rig with a reader of its own may send the whole label, without what
    marks it."""
    label = read_label(text, replace(rules, aim_required=False, gs1_unmarked=True))
    return label.body if isinstance(label, Label) and label.letter == "S" else text


def _checked(letter: str, body: str) -> str:
    return letter + body.replace(".", "").replace("-", "")


def describe(label: Label) -> str:
    """In words, for a person: `serial A1 of P7, lot L12`."""
    said = [f"{LETTERS[label.letter]} {label.body}"]
    said += [f"of {label.item}"] if label.item else []
    beside = f", lot {label.lot}" if label.lot and label.lot != label.body else ""
    return " ".join(said) + beside + (f", {label.quantity} pieces" if label.quantity else "")
