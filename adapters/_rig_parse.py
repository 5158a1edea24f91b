"""From the bytes of a message to test results; knows no port and no clock."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from adapters._rig_format import ResultFormat
from adapters._rig_keys import CONTROL, StepFormat
from adapters._rig_messages import (
    Broken,
    Message,
    Pairs,
    Tree,
    fields,
    lines_of,
    matched,
    opened,
    rows,
    short,
)
from adapters._rig_places import Place
from edge.contract import Step, TestResult

__all__ = ["Broken", "Parsed", "parse", "parse_each"]

_DIGITS = r"(?:[0-9]+(?:{0}[0-9]*)?|{0}[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBERS = {
    mark: re.compile(rf"([+-]?) *({_DIGITS.format(re.escape(mark))})(.*)", re.DOTALL) for mark in ".,"
}
MOST_STEPS = 2_000
"""Of one result; more is taken for a mistake."""


class Parsed(NamedTuple):
    """One result of a message, or what is wrong with it."""

    raw: str
    """Its own text; lines of one result are joined by a visible `\\n`."""
    result: TestResult | None
    reason: str = ""
    """Why it is none."""


def parse(settings: ResultFormat, raw: bytes) -> list[TestResult]:
    """All results of a message. Raises Broken for the first that is none."""
    parsed = parse_each(settings, raw)
    if broken := next((one for one in parsed if one.result is None), None):
        raise Broken(broken.reason)
    return [one.result for one in parsed if one.result is not None]


def parse_each(settings: ResultFormat, raw: bytes) -> list[Parsed]:
    """Each result of a message, or why it is none; no result at all where the message is to be skipped.

    Raises Broken where nothing can be read: bytes that are no text, json that is none.
    """
    text = _decoded(settings, raw)
    if settings.skip and _all_skipped(settings, text):
        return []
    return [
        _parsed(settings, own, one) for own, one in _split(settings, text) if not _is_skipped(settings, own)
    ]


def _decoded(settings: ResultFormat, raw: bytes) -> str:
    try:
        text = raw.decode(settings.encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise Broken(f"byte {error.start + 1} is no {settings.encoding}; see `encoding`") from error
    if settings.holds == "line":
        text = text.rstrip("\r\n")
    if settings.format == "json":
        return text
    allowed = "\r\n" if settings.holds != "line" else ""
    for found in CONTROL.finditer(text):
        if found[0] not in allowed and not (found[0] == settings.separator):
            raise Broken(f"a control character ({found[0]!r}) in the line")
    return text


def _all_skipped(settings: ResultFormat, text: str) -> bool:
    whole = [text.strip("\r\n")]
    parts = lines_of(text) if settings.holds == "lines" and settings.format == "pattern" else whole
    return bool(parts) and all(
        any(matched(pattern, part) is not None for pattern in settings.skip) for part in parts
    )


def _is_skipped(settings: ResultFormat, text: str) -> bool:
    return settings.holds == "results" and any(matched(one, text) is not None for one in settings.skip)


def _split(settings: ResultFormat, text: str) -> Iterator[tuple[str, Message | Broken]]:
    """Each result's own text, and the message that it is."""
    if settings.holds != "results":
        yield "\\n".join(lines_of(text)), _try(settings, text)
    elif settings.format == "json":
        yield from _list(settings, text)
    else:
        yield from _lines(settings, lines_of(text))


def _try(settings: ResultFormat, text: str) -> Message | Broken:
    try:
        return opened(settings, text)
    except Broken as error:
        return error


def _list(settings: ResultFormat, text: str) -> Iterator[tuple[str, Message | Broken]]:
    """A list of results, or one a line."""
    whole = _try(settings, text)
    if isinstance(whole, Tree):
        for one in whole.value if isinstance(whole.value, list) else [whole.value]:
            yield _own(one), Tree(one)
        return
    cut = [(line, _try(settings, line)) for line in lines_of(text)]
    yield from cut if any(isinstance(one, Tree) for _, one in cut) else [(text, whole)]


def _own(value: Any) -> str:
    try:
        return json.dumps(value)
    except RecursionError as error:
        raise Broken("it is nested too deeply") from error


