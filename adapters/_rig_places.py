"""Where something is in a message: a name, a position, columns, a path, a group."""

import re
from collections.abc import Collection, Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

Place = Annotated[int, Field(ge=1, le=10_000)] | Annotated[str, Field(min_length=1, max_length=200)]
"""`key=value`: a name; `csv`: a position from 1, `"line/position"` or a header's name; `json`: a path with
dots; `fixed`: columns from 1, `"5-12"`, `"2/5-12"`; `pattern`: the name of a group."""

_SPOT = re.compile(r"(?:([1-9][0-9]{0,3})/)?([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?")
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")


class Spot(NamedTuple):
    """Lines and columns, all counted from 1."""

    line: int
    first: int
    last: int


def spot(place: Place) -> Spot | None:
    """`7`, `"7"`, `"7-12"`, `"2/7-12"`; None for anything else."""
    match = _SPOT.fullmatch(str(place))
    if match is None:
        return None
    first = int(match[2])
    last = int(match[3] or first)
    return Spot(int(match[1] or 1), first, last) if first <= last else None


def fault_of_place(form: str, place: Place, header: Sequence[str] | None, groups: Collection[str]) -> str:
    """Why nothing can be at this place, or an empty text.

    `header`: names of columns; None: they come with the message.
    """
    if isinstance(place, int):
        return "" if form in ("csv", "fixed") else f"{place} is a position; {_WANTED[form]}"
    if not _NAME.fullmatch(place) or place != place.strip(" "):
        return f"{place!r} has control characters, or blanks around it"
    match form:
        case "csv":
            return _fault_of_column(place, header)
        case "fixed":
            return "" if spot(place) else f"{place!r} is no columns; {_WANTED[form]}"
        case "pattern":
            return "" if place in groups else f"the pattern has no group (?P<{place}>...)"
        case "key=value":
            return ""
        case _:
            return "" if all(place.split(".")) else f"{place!r} has an empty part"


def _fault_of_column(place: str, header: Sequence[str] | None) -> str:
    if header is None or place in header:
        return ""
    found = spot(place)
    if found and found.first == found.last:
        return ""
    return f"{place!r} is neither a position nor a name of `header`; {_WANTED['csv']}"


def fault_of_width(form: str, place: Place, header: Sequence[str] | None, columns: int | None) -> str:
    """Why no line of so many columns has this place, or an empty text."""
    found = None if columns is None or form not in ("csv", "fixed") else spot(place)
    if found is None or (place in (header or [])) or found.last <= (columns or 0):
        return ""
    what = "fields" if form == "csv" else "characters"
    return f"{place!r} is behind the last of {columns} {what}"


_WANTED = {
    "csv": 'write 3, "2/3" for the third field of the second line, or a name of `header`',
    "fixed": 'write "5-12", or "2/5-12" for columns of the second line',
    "json": 'write a path such as "dut.serial" or "steps.0.value"',
    "key=value": "write the field's name",
    "pattern": "write the name of a group of the pattern",
}
