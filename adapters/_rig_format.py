"""How a test rig writes a result: the keys of the TOML that say so. `_rig_parse` reads with them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from adapters._rig_keys import (
    LINES,
    PARTS,
    Constants,
    Fields,
    Groups,
    Pattern,
    StepFormat,
    Word,
    compiled,
    repeated,
    separates,
)
from adapters._rig_places import Place, fault_of_place, fault_of_width, spot
from edge.contract import Settings as Table
from edge.contract import refuse


class ResultFormat(Table):
    """How a result is written; a source that reads results inherits it."""

    format: Literal["key=value", "csv", "json", "fixed", "pattern"] = "key=value"
    """How a result is written."""
    holds: Literal["line", "lines", "results"] = "line"
    """What one message is: a line, one result in several lines, or several results."""
    encoding: Literal["utf-8", "latin-1", "utf-16"] = "utf-8"
    """Of the text; `latin-1` where the degree sign is one byte, `utf-16` for what Windows calls Unicode."""
    separator: Annotated[str, AfterValidator(separates)] = ";"
    """Between two fields of `key=value` and `csv`."""
    between: Literal["=", ":"] = "="
    """Between a name and its value of `key=value`."""
    decimal: Literal[".", ","] = "."
    """Between the whole and the rest of a number."""
    columns: int | None = Field(default=None, ge=1, le=65_536)
    """So many fields (`csv`) or characters (`fixed`) has each line; any other is broken."""
    header: list[Word] | Literal["first-line"] | None = None
    """Names for the columns of `csv`, or the first line that holds them."""
    pattern: Pattern | list[Pattern] | None = None
    """Regular expression(s) with named groups, each of which matches one whole line."""
    skip: list[Pattern] = Field(default=[])
    """Messages that are no results: a banner, a weight that has not settled. Of a report: lines of it."""
    others: Literal["broken", "ignored"] = "broken"
    """Lines of a result in several lines that nothing here reads."""
    fields: Fields = Fields()
    """Where the parts of a result are."""
    constants: Constants = Constants()
    """What the rig does not send."""
    unit: Literal["sent", "scanned", "sent-or-scanned"] = "sent"
    """`scanned`: it is the one that was scanned last at the station."""
    unit_like: Pattern | None = None
    """What the unit's number looks like; any other is broken."""
    result: Literal["sent", "limits"] = "sent"
    """`limits`: the rig says neither good nor bad, the limits of the steps decide."""
    step: list[StepFormat] = Field(default=[], max_length=500)
    """What was measured."""
    rest: Literal["steps", "ignored"] = "steps"
    """Of `key=value`: fields that nothing here names."""
    ignore: list[Word] = Field(default=[])
    """Of `key=value`: fields that are neither named above nor a measurement."""
    passes: list[Word] = Field(default=["PASS", "OK"], alias="pass", min_length=1)
    """The words of a verdict that mean good."""
    fails: list[Word] = Field(default=["FAIL", "NG"], alias="fail", min_length=1)
    """The words that mean bad."""

    @model_validator(mode="before")
    @classmethod
    def _usual_names(cls, data: Any) -> Any:
        """Names are usual in `key=value` alone; csv is usually written with a comma."""
        if not isinstance(data, dict):
            return data
        form = data.get("format", "key=value")
        if form == "csv":
            return {"separator": ",", **data}
        given, constants = data.get("fields", {}), data.get("constants", {})
        if form != "key=value" or not isinstance(given, dict) or not isinstance(constants, dict):
            return data
        said = {"unit": data.get("unit") == "scanned", "result": data.get("result") == "limits"}
        usual = {part: part for part in PARTS if part not in constants and not said.get(part)}
        return {**data, "fields": usual | given}

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """Of the same name as that of other parts of a source's settings: all faults are told together."""
        refuse(*self.clashes())
        return self

    def clashes(self) -> Iterator[str]:
        """What of it cannot be together, a sentence each."""
        yield from self._missing()
        yield from self._misplaced()
        yield from self._contradictions()

    def _missing(self) -> Iterator[str]:
        fields, constants = self.fields, self.constants
        for part in ("program", "revision"):
            if getattr(fields, part) is not None and getattr(constants, part) is not None:
                yield f"{part} is both in fields and in constants"
        if (self.unit == "scanned") == (fields.unit is not None):
            yield (
                'fields.unit is never read with unit = "scanned"; leave one of them out, not both'
                if self.unit == "scanned"
                else 'say where the unit\'s number is (fields.unit), or write unit = "scanned"'
            )
        if fields.program is None and constants.program is None:
            yield 'say where the program is (fields.program), or name it: constants = { program = "LEAK" }'
        if (self.result == "limits") == (fields.result is not None):
            yield (
                'fields.result is never read with result = "limits"; leave one of them out, not both'
                if self.result == "limits"
                else 'say where the verdict is (fields.result), or write result = "limits"'
            )

    def _misplaced(self) -> Iterator[str]:
        names = {group for one in self.patterns() for group in compiled(one).groupindex}
        for part, place in self.fields.places().items():
            yield _prefixed(f"fields.{part}", self._fault_of(place, self._known(), names))
        for number, step in enumerate(self.step, 1):
            key = f"step {number} ({step.name})" if step.name else f"step {number}"
            for fault in (*step.clashes(), self._fault_of_each(step)):
                yield _prefixed(key, fault)
            yield from self._misplaced_of(key, step, names)
        if self.format != "pattern" or self.pattern is not None:
            return
        yield 'format = "pattern" needs a pattern'

    def _misplaced_of(self, key: str, step: StepFormat, names: set[str]) -> Iterator[str]:
        known, columns = self._known(), self.columns
        if self.format == "pattern" and isinstance(step.each, str):
            try:
                names = set(compiled(step.each).groupindex)
            except ValueError:  # told as a fault of `each`
                return
        if isinstance(step.each, Groups):
            known, columns = [], step.each.by
        for name, place in step.places().items():
            yield _prefixed(f"{key}: {name}", self._fault_of(place, known, names, columns))

    def _fault_of(
        self, place: Place, known: Sequence[str] | None, names: set[str], columns: int | None = None
    ) -> str:
        """`columns`: of what the place is in, if that is not a line."""
        if self.format == "pattern" and self.pattern is None and not names:
            return ""
        columns = columns or self.columns or (len(self.header) if isinstance(self.header, list) else None)
        fault = fault_of_place(self.format, place, known, names)
        return fault or fault_of_width(self.format, place, known, columns)

    def _fault_of_each(self, step: StepFormat) -> str:
        each = step.each
        if each is None:
            return ""
        if self.format == "key=value":
            return "each: steps of key=value are named one by one"
        if isinstance(each, Groups):
            return "" if self.format == "csv" else "each: groups of columns are for csv"
        if self.format in ("csv", "fixed") and not LINES.fullmatch(each):
            return 'each: write which lines, such as "3-" or "3-8"'
        if self.format == "pattern":
            try:
                compiled(each)
            except ValueError as error:
                return f"each {error}"
        return ""

    def _contradictions(self) -> Iterator[str]:
        named = [place for place in self.fields.places().values() if isinstance(place, str)]
        form = self.format
        if form == "key=value" and (name := repeated(named + self.ignore)):
            yield f"two fields have the name {name!r}"
        if word := repeated(self.passes + self.fails):
            yield f"{word!r} cannot be two results, or one twice"
        if form in ("key=value", "csv"):
            words = [*self.ignore, *self.passes, *self.fails]
            words += named if form == "key=value" else []
            if word := next((word for word in words if self.separator in word), ""):
                yield f"{word!r} contains the separator {self.separator!r}"
            marks = [*words, *named] if form == "key=value" else []
            if word := next((word for word in marks if self.between in word), ""):
                yield f"{word!r} contains {self.between!r}, which separates names from values"
            if self.separator == self.decimal:
                yield f"{self.separator!r} cannot be both separator and decimal"
        if form == "key=value" and self.between == ":" and self.rest == "steps":
            yield 'between = ":" needs rest = "ignored": a step\'s limits are written with ":" too'
        yield from self._foreign()
        yield from self._twice()
        yield from self._useless()

    def _twice(self) -> Iterator[str]:
        groups = [group for one in self.patterns() for group in compiled(one).groupindex]
        if group := repeated(groups):
            yield f"two patterns have a group {group!r}"
        if name := repeated([one.name for one in self.step if one.name]):
            yield f"two steps have the name {name!r}"

    def _useless(self) -> Iterator[str]:
        if self.others == "ignored" and self.holds != "lines":
            yield 'others needs holds = "lines": of several lines there may be some that nothing reads'

    def _foreign(self) -> Iterator[str]:
        """Keys that only another format has."""
        form = self.format
        if form != "key=value" and (self.ignore or self.rest != "steps" or self.between != "="):
            yield "ignore, rest and between are for key=value; elsewhere what is not named is ignored"
        if form != "csv" and self.header is not None:
            yield "header is for csv"
        if form == "json" and self.decimal != ".":
            yield "numbers of json have a point; leave decimal out"
        if form not in ("csv", "fixed") and self.columns is not None:
            yield "columns is for csv and fixed"
        if form != "pattern" and self.pattern is not None:
            yield 'pattern is for format = "pattern"'
        if self.header == "first-line" and self.holds == "line":
            yield 'header = "first-line" needs holds = "lines" or "results"'
        if isinstance(self.pattern, list) and self.holds != "lines":
            yield 'several patterns need holds = "lines": each matches a line of its own'

    def patterns(self) -> list[str]:
        """The patterns, however many were written."""
        one = self.pattern
        return [] if one is None else [one] if isinstance(one, str) else one

    def _known(self) -> Sequence[str] | None:
        """Names of columns that can be known before the first message; None: any name may come."""
        if self.header == "first-line":
            return None
        return self.header or []

    @cached_property
    def last_line(self) -> int | None:
        """Of a result in several lines: the last that is read here; None: each may be."""
        places = [*self.fields.places().values()]
        lines = [1]
        for step in self.step:
            if isinstance(step.each, str):
                last = step.each.partition("-")[2]
                if not last:
                    return None
                lines.append(int(last))
            elif step.each is None:
                places += step.places().values()
        names = self._known() or []
        spots = [spot(place) for place in places if place not in names]
        return max(lines + [found.line for found in spots if found is not None])

    def doubts(self) -> list[str]:
        """What is allowed but would let a cut message pass for a whole one, a sentence each."""
        if self.format in ("csv", "fixed") and self.columns is None and self.header is None:
            what = "fields" if self.format == "csv" else "characters"
            return [
                f"without `columns` (how many {what} a line has) a cut or merged line may pass for a result"
            ]
        each = [step for step in self.step if step.each is not None]
        if self.format == "pattern" and each and not any(step.least for step in each):
            return ["without `least` (how many steps come at the least) a report that lost lines may pass"]
        return []


def _prefixed(key: str, fault: str) -> str:
    return f"{key}: {fault}" if fault else ""
