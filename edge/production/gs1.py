"""GS1 element strings: what a unit, a lot or a pallet says of itself by application identifiers (AIs).

Source: GS1 General Specifications; which AIs need or exclude each other as in the GS1 Barcode Syntax
Dictionary. The AIs themselves and their lengths come from biip.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from edge.production.label import Label, LabelRules

GS = "\x1d"
MOST_FIELDS = 16
"""AIs in one label. GS1-128 has room for 48 characters, and no AI takes less than three with its data."""

Fields = dict[str, str]
"""From the AI to its data, in the order of the label."""


class Kind(NamedTuple):
    """What the data of one AI may be."""

    ai: str
    least: int
    most: int
    digits_only: bool
    ends_itself: bool
    """Its length is fixed; any other ends at a separator or with the label."""


def read_gs1(text: str, rules: LabelRules) -> Label | str:
    """The label of these element strings, without their AIM identifier; or why they are none."""
    fields = _bracketed(text) if is_bracketed(text) else _elements(text)
    if isinstance(fields, str):
        return fields
    return _wrong_together(fields) or _meaning(fields, rules)


def prepare(rules: LabelRules) -> None:
    """Load the table now where the line's file speaks of GS1, and not at the first such label."""
    if rules.gs1_unmarked or any(as_gtin(number) for number in rules.items):
        _kind("01")


def is_bracketed(text: str) -> bool:
    """Whether it is as printed below the bars: `(01)04012345678901(21)A1`."""
    return _BRACKETED.match(text) is not None


def right_check_digit(number: str) -> bool:
    """Of a GTIN, SSCC or GLN with its last digit (GS1 General Specifications 7.9: 1 and 3 in turn from the
    right, modulo 10). Anything but ASCII digits is wrong."""
    if not (number.isascii() and number.isdigit() and len(number) > 1):
        return False
    weighted = sum(int(one) * (3 if place % 2 else 1) for place, one in enumerate(reversed(number)))
    return weighted % 10 == 0


def looks_unmarked(text: str) -> bool:
    """Whether it may be GS1 that nothing marks: it begins as one, and the check digit is right."""
    found = _KEY.match(text)
    return found is not None and right_check_digit(found[1] or found[2])


def as_gtin(number: str) -> str | None:
    """A GTIN of 8, 12, 13 or 14 digits as it stands in a label, with 14; None if it is none."""
    is_long_enough = len(number) in (8, 12, 13, 14)
    return number.zfill(14) if is_long_enough and right_check_digit(number) else None


_BRACKETED = re.compile(r"\([0-9]{2,4}\)")
_KEY = re.compile(r"(?:00([0-9]{18})|0[12]([0-9]{14}))(?=\x1d|[0-9]|$)")
_CSET82 = re.compile(r"[!-\"%-?A-Z_a-z]*")
_PART = re.compile(r"([NXYZ])(?:\.\.)?([0-9]+)")
_DATES = ("11", "12", "13", "15", "16", "17")
_CHECKED = ("00", "01", "02", "03")


# biip takes 0.15 s and 20 MB to import: a line that has no GS1 labels does not pay for it.
@lru_cache(1_000)
def _kind(beginning: str) -> Kind | None:
    """The AI that these characters, at most four, begin with. Asked for ASCII digits only."""
    from biip import ParseError  # noqa: PLC0415
    from biip.gs1_application_identifiers import GS1ApplicationIdentifier  # noqa: PLC0415

    try:
        found = GS1ApplicationIdentifier.extract(beginning)
    except ParseError:
        return None
    form = found.format.partition("+")[2]
    parts = _PART.findall(form)
    sign = form.count("[-]")
    most = sum(int(length) for _, length in parts) + sign
    least = 1 if found.separator_required else most
    digits_only = not sign and all(what == "N" for what, _ in parts)
    return Kind(found.ai, least, most, digits_only, not found.separator_required)


def _kind_of(text: str) -> Kind | None:
    found = _AI.match(text)
    return _kind(found[0]) if found else None


_AI = re.compile(r"[0-9]{2,4}")


def _elements(text: str) -> Fields | str:
    fields: Fields = {}
    rest = text.strip(GS)
    while rest:
        kind = _kind_of(rest)
        if kind is None:
            return f"GS1: after {_after(fields)} comes no application identifier: cut, or misread"
        rest = rest[len(kind.ai) :]
        end = rest.find(GS) if GS in rest else len(rest)
        value = rest[: min(end, kind.most)] if kind.ends_itself else rest[:end]
        rest = rest[len(value) :].lstrip(GS)
        if fault := _wrong(kind, value, fields):
            return fault
        fields[kind.ai] = value
    return fields or "GS1: nothing in it"


