"""The text of a message, opened: what stands at a place. One class a format; nothing here knows results."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from adapters._rig_format import ResultFormat
from adapters._rig_keys import CONTROL, LONGEST_LINE, Groups, StepFormat, compiled
from adapters._rig_places import Place, spot

LineT = TypeVar("LineT")
SHOWN = 40
_LINE_END = re.compile(r"\r\n|\r|\n")


class Broken(ValueError):
    """A message that makes no sense; the text says why."""


def short(text: str) -> str:
    """For a sentence: quoted, escaped, bounded."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")


class Message(Protocol):
    """One result, or one of its steps."""

    def text(self, place: Place) -> str:
        """What stands there, without blanks around it; empty where nothing does. Raises Broken."""

    def each(self, step: StepFormat) -> Sequence["Part"]:
        """The parts of the message that are a step of this kind each. Raises Broken."""


class Part(NamedTuple):
    """One of several steps of a kind."""

    place: int
    """Where it stands beside those of other kinds: its line or its column; 0 where there is no order."""
    message: Message


def lines_of(text: str) -> list[str]:
    """The lines that hold something. Python's own `splitlines` cuts at more than line ends."""
    return [line for line in _LINE_END.split(text) if line.strip(" ")]


def opened(settings: ResultFormat, text: str) -> Message:
    """One result's text. Raises Broken."""
    match settings.format:
        case "key=value":
            return _pairs(settings, text)
        case "json":
            return Tree(_tree(text))
        case "csv":
            return rows(settings, lines_of(text))
        case "fixed":
            return _columns(settings, lines_of(text))
        case "pattern":
            return _groups(settings, lines_of(text))


# --- key=value ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names with their values."""

    fields: Mapping[str, str]

    def text(self, place: Place) -> str:
        return self.fields.get(str(place), "")

    def each(self, step: StepFormat) -> Sequence[Part]:
        """None: here each step has a name of its own."""
        return []


def _pairs(settings: ResultFormat, text: str) -> Pairs:
    """Each name with its value; one separator at a line's end does no harm."""
    fields: dict[str, str] = {}
    for line in lines_of(text) or [text]:
        for field in line.removesuffix(settings.separator).split(settings.separator):
            name, value = _pair(settings.between, field)
            if name in fields:
                raise Broken(f"{short(name)} is there twice")
            fields[name] = value
    return Pairs(fields)


def _pair(between: str, field: str) -> tuple[str, str]:
    name, found, value = field.partition(between)
    if not name.strip(" ") or not found or (between == "=" and between in value):
        raise Broken(f"{short(field.strip(' '))} is no name{between}value")
    return name.strip(" "), value.strip(" ")


# --- csv ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rows:
    """Lines of fields; a name or a bare position is looked for in the first."""

    lines: Sequence[Sequence[str]]
    header: Mapping[str, int]
    """Names of columns, counted from 1."""

    def text(self, place: Place) -> str:
        if isinstance(place, str) and place in self.header:
            return self._field(1, self.header[place])
        found = spot(place)
        if found is None:
            raise Broken(f"no column {short(str(place))}")
        return self._field(found.line, found.first)

    def each(self, step: StepFormat) -> Sequence[Part]:
        if isinstance(step.each, Groups):
            return self._grouped(step.each)
        return [Part(at, Rows([line], self.header)) for at, line in chosen(self.lines, str(step.each))]

    def _field(self, line: int, column: int) -> str:
        if line > len(self.lines) or column > len(self.lines[line - 1]):
            return ""
        return self.lines[line - 1][column - 1].strip(" ")

    def _grouped(self, groups: Groups) -> Sequence[Part]:
        row = list(self.lines[0] if self.lines else [])[groups.first - 1 :]
        while len(row) % groups.by and not row[-1].strip(" "):
            row.pop()
        if len(row) % groups.by:
            raise Broken(f"the line ends inside a group of {groups.by} columns")
        return [Part(at, Rows([row[at : at + groups.by]], {})) for at in range(0, len(row), groups.by)]


def chosen(lines: Sequence[LineT], each: str) -> Sequence[tuple[int, LineT]]:
    """`"3-"` or `"3-8"` of them with their numbers, counted from 1."""
    first, _, last = each.partition("-")
    return list(enumerate(lines, 1))[int(first) - 1 : int(last) if last else None]


def _refuse_more(settings: ResultFormat, lines: Sequence[object]) -> None:
    """Raises Broken where a result has lines that nothing reads."""
    last = settings.last_line if settings.others == "broken" else None
    if last is not None and len(lines) > last:
        raise Broken(f"{len(lines)} lines, and nothing is read behind line {last}; see `others`")


def rows(settings: ResultFormat, lines: Sequence[str], header: Sequence[str] | None = None) -> Rows:
    """Lines of csv. `header`: of a message whose first line was taken off. Raises Broken."""
    cut = [fields(settings, line) for line in lines]
    if not cut:
        raise Broken("it is empty")
    if header is None and settings.header == "first-line":
        header, cut = [name.strip(" ") for name in cut[0]], cut[1:]
    if header is None:
        header = settings.header if isinstance(settings.header, list) else []
    wanted = settings.columns or len(header) or None
    for line in cut:
        if wanted is not None and len(line) != wanted:
            raise Broken(f"{len(line)} fields, not {wanted}; was it cut, or did two run into one?")
    _refuse_more(settings, cut)
    return Rows(cut, {name: at for at, name in enumerate(header, 1)})


