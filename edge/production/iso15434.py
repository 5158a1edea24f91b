"""ISO/IEC 15434 messages: `[)>` RS, then one or more formats each ended by RS, then EOT.

Format 05 is GS1, 06 is data identifiers (ANSI MH10.8.2, as in `1PABC`), 12 is text element identifiers
(as in `PNR ABC`). Fields are separated by GS. Others are carried along and not read.
"""

import re
from collections.abc import Mapping, Sequence

from edge.production.gs1 import GS, read_gs1
from edge.production.label import Label, LabelRules

RS = "\x1e"
EOT = "\x04"
HEADER = "[)>"
MOST_FIELDS = 64
LONGEST_PART = 48
"""Characters of one number that is taken over; the standards' own stay below."""

Fields = dict[str, str]


def read_message(text: str, rules: LabelRules) -> Label | str:
    """The label of a text that begins with `[)>`; or why it is none."""
    formats = _formats(text, rules)
    if isinstance(formats, str):
        return formats
    fields: Fields = {}
    for kind, body in formats:
        if fault := _collect(kind, body, fields):
            return fault
    if fields:
        return _meaning(fields, rules)
    gs1 = next((body for kind, body in formats if kind == "05"), None)
    if gs1 is not None:
        return read_gs1(gs1, rules)
    return f"ISO 15434: {_listed([kind for kind, _ in formats])}: only 05, 06 and 12 are read"


def _listed(kinds: Sequence[str]) -> str:
    return f"format {', '.join(one if one.isalnum() else '?' for one in kinds[:4])}"


def _formats(text: str, rules: LabelRules) -> list[tuple[str, str]] | str:
    """Each format's number and what is in it."""
    if not text.startswith(HEADER + RS):
        if RS in text or GS in text:
            return "ISO 15434: no RS after its beginning: cut, or the gun leaves out a control character"
        return "ISO 15434: no RS and no GS in it: let the gun send control characters"
    body, ended, behind = text[len(HEADER + RS) :].partition(EOT)
    if behind:
        return "ISO 15434: something follows its end (EOT): two labels in one scan"
    if not (ended and body.endswith(RS)):
        if not rules.end_optional:
            return "ISO 15434: its end (RS EOT) is missing: cut, scan it again"
        body = body.rstrip(RS) + RS
    parts = body[:-1].split(RS)
    wrong = next((one for one in parts if not _FORMAT.match(one)), None)
    if wrong is not None:
        return "ISO 15434: a format does not begin with its number and GS: cut, or misread"
    return [(one[:2], one[3:]) for one in parts]


_FORMAT = re.compile(r"[0-9]{2}(?:\x1d|$)")
_DATA_IDENTIFIER = re.compile(r"([0-9]{0,3}[A-Z])(.*)", re.DOTALL)
_TEXT_ELEMENT = re.compile(r"([A-Z]{3}) (.*)", re.DOTALL)
_FIELDS = {"06": _DATA_IDENTIFIER, "12": _TEXT_ELEMENT}


def _collect(kind: str, body: str, into: Fields) -> str:
    """Add the format's fields; why not, in words."""
    pattern = _FIELDS.get(kind)
    for one in body.split(GS) if pattern is not None and body else ():
        found = pattern.fullmatch(one) if pattern is not None else None
        if found is None:
            return f"ISO 15434: a field of format {kind} does not begin with an identifier: cut, or misread"
        name, value = found[1], found[2].strip(" ")
        if name in into:
            return f"ISO 15434: {name} is there twice: more than one label in one scan"
        if len(into) >= MOST_FIELDS:
            return f"ISO 15434: more than {MOST_FIELDS} fields"
        into[name] = value
    return ""


_UNIQUE = ("25S", "18S", "UID")
"""Serial numbers that hold the number of who gave them: unique as they are."""
_SERIAL = ("S", "SER", "SEQ", "UCN", "UST")
_PART = ("P", "1P", "PNR", "PNO")
_LOT = ("1T", "T", "25T", "LOT", "LTN")
_PLATE = ("J", "1J", "2J", "3J", "4J", "5J", "6J", "3S")
_MAKER = ("V", "18V", "12V", "17V", "MFR", "SPL")
_QUANTITY = ("Q", "QTY")


def _meaning(fields: Mapping[str, str], rules: LabelRules) -> Label | str:
    if fault := _wrong(fields):
        return fault
    part, lot = _part(fields, rules), _first(fields, _LOT)
    item = rules.item_of(part) if part else None
    if serial := _first(fields, _UNIQUE):
        return Label("S", serial, "iso15434", item, lot)
    if serial := _first(fields, _SERIAL):
        return Label("S", _unit(serial, part, fields, rules), "iso15434", item, lot)
    if plate := _first(fields, _PLATE):
        return Label("P", plate, "iso15434", item, lot, _count(fields))
    if lot and part:
        return Label("L", lot, "iso15434", item, lot, _count(fields))
    found = ", ".join([*fields][:5])
    return f"ISO 15434: {found} names no unit (S), no lot (1T or T with P) and no pack (J)"


def _part(fields: Mapping[str, str], rules: LabelRules) -> str | None:
    """The part number; of the customer's and the supplier's, the one that the line's file knows."""
    found = [fields[one] for one in _PART if fields.get(one)]
    return next((one for one in found if one in rules.items), next(iter(found), None))


def _unit(serial: str, part: str | None, fields: Mapping[str, str], rules: LabelRules) -> str:
    """A serial is unique among parts of its number, or of its maker where no part number is said."""
    beside = part or _first(fields, _MAKER)
    return serial if rules.serial_alone or beside is None else f"{beside}.{serial}"


def _first(fields: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((fields[one] for one in names if fields.get(one)), None)


def _count(fields: Mapping[str, str]) -> int | None:
    """Whole pieces; a weight or a length with a decimal point is none."""
    text = _first(fields, _QUANTITY)
    return (int(text) or None) if text is not None and _WHOLE.fullmatch(text) else None


_WHOLE = re.compile(r"[0-9]{1,8}")
_USED = (*_UNIQUE, *_SERIAL, *_PART, *_LOT, *_PLATE, *_MAKER)


def _wrong(fields: Mapping[str, str]) -> str:
    for name in _USED:
        value = fields.get(name)
        if value is None:
            continue
        if not value:
            return f"ISO 15434: {name} is empty: cut, or printed wrong"
        if len(value) > LONGEST_PART:
            return f"ISO 15434: {name} has {len(value)} characters, at most {LONGEST_PART}"
        if not (value.isascii() and value.isprintable()):
            return f"ISO 15434: {name} has a character that cannot be printed"
    return ""