def _bracketed(text: str) -> Fields | str:
    """Brackets say where an AI begins; no data can hold such a pair without being taken for one."""
    fields: Fields = {}
    parts = re.split(r"\(([0-9]{2,4})\)", text)
    for ai, printed in zip(parts[1::2], parts[2::2], strict=True):
        kind = _kind(ai)
        if kind is None or kind.ai != ai:
            return f"GS1: there is no application identifier ({ai})"
        value = printed.replace(" ", "").strip(GS)
        if fault := _wrong(kind, value, fields):
            return fault
        fields[ai] = value
    return fields


def _after(fields: Mapping[str, str]) -> str:
    return f"({[*fields][-1]})" if fields else "the beginning"


def _wrong(kind: Kind, value: str, before: Mapping[str, str]) -> str:
    """Why this is no data of the AI; empty if it is."""
    ai, long = f"GS1: ({kind.ai})", len(value)
    if kind.ai in before:
        return f"{ai} is there twice: more than one label in one scan"
    if len(before) >= MOST_FIELDS:
        return f"GS1: more than {MOST_FIELDS} application identifiers: two labels in one scan?"
    if (gtin := before.get("01")) and not kind.ends_itself and f"01{gtin}" in value:
        return f"{ai} holds the GTIN once more: two labels in one scan"
    if long < kind.least:
        return f"{ai} is cut: {long} of {kind.least} characters"
    if long > kind.most:
        return (
            f"{ai} has {long} characters, at most {kind.most}: no separator came, or two labels in one scan"
        )
    return _wrong_characters(kind, value, ai)


def _wrong_characters(kind: Kind, value: str, ai: str) -> str:
    if kind.digits_only and not (value.isascii() and value.isdigit()):
        return f"{ai} has more than digits in it: cut, or misread"
    if _CSET82.fullmatch(value) is None:
        return f"{ai} has a character that GS1 does not have"
    if kind.ai in _CHECKED and not right_check_digit(value):
        return f"{ai} has a wrong check digit: misread, or printed wrong"
    if kind.ai in _DATES and not (1 <= int(value[2:4]) <= 12 and int(value[4:]) <= 31):
        return f"{ai} is no date: misread, or printed wrong"
    return ""


_TRADE_ITEM = ("01", "02", "03", "8006", "8026")

_NEEDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("02", ("37",)), ("37", ("00",)), ("37", ("02", "8026")), ("10", _TRADE_ITEM),
    ("21", ("01", "03", "8006")), ("11", _TRADE_ITEM), ("13", _TRADE_ITEM), ("15", _TRADE_ITEM),
    ("16", _TRADE_ITEM),
    ("17", (*_TRADE_ITEM, "255")), ("20", ("01", "02", "8006", "8026")), ("22", ("01",)), ("235", ("01",)),
    ("240", ("01", "02", "8006", "8026")), ("241", ("01", "02", "8006", "8026")), ("250", ("21",)),
    ("30", ("01", "02")),
)  # fmt: skip
"""Each AI, and those of which one must be on the same label."""

_EXCLUDES = (
    ("01", "02"), ("01", "03"), ("01", "37"), ("01", "255"), ("02", "03"), ("03", "37"), ("21", "235"),
)  # fmt: skip


def _wrong_together(fields: Mapping[str, str]) -> str:
    for one, other in _EXCLUDES:
        if one in fields and other in fields:
            return f"GS1: ({one}) and ({other}) exclude each other: printed wrong, or two labels in one scan"
    for ai, needed in _NEEDS:
        if ai in fields and not any(one in fields for one in needed):
            wanted = " or ".join(f"({one})" for one in needed[:2])
            return f"GS1: ({ai}) says nothing without {wanted}: cut, or it is in the barcode beside"
    return ""


def _meaning(fields: Mapping[str, str], rules: LabelRules) -> Label | str:
    gtin, lot = fields.get("01") or fields.get("02"), fields.get("10")
    item = rules.item_of(gtin) if gtin else None
    count = int(fields.get("37") or fields.get("30") or 0) or None
    if "00" in fields:
        return Label("P", fields["00"], "gs1", item, lot, count)
    if gtin and "21" in fields:
        serial = fields["21"]
        return Label("S", serial if rules.serial_alone else f"{gtin}.{serial}", "gs1", item, lot)
    if gtin and lot:
        return Label("L", lot, "gs1", item, lot, count)
    found = "".join(f"({ai})" for ai in [*fields][:5])
    return f"GS1: {found} names no unit (21), no lot (10) and no pack (00)"
