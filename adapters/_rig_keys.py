"""Parts of the keys that describe a rig's result: patterns, fields, constants, groups, steps."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from adapters._rig_places import Place
from edge.contract import Settings as Table
from edge.patterns import check_pattern

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Also halves of characters, which json may hold and nothing can write."""
LINES = re.compile(r"[1-9][0-9]{0,3}-(?:[1-9][0-9]{0,3})?")
PARTS = ("unit", "program", "revision", "number", "result")


LONGEST_LINE = 300
"""Characters that a pattern is tried on; a longer line matches none."""


@lru_cache(maxsize=1024)
def compiled(text: str) -> re.Pattern[str]:
    """A pattern that cannot stall on such a line. Raises ValueError in words, without naming the key."""
    return check_pattern(text, LONGEST_LINE).pattern


def _sendable(word: str) -> str:
    if not word or word != word.strip(" ") or CONTROL.search(word):
        raise ValueError("write it as the rig sends it, without control characters or blanks around it")
    return word


def separates(character: str) -> str:
    if len(character) != 1 or character in '=:*.+-"' or character.isalnum():
        raise ValueError('one character that occurs in no name and no number, such as ";", "," or "|"')
    return character


def _pattern(text: str) -> str:
    compiled(text)
    return text


def _crossed(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high


def repeated(words: Sequence[str]) -> str:
    """The first word that is there twice, or an empty text."""
    return next((word for at, word in enumerate(words) if word in words[:at]), "")


Word = Annotated[str, AfterValidator(_sendable)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Factor = Annotated[float, Field(allow_inf_nan=False, gt=0)]


class Fields(Table):
    """Where the parts of a result are."""

    unit: Place | None = None
    """Serial number of the unit."""
    program: Place | None = None
    """What was run."""
    revision: Place | None = None
    """The program's revision."""
    number: Place | None = None
    """The rig's own running number."""
    result: Place | None = None
    """The word that says good or bad."""

    def places(self) -> dict[str, Place]:
        """Those that are given, by what they are."""
        found = ((part, getattr(self, part)) for part in PARTS)
        return {part: place for part, place in found if place is not None}


class Constants(Table):
    """What the rig does not send, and is always the same."""

    program: Word | None = None
    revision: Word | None = None


class Groups(Table):
    """Columns of one line that come again for each step."""

    first: int = Field(alias="from", ge=1, le=10_000)
    """The first column of the first group, counted from 1."""
    by: int = Field(ge=1, le=1_000)
    """How many columns a group has."""


class StepFormat(Table):
    """`[[source.NAME.step]]`: one measurement, or one kind of measurement that comes several times."""

    name: Word | None = None
    name_at: Place | None = None
    """Where the name is, if the rig sends it."""
    at: Place | None = None
    """Where the value is."""
    kind: Literal["number", "text"] = Field(default="number", alias="as")
    """`text`: the value is a word, such as a version."""
    unit_of_measure: Word | None = None
    """What the value is recorded in."""
    unit_of_measure_at: Place | None = None
    """Where the rig sends it."""
    unit_follows: bool = False
    """It stands right behind the value: `1.24kV`."""
    units: dict[Word, Factor] = Field(default={})
    """What else the rig may send, in `unit_of_measure`: `{ kV = 1000.0, V = 1.0 }`."""
    scale: Factor = 1.0
    """Value and limits that are sent are multiplied by it."""
    low: Number | None = None
    low_at: Place | None = None
    high: Number | None = None
    high_at: Place | None = None
    result_at: Place | None = None
    """Where the word is that says good or bad of this step alone."""
    optional: bool = False
    """An empty or absent value is no fault: the step was not made."""
    out_of_range: list[Word] = Field(default=[])
    """Words in the place of a number that say the value is beyond all limits: the step has failed."""
    above_range: list[Word] = Field(default=[])
    """Words that say it is above what can be measured: good where there is only a low limit (insulation)."""
    below_range: list[Word] = Field(default=[])
    """Words that say it is below what can be measured: good where there is only a high limit."""
    negative_at: Place | None = None
    """Where a sign stands that is not before the number, such as a status byte."""
    negative: list[Word] = Field(default=[])
    """The words there that mean less than zero; unless written, anything that stands there does."""
    each: str | Groups | None = None
    """Where this kind of step comes again and again; see the page for each format."""
    least: int = Field(default=0, ge=0, le=500)
    """Of steps that come again: fewer in one result are broken."""

    def clashes(self) -> list[str]:
        """What of it cannot be together, a sentence each."""
        sent = self.unit_of_measure_at is not None or self.unit_follows
        words = [*self.out_of_range, *self.above_range, *self.below_range]
        told = [
            "give either name or name_at" if (self.name is None) == (self.name_at is None) else "",
            "steps that come again need name_at" if self.each is not None and self.name_at is None else "",
            "say where the value is (at), or the word of the verdict (result_at)"
            if self.at is None and self.result_at is None else "",
            "give either low or low_at" if self.low is not None and self.low_at is not None else "",
            "give either high or high_at" if self.high is not None and self.high_at is not None else "",
            "low is above high" if _crossed(self.low, self.high) else "",
            "give either unit_of_measure_at or unit_follows"
            if self.unit_of_measure_at is not None and self.unit_follows else "",
            "units needs a unit_of_measure, in which they are written"
            if self.units and not self.unit_of_measure else "",
            "units needs unit_of_measure_at or unit_follows" if self.units and not sent else "",
            "a unit that is sent is no constant factor: write units in the place of scale"
            if self.scale != 1.0 and sent else "",
            "least is for steps that come again; write each" if self.least and self.each is None else "",
            "negative needs negative_at: where those words are"
            if self.negative and self.negative_at is None else "",
            f"{repeated(words)!r} cannot be out of range in two ways" if repeated(words) else "",
            self._wordy(),
        ]  # fmt: skip
        return [one for one in told if one]

    def _wordy(self) -> str:
        numeric = (
            self.low,
            self.low_at,
            self.high,
            self.high_at,
            self.unit_of_measure,
            self.unit_of_measure_at,
        )
        if self.kind == "text" and (
            any(one is not None for one in (*numeric, self.negative_at))
            or self.unit_follows
            or self.out_of_range
            or self.above_range
            or self.below_range
        ):
            return 'a step as = "text" has no limits and no unit of measure'
        return ""

    def places(self) -> dict[str, Place]:
        """Every place that is given, by its key."""
        keys = ("name_at", "at", "unit_of_measure_at", "low_at", "high_at", "result_at", "negative_at")
        found = ((key, getattr(self, key)) for key in keys)
        return {key: place for key, place in found if place is not None}