def fields(settings: ResultFormat, line: str) -> list[str]:
    """One line of csv, with `"` around what holds a separator. Raises Broken.

    Where the separator is a blank, any number of them is one, as a rig aligns its columns.
    """
    if settings.separator == " ":
        return [one for one in line.split(" ") if one]
    try:
        [cut] = csv.reader([line], delimiter=settings.separator, strict=True, skipinitialspace=True)
    except (csv.Error, ValueError) as error:
        raise Broken(f"{short(line)} is no csv: a '\"' is where none can be, or is not closed") from error
    return cut


# --- json -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tree:
    """What json holds."""

    value: Any

    def text(self, place: Place) -> str:
        found = self._at(str(place))
        if isinstance(found, dict | list):
            raise Broken(f"{short(str(place))} holds more than one value")
        return _word(found)

    def each(self, step: StepFormat) -> Sequence[Part]:
        found = self._at(str(step.each))
        if found is None and step.optional:
            return []
        if not isinstance(found, list):
            raise Broken(f"{short(str(step.each))} is {'not there' if found is None else 'no list'}")
        if any(not isinstance(one, dict | list) for one in found):
            raise Broken(f"{short(str(step.each))} holds something that is no step")
        return [Part(0, Tree(one)) for one in found]

    def _at(self, path: str) -> Any:
        value = self.value
        for part in path.split("."):
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and part.isdecimal() and len(part) < 6:
                value = value[int(part)] if int(part) < len(value) else None
            else:
                return None
        return value


def _word(value: Any) -> str:
    """A value as the text that the TOML would name: true is `true`."""
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if found := CONTROL.search(text):
        raise Broken(f"a control character ({found[0]!r}) in {short(text)}")
    return text.strip(" ")


def _tree(text: str) -> Any:
    """Raises Broken. A name that comes twice is one: the last would win in silence."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_int=_whole)
    except Broken:
        raise
    except (ValueError, RecursionError) as error:
        raise Broken(f"it is no json: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Broken(f"{short(name)} is there twice")
        found[name] = value
    return found


def _no_number(name: str) -> Any:
    raise Broken(f"{name} is no number")


def _whole(digits: str) -> int | str:
    """A serial number may have more digits than an int is read with; it stays text then."""
    return int(digits) if len(digits) < 300 else digits


# --- fixed ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Columns:
    """Lines of characters."""

    lines: Sequence[str]

    def text(self, place: Place) -> str:
        found = spot(place)
        if found is None or found.line > len(self.lines):
            return ""
        return self.lines[found.line - 1][found.first - 1 : found.last].strip(" ")

    def each(self, step: StepFormat) -> Sequence[Part]:
        return [Part(at, Columns([line])) for at, line in chosen(self.lines, str(step.each))]


def _columns(settings: ResultFormat, lines: Sequence[str]) -> Columns:
    if not lines:
        raise Broken("it is empty")
    for line in lines:
        if settings.columns is not None and len(line) != settings.columns:
            found = f"{len(line)} characters, not {settings.columns}"
            raise Broken(f"{found}; was it cut, or did two run into one?")
    _refuse_more(settings, lines)
    return Columns(lines)


# --- pattern --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """Named groups of the patterns, and the lines, for patterns of steps."""

    groups: Mapping[str, str]
    lines: Sequence[str]

    def text(self, place: Place) -> str:
        return self.groups.get(str(place), "").strip(" ")

    def each(self, step: StepFormat) -> Sequence[Part]:
        found = ((at, matched(str(step.each), line)) for at, line in enumerate(self.lines))
        return [Part(at, Found(groups, [])) for at, groups in found if groups is not None]


def matched(pattern: str, line: str) -> dict[str, str] | None:
    """The named groups where the pattern is the whole line; None where it is not."""
    match = compiled(pattern).fullmatch(line) if len(line) <= LONGEST_LINE else None
    return None if match is None else match.groupdict("")


def _groups(settings: ResultFormat, lines: Sequence[str]) -> Found:
    """Raises Broken, also where a line is nothing that is known: a step that was cut must not be missing."""
    lines = [line for line in lines if not any(matched(one, line) is not None for one in settings.skip)]
    groups: dict[str, str] = {}
    for pattern in settings.patterns():
        found = [one for line in lines if (one := matched(pattern, line)) is not None]
        if len(found) != 1:
            many = "no line matches" if not found else f"{len(found)} lines match"
            raise Broken(f"{many} the pattern {short(pattern)}")
        groups |= found[0]
    known = settings.patterns() + [str(one.each) for one in settings.step if one.each is not None]
    for line in lines if settings.others == "broken" else []:
        if all(matched(one, line) is None for one in known):
            raise Broken(f"{short(line)} matches no `pattern` and no step's `each`; see `skip` and `others`")
    return Found(groups, lines)