def _lines(settings: ResultFormat, lines: Sequence[str]) -> Iterator[tuple[str, Message | Broken]]:
    header: list[str] | None = None
    if settings.header == "first-line" and lines:
        header, lines = [name.strip(" ") for name in fields(settings, lines[0])], lines[1:]
    for line in lines:
        try:
            yield line, rows(settings, [line], header) if settings.format == "csv" else opened(settings, line)
        except Broken as error:
            yield line, error


# --- a result -------------------------------------------------------------------------------


def _parsed(settings: ResultFormat, own: str, message: Message | Broken) -> Parsed:
    try:
        if isinstance(message, Broken):
            raise message
        return Parsed(own, _result(settings, message))
    except Broken as error:
        return Parsed(own, None, str(error))


def _result(settings: ResultFormat, message: Message) -> TestResult:
    places = settings.fields
    unit = _part(message, "unit", places.unit, None, needed=settings.unit == "sent")
    if unit and settings.unit_like and matched(settings.unit_like, unit) is None:
        raise Broken(f"{short(unit)} is no unit's number; see `unit_like`")
    program = _part(message, "program", places.program, settings.constants.program, needed=True)
    passed = None if places.result is None else _verdict(settings, message, places.result)
    steps = list(_steps(settings, message))
    _once([step.name for step in steps])
    return TestResult(
        unit=unit, program=program, passed=passed,
        revision=_part(message, "revision", places.revision, settings.constants.revision) or None,
        number=_part(message, "number", places.number, None) or None, steps=tuple(steps),
    )  # fmt: skip


def _part(
    message: Message, part: str, place: Place | None, constant: str | None, *, needed: bool = False
) -> str:
    text = constant or ("" if place is None else message.text(place))
    if needed and not text:
        raise Broken(
            f"no {part}" if place is None else f"no {place}" if isinstance(place, str) else f"no {part}"
        )
    return text


def _verdict(settings: ResultFormat, message: Message, place: Place) -> bool:
    text = message.text(place)
    if not text:
        raise Broken(f"no {place}" if isinstance(place, str) else "no result")
    return _good(settings, text)


def _good(settings: ResultFormat, word: str) -> bool:
    if word not in settings.passes and word not in settings.fails:
        raise Broken(f"{short(word)} is no known result; see `pass` and `fail`")
    return word in settings.passes


