"""Regular expressions from a configuration that cannot stall the agent, whatever they are given to read.

Python's `re` goes back and tries again wherever a part could have matched more or less. How often is told
from the pattern alone: a repeat after which the next character decides is tried once; one that the next
part could also have matched is tried at every length; the numbers of parts one after the other multiply.
A pattern whose product is too large is refused. It must be used with `fullmatch`.
"""

import importlib
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

LONGEST = 500
"""Characters of a text that a pattern is made for, unless it says otherwise."""
MOST_STEPS = 300_000
"""Of a pattern on one text: half a millisecond, measured on x86-64."""
MOST_CHARACTERS = 500
"""Of a pattern."""

# The standard library's own parser of patterns: there is no public one.
_parser: Any = importlib.import_module("re._parser")

Characters = frozenset[int]
"""ASCII by their codes; 128 stands for all others."""

_OTHERS = 128
_ALL: Characters = frozenset(range(_OTHERS + 1))
_CATEGORIES: dict[str, Characters] = {
    "CATEGORY_DIGIT": frozenset(b"0123456789"),
    "CATEGORY_SPACE": frozenset(b" \t\n\r\f\v"),
    "CATEGORY_WORD": frozenset(code for code in range(128) if chr(code).isalnum() or code == ord("_")),
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A pattern that may be used."""

    pattern: re.Pattern[str]
    """ASCII only: `\\d` is 0 to 9."""
    longest: int
    """No longer text can match; a caller need not try."""
    steps: int
    """At the most, on any text of `longest` characters."""


def check_pattern(text: str, longest: int = LONGEST, most_steps: int = MOST_STEPS) -> Checked:
    """For texts of at most `longest` characters. Raises ValueError in words, without naming the key."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"is a pattern of {len(text)} characters, at most {MOST_CHARACTERS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = _parser.parse(text, re.ASCII)
            pattern = re.compile(text, re.ASCII)
    except (re.error, RecursionError, OverflowError, FutureWarning) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if tree.state.flags & ~re.ASCII:
        raise ValueError("has a flag such as (?i); write [Aa] for a letter of either size")
    longest = min(longest, tree.getwidth()[1])
    reader = _Reader(longest)
    part = reader.sequence(tree, frozenset())
    steps = part.ways * max(longest, 1) * (_GROUP if reader.repeats_a_group and part.ways > 1 else 1)
    if steps > most_steps:
        raise ValueError(
            f"could be tried in {_about(part.ways)} ways on one text: after a repeat such as .* or [A-Z]+, "
            "let a character follow that it cannot match, or bound it as in [A-Z]{1,12}"
        )
    return Checked(pattern, longest, steps)


def _about(ways: int) -> str:
    return f"{ways:,}" if ways < 10**9 else "more than a billion"


class _Part(NamedTuple):
    """What is known of one part of a pattern."""

    first: Characters
    """What it can begin with."""
    may_be_empty: bool
    ways: int
    """In how many ways it can match, at the most, from one place on."""


_GROUP = 8
"""How much longer a step takes in a repeat of more than one character, as in (ab)* (measured)."""
_NOTHING = _Part(frozenset(), True, 1)
_TOO_MANY = 10**12


class _Reader:
    """Reads the tree from its end, for what follows a repeat decides how often it is tried."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.repeats_a_group = False

    def sequence(self, items: Iterable[Any], after: Characters) -> _Part:
        whole = _NOTHING
        for op, value in reversed(list(items)):
            behind = whole.first | (after if whole.may_be_empty else frozenset())
            one = self.item(str(op), value, behind)
            first = one.first | (whole.first if one.may_be_empty else frozenset())
            ways = min(one.ways * whole.ways, _TOO_MANY)
            whole = _Part(first, one.may_be_empty and whole.may_be_empty, ways)
        return whole

    def item(self, op: str, value: Any, after: Characters) -> _Part:
        if (characters := _characters(op, value)) is not None:
            return _Part(characters, False, 1)
        if op in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, inner = value
            return self.repeat(least, most, inner, after)
        if op == "SUBPATTERN":
            _, added, removed, inner = value
            if added or removed:
                raise ValueError("has a flag such as (?i:...); write [Aa] for a letter of either size")
            return self.sequence(inner, after)
        if op == "ATOMIC_GROUP":
            return self.sequence(value, after)
        if op == "BRANCH":
            return self.branches(value[1], after)
        if op == "AT":
            return _NOTHING
        raise ValueError(f"uses {_NAMES.get(op, op)}, which can take too long; write it without")

    def repeat(self, least: Any, most: Any, inner: Any, after: Characters) -> _Part:
        """`least` to `most` times the same; each further time is a choice where both could go on."""
        if most > 1 and _characters(*_only(inner)) is None:
            self.repeats_a_group = True
        again = self.sequence(inner, frozenset()).first if most > 1 else frozenset()
        one = self.sequence(inner, after | again)
        most = min(int(most), self.longest)
        least = min(int(least), most)
        if one.may_be_empty and most > 1:
            raise ValueError("repeats what may be empty")
        decided = not (one.first & after) and not one.may_be_empty
        choices = 1 if decided else most - least + 1
        ways = one.ways**most if one.ways == 1 or most < 40 else _TOO_MANY
        return _Part(one.first, least == 0 or one.may_be_empty, min(ways * choices, _TOO_MANY))

    def branches(self, found: Sequence[Any], after: Characters) -> _Part:
        parts = [self.sequence(one, after) for one in found]
        starts = [one.first | (after if one.may_be_empty else frozenset()) for one in parts]
        together = frozenset().union(*starts)
        decided = len(together) == sum(map(len, starts))
        ways = [one.ways for one in parts]
        return _Part(
            frozenset().union(*(one.first for one in parts)), any(one.may_be_empty for one in parts),
            max(ways) if decided else min(sum(ways), _TOO_MANY),
        )  # fmt: skip


_NAMES = {
    "GROUPREF": "a reference back to a group",
    "GROUPREF_EXISTS": "a reference back to a group",
    "ASSERT": "a look ahead or behind",
    "ASSERT_NOT": "a look ahead or behind",
}


def _only(items: Any) -> tuple[str, Any]:
    """The one item of a sequence; of a longer one, what is no character."""
    return (str(items[0][0]), items[0][1]) if len(items) == 1 else ("", None)


def _characters(op: str, value: Any) -> Characters | None:
    """What one character's place can hold; None of anything longer."""
    if op == "LITERAL":
        return frozenset({min(value, _OTHERS)})
    if op == "NOT_LITERAL":
        return _ALL - {value} if value < _OTHERS else _ALL
    if op == "ANY":
        return _ALL - {ord("\n")}
    return _set(value) if op == "IN" else None


def _set(members: Sequence[Any]) -> Characters:
    found: Characters = frozenset()
    certain: Characters = frozenset()
    for op, value in members:
        one = _member(str(op), value)
        found |= one
        certain |= one if str(op) != "LITERAL" or value < _OTHERS else frozenset()
    negated = any(str(op) == "NEGATE" for op, _ in members)
    return (_ALL - certain) | {_OTHERS} if negated else found


def _member(op: str, value: Any) -> Characters:
    if op == "LITERAL":
        return frozenset({min(value, _OTHERS)})
    if op == "RANGE":
        return frozenset(range(min(value[0], _OTHERS), min(value[1], _OTHERS) + 1))
    if op == "CATEGORY":
        name = str(value)
        known = _CATEGORIES[name.replace("_NOT_", "_")]
        return _ALL - known if "_NOT_" in name else known
    return frozenset()
