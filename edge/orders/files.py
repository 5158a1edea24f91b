"""From the bytes of a CSV or JSON file to work orders, and a fault for each row that is none.

Pure but for `read_file`. Whatever the bytes are, the answer is a `Parsed`: nothing in a file is
believed, and what is said of it holds no character that could move a terminal's cursor.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.config.faults import Faults, nearest
from edge.config.tables import MOST_OPERATIONS, OrderTable
from edge.observation import WorkOrder

LARGEST = 10_000_000
"""Bytes of one file."""
MOST = 100_000
"""Rows of one file."""
NAMES = tuple(OrderTable.model_fields)
KINDS = (".csv", ".json")

_REQUIRED = ("id", "item", "quantity")
_FAULTS_OF_A_ROW = 3
_SHOWN = 40
"""Characters of a foreign name that are repeated in a fault."""
_WHOLE = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class RowFault:
    """What is wrong with one row."""

    line: int
    """Where the row begins, from 1; 0 where it is about the file as such."""
    key: str
    """The column; empty where it is about the whole row."""
    what: str
    hint: str = ""
    row: int = 0
    """Which row it is, from 1 without a header; 0 where it is about the file as such."""
    id: str = ""
    """The order's id as it stands there."""

    def __str__(self) -> str:
        words = f"{self.key} {self.what}" if self.key else self.what
        return words + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Row:
    """An order, the line it begins in, and which row it is, from 1."""

    line: int
    row: int
    order: WorkOrder


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file holds: the rows that are orders, in their order, and what is wrong with the others."""

    rows: tuple[Row, ...] = ()
    faults: tuple[RowFault, ...] = ()
    readable: bool = True
    """False where it is no file of orders at all: its one fault says why, and there are no rows."""


class _Unreadable(Exception):
    """The whole file is refused."""

    def __init__(self, what: str, hint: str = "", line: int = 0) -> None:
        super().__init__(what)
        self.fault = RowFault(line, "", what, hint)


def read_file(path: Path) -> bytes:
    """Its bytes, one more than `LARGEST` at the most. Raises OSError."""
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def parse(name: str, body: bytes) -> Parsed:
    """By the ending of the file's name."""
    rows = _Rows()
    try:
        text = _text(body)
        kind = Path(name).suffix.lower()
        if kind == ".csv":
            _read_csv(text, rows)
        elif kind == ".json":
            _read_json(text, rows)
        else:
            raise _Unreadable("is neither CSV nor JSON by its name", "NAME.csv or NAME.json")
    except _Unreadable as refusal:
        return Parsed(faults=(refusal.fault,), readable=False)
    return Parsed(tuple(rows.found), tuple(rows.faults))


def _text(body: bytes) -> str:
    if len(body) > LARGEST:
        raise _Unreadable(f"is larger than {LARGEST:,} bytes", "split it")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise _Unreadable(f"is not UTF-8 text: {error.reason}", "save it as UTF-8", line) from error


class _Rows:
    """Collects rows and faults, and knows what each id stood for before."""

    def __init__(self) -> None:
        self.found: list[Row] = []
        self.faults: list[RowFault] = []
        self._count = 0
        self._first: dict[str, Row] = {}

    def count(self) -> None:
        """One more row. Raises _Unreadable for one too many."""
        self._count += 1
        if self._count > MOST:
            raise _Unreadable(f"has more than {MOST:,} rows", "split it")

    def fault(self, line: int, key: str, what: str, hint: str = "", name: str = "") -> None:
        self.faults.append(RowFault(line, key, what, hint, self._count, name))

    def add(self, line: int, raw: Mapping[str, Any]) -> None:
        """Names and values as they stand there."""
        faults = Faults("")
        _find_strange(raw, faults)
        table = None if faults.found else faults.check(OrderTable, raw, "")
        if table is None:
            for one in faults.found[:_FAULTS_OF_A_ROW]:
                self.fault(line, one.key, one.what, one.hint, _named(raw))
            return
        row = Row(line, self._count, table.order())
        first = self._first.setdefault(row.order.id, row)
        if first.order == row.order:
            self.found.append(row)
        else:
            what = f"stands in line {first.line} with other values"
            self.fault(line, "id", what, "one row an order", row.order.id)


def _find_strange(raw: Mapping[str, Any], faults: Faults) -> None:
    """What no order has, looked for before anything is made of it: unknown names, nested values."""
    for name, value in raw.items():
        if name not in NAMES:
            faults.add(plain(name), "is not a key here", nearest(name[:_SHOWN], NAMES))
            return  # a row can have a million of them
        named = name == "materials" and isinstance(value, dict)
        values = list(value.values()) if named else value if isinstance(value, list) else [value]
        if len(values) > MOST_OPERATIONS:
            faults.add(name, f"has more than {MOST_OPERATIONS} values")
        elif any(isinstance(one, dict | list) for one in values):
            faults.add(name, "holds what has no place in an order", "a list of numbers at the most")


def _named(raw: Mapping[str, Any]) -> str:
    """The row's id as it stands there, to find it by."""
    name = raw.get("id")
    return plain(name) if isinstance(name, str) else ""


def plain(text: str) -> str:
    """A short name that a terminal can show whatever is in it."""
    shown = text[:_SHOWN]
    return shown if shown.isprintable() else ascii(shown)[1:-1]