def _once(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Broken(f"two steps have the name {short(name)}")
        seen.add(name)
    if len(names) > MOST_STEPS:
        raise Broken(f"{len(names)} steps are more than {MOST_STEPS}")


# --- steps ----------------------------------------------------------------------------------


def _steps(settings: ResultFormat, message: Message) -> Iterator[Step]:
    yield from _described(settings, message)
    if isinstance(message, Pairs) and settings.rest == "steps":
        named = {*settings.fields.places().values(), *settings.ignore}
        named |= {place for one in settings.step for place in one.places().values()}
        for name, text in message.fields.items():
            if name not in named:
                yield _plain_step(settings, name, text)


def _described(settings: ResultFormat, message: Message) -> Iterator[Step]:
    """In the order of the description; steps that come again and again in that of the message."""
    found: list[tuple[Step, int | None]] = []
    for one in settings.step:
        if one.each is None:
            found += [(step, None) for step in _made(settings, one, message)]
            continue
        parts = message.each(one)
        steps = [(step, part.place) for part in parts for step in _made(settings, one, part.message)]
        if len(steps) < one.least:
            raise Broken(f"{len(steps)} steps of a kind that comes {one.least} times at least; see `least`")
        found += steps
    sent = iter(sorted((one for one in found if one[1] is not None), key=lambda one: one[1] or 0))
    for step, place in found:
        yield step if place is None else next(sent)[0]


def _made(settings: ResultFormat, one: StepFormat, message: Message) -> Iterator[Step]:
    if (step := _step(settings, one, message)) is not None:
        yield step


def _plain_step(settings: ResultFormat, name: str, text: str) -> Step:
    """`value:unit:low:high`; what follows the value may be empty or absent."""
    parts = [part.strip(" ") for part in text.split(":")]
    if len(parts) > 4:
        raise Broken(f"{short(name)} is more than value:unit:low:high")
    value, unit, low, high = parts + [""] * (4 - len(parts))
    return Step(
        name=name, value=_number(settings, name, value), unit_of_measure=unit or None,
        low=_number(settings, name, low) if low else None,
        high=_number(settings, name, high) if high else None,
    )  # fmt: skip


def _step(settings: ResultFormat, one: StepFormat, message: Message) -> Step | None:
    """A step as it is described; None where it was not made. Raises Broken."""
    name = one.name or message.text(one.name_at or "")
    text = "" if one.at is None else message.text(one.at)
    word = "" if one.result_at is None else message.text(one.result_at)
    if one.optional and not text and not word:
        return None
    if not name:
        raise Broken("a step without a name")
    if one.at is not None and not text and not one.optional:
        raise Broken(f"{short(name)} has no value; see `optional`")
    passed = _good(settings, word) if word else None
    if one.kind == "text" or not text:
        return Step(name=name, passed=passed, text=text)
    return _measured(settings, one, message, Step(name=name, passed=passed, text=text))


def _measured(settings: ResultFormat, one: StepFormat, message: Message, said: Step) -> Step:
    """A step with its number, its limits and its unit of measure."""
    name, text = said.name, said.text
    words = (*one.out_of_range, *one.above_range, *one.below_range)
    outside = text in words
    number, behind = ("", "") if outside else _apart(settings, name, text)
    if behind and not one.unit_follows:
        raise Broken(_no_number(name, text))
    if not outside and _is_negative(one, message):
        number = _negated(name, number)
    sent = behind or ("" if one.unit_of_measure_at is None else message.text(one.unit_of_measure_at))
    factor, unit = _unit(one, name, sent)
    low, high = (
        constant if place is None else _limit(settings, name, message.text(place), factor)
        for constant, place in ((one.low, one.low_at), (one.high, one.high_at))
    )
    return Step(
        name=name, unit_of_measure=unit, low=low, high=high,
        value=None if outside else _scaled(_number(settings, name, number), factor),
        passed=_outside(one, said, low, high) if outside else said.passed, text=text if outside else "",
    )  # fmt: skip


def _outside(one: StepFormat, said: Step, low: float | None, high: float | None) -> bool | None:
    """Of a value that is no number: beyond a limit it fails, on the far side of its only limit it is good."""
    if said.text in one.out_of_range:
        return False
    near, far = (high, low) if said.text in one.above_range else (low, high)
    return False if near is not None else True if far is not None and said.passed is None else said.passed


def _is_negative(one: StepFormat, message: Message) -> bool:
    mark = "" if one.negative_at is None else message.text(one.negative_at)
    return mark in one.negative if one.negative else bool(mark)


def _negated(name: str, number: str) -> str:
    if number[:1] in ("+", "-"):
        raise Broken(f"{short(name)}: {short(number)} has a sign, and another at `negative_at`")
    return f"-{number}"


def _limit(settings: ResultFormat, name: str, text: str, factor: float) -> float | None:
    return _scaled(_number(settings, name, text), factor) if text else None


def _unit(one: StepFormat, name: str, sent: str) -> tuple[float, str | None]:
    """What a number is multiplied by, and what it is recorded in."""
    if one.units and sent:
        if sent not in one.units:
            raise Broken(f"{short(name)}: {short(sent)} is no unit of measure that `units` has")
        return one.units[sent] * one.scale, one.unit_of_measure
    if sent and one.unit_of_measure and sent != one.unit_of_measure:
        raise Broken(f"{short(name)} came in {short(sent)}, not in {short(one.unit_of_measure)}; see `units`")
    return one.scale, one.unit_of_measure or sent or None


def _scaled(value: float, factor: float) -> float:
    """In decimal, so that 0.1 by 1000 is 100 and not a trifle beside it."""
    if factor == 1.0:
        return value
    product = float(f"{value * factor:.15g}")
    if not math.isfinite(product):
        raise Broken("a number is too large once it is scaled")
    return product


def _apart(settings: ResultFormat, name: str, text: str) -> tuple[str, str]:
    """The number and the unit that follows it."""
    match = _NUMBERS[settings.decimal].fullmatch(text)
    if match is None:
        raise Broken(_no_number(name, text))
    return match[1] + match[2], match[3].strip(" ")


def _number(settings: ResultFormat, name: str, text: str) -> float:
    number, behind = _apart(settings, name, text)
    value = math.nan if behind else float(number.replace(",", "."))
    if not math.isfinite(value):
        raise Broken(_no_number(name, text))
    return value


def _no_number(name: str, text: str) -> str:
    return f"{short(name)}: {short(text)} is no number; a field without one goes into `ignore`"