# --- CSV ----------------------------------------------------------------------------------------


def _read_csv(text: str, rows: _Rows) -> None:
    head, _, _ = text.partition("\n")
    delimiter = ";" if head.count(";") > head.count(",") else ","
    records = _records(text, delimiter, rows)
    _, names = next(records, (1, []))
    names = [name.strip().lower() for name in names]
    _check_header(names)
    for line, fields in records:
        if not any(field.strip() for field in fields):
            continue
        rows.count()
        if len(fields) != len(names):
            what = f"has {len(fields)} fields, the header has {len(names)}"
            rows.fault(line, "", what, f"fields are separated by {delimiter}")
            continue
        rows.add(line, _typed(dict(zip(names, fields, strict=True))))


def _records(text: str, delimiter: str, rows: _Rows) -> Iterator[tuple[int, list[str]]]:
    """Records with the line that each begins in; one that is no CSV is a fault."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if line == 1:
                raise _Unreadable(f"has a header that cannot be read: {error}", _header(), 1) from error
            rows.count()
            rows.fault(line, "", f"cannot be read: {error}")
            if reader.line_num > line:  # nobody knows where the next row begins
                rows.fault(line, "", "was the last row that was looked at", "its quotes do not match")
                return


def _check_header(names: list[str]) -> None:
    for name in names:
        if name not in NAMES:
            hint = nearest(name[:_SHOWN], NAMES) if name else _header()
            raise _Unreadable(f'has a column "{plain(name)}" that no order has', hint, 1)
        if names.count(name) > 1:
            raise _Unreadable(f"has the column {name} twice", _header(), 1)
    for name in _REQUIRED:
        if name not in names:
            raise _Unreadable(f"has no column {name}", _header(), 1)


def _header() -> str:
    return f"the first line is {','.join(NAMES)}"


def _typed(fields: Mapping[str, str]) -> dict[str, Any]:
    """What a JSON file would have said. An empty field says nothing."""
    raw: dict[str, Any] = {name: field.strip() for name, field in fields.items() if field.strip()}
    if "quantity" in raw:
        raw["quantity"] = _whole(raw["quantity"])
    if "operations" in raw:
        raw["operations"] = [_whole(one) for one in re.split(r"[ ;]+", raw["operations"]) if one]
    if "materials" in raw:
        raw["materials"] = _needs(raw["materials"])
    return raw


def _needs(text: str) -> dict[str, Any]:
    """`STEEL:1.5 SCREW:4`. What is no number stays, to be told as it stands there."""
    pairs = [one.partition(":") for one in re.split(r"[ ;]+", text) if one]
    return {name: float(need) if _NUMBER.fullmatch(need) else need for name, _, need in pairs}


def _whole(text: str) -> int | str:
    """The number; text that is none stays, to be told as it stands there."""
    return int(text) if _WHOLE.fullmatch(text) else text


# --- JSON ---------------------------------------------------------------------------------------


class _Twice(ValueError):
    """One object has one name twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice("one key stands twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _signed(text: str) -> int | str:
    """A number with more digits than any quantity has stays text, to be told as it stands there."""
    return int(text) if len(text) < 20 else text


def _decimal(text: str) -> float | int:
    """Some systems write a whole number as 400.0."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 10**15 else number


_decoder = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_signed, parse_float=_decimal, parse_constant=_no_number
)


def _read_json(text: str, rows: _Rows) -> None:
    """A list of objects, or one; each value is decoded by itself, for its line."""
    values = _Values(text)
    if values.next_is("["):
        _read_list(values, rows)
    else:
        _add_value(values, rows)
    if not values.at_end():
        raise values.refuse("there is something after the end")


def _read_list(values: "_Values", rows: _Rows) -> None:
    values.skip("[")
    if values.next_is("]"):
        values.skip("]")
        return
    while True:
        _add_value(values, rows)
        if values.next_is("]"):
            values.skip("]")
            return
        if not values.next_is(","):
            raise values.refuse("a comma or ] is missing")
        values.skip(",")


def _add_value(values: "_Values", rows: _Rows) -> None:
    rows.count()
    line, value = values.value()
    if isinstance(value, dict):
        rows.add(line, value)
    else:
        rows.fault(line, "", "is no order", 'an order is an object, such as {"id": "WO-1", ...}')


class _Values:
    """Walks through a JSON text and counts its lines."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._pass_space()

    def next_is(self, character: str) -> bool:
        return self._text.startswith(character, self._at)

    def at_end(self) -> bool:
        return self._at >= len(self._text)

    def skip(self, character: str) -> None:
        self._at += len(character)
        self._pass_space()

    def value(self) -> tuple[int, Any]:
        """The next value and its line. Raises _Unreadable."""
        line = self.line
        try:
            found, self._at = _decoder.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            self._at = error.pos
            raise self.refuse(error.msg) from error
        except RecursionError as error:
            raise self.refuse("it is nested too deeply") from error
        except ValueError as error:
            raise self.refuse(plain(str(error))) from error
        self._pass_space()
        return line, found

    @property
    def line(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def refuse(self, why: str) -> _Unreadable:
        return _Unreadable(f"is not valid JSON: {why}", line=self.line)

    def _pass_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
