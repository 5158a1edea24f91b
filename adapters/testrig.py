"""Source `testrig`: a test rig that sends a line of text a result on a serial port.

Its page is testrig.md. `parse` is the whole grammar and knows no port.
"""

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from functools import partial, reduce
from operator import xor
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from adapters._serial import Broken, converse
from adapters._serial_port import LineSettings
from edge.contract import (
    Duration,
    Intake,
    Signal,
    SignalAddress,
    Step,
    TestResult,
    Value,
    Verdict,
)
from edge.contract import Settings as Table

_SUM = re.compile(rb"\*([0-9A-Fa-f]{2})\Z")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHOWN = 40

# --- settings -------------------------------------------------------------------------------


def _sendable(word: str) -> str:
    if not word or word != word.strip(" ") or "=" in word or _CONTROL.search(word):
        raise ValueError('write it as the rig sends it, without "=", control characters or blanks around it')
    return word


def _separates(character: str) -> str:
    if len(character) != 1 or character in "=:*.+-" or character.isalnum():
        raise ValueError('one character that occurs in no name and no number, such as ";", "," or "|"')
    return character


def _repeated(words: Sequence[str]) -> str:
    """The first word that is there twice, or an empty text."""
    return next((word for at, word in enumerate(words) if word in words[:at]), "")


Word = Annotated[str, AfterValidator(_sendable)]


class Fields(Table):
    """What the rig calls the parts of a result."""

    unit: Word = "unit"
    program: Word = "program"
    revision: Word = "revision"
    number: Word = "number"
    result: Word = "result"

    def names(self) -> list[str]:
        return [self.unit, self.program, self.revision, self.number, self.result]


class Settings(LineSettings):
    """`[source.NAME]` with `type = "testrig"`."""

    longest: int = Field(default=4096, ge=1, le=65_536)
    """Bytes of a line at the most, without its end."""
    idle: Duration = timedelta(seconds=1)
    """A line without an end is given up after so long without a byte."""
    format: Literal["key=value"] = "key=value"
    """How a result is written."""
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    """Of the text; `latin-1` where the degree sign is one byte."""
    separator: Annotated[str, AfterValidator(_separates)] = ";"
    """Between two fields."""
    fields: Fields = Fields()
    """What the rig calls the parts of a result."""
    ignore: list[Word] = Field(default=[])
    """Fields that are neither named above nor a measurement."""
    passes: list[Word] = Field(default=["PASS", "OK"], alias="pass", min_length=1)
    """The words of the result that mean good."""
    fails: list[Word] = Field(default=["FAIL", "NG"], alias="fail", min_length=1)
    """The words that mean bad."""
    checksum: Literal["auto", "none", "xor"] = "auto"
    """`*HH` at the line's end: checked where present, no checksum at all, or demanded."""

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        if name := _repeated(self.fields.names() + self.ignore):
            raise ValueError(f"two fields have the name {name!r}")
        if word := _repeated(self.passes + self.fails):
            raise ValueError(f"{word!r} cannot be two results, or one twice")
        words = self.fields.names() + self.ignore + self.passes + self.fails
        if word := next((word for word in words if self.separator in word), ""):
            raise ValueError(f"{word!r} contains the separator {self.separator!r}")
        if self.separator.encode(self.encoding) in self.ends():
            raise ValueError(f"{self.separator!r} cannot be both `separator` and `end`")
        return self

    def thanks(self) -> dict[Verdict, str]:
        """What the rig hears by verdict; `refuse` for any other."""
        return {Verdict.ACCEPTED: self.confirm, Verdict.DUPLICATE: self.confirm}


Address: type[SignalAddress] | None = None
gives = "results"

# --- the grammar ----------------------------------------------------------------------------


def checksum(data: bytes) -> int:
    """XOR of all bytes, as NMEA 0183 does it."""
    return reduce(xor, data, 0)


def parse(settings: Settings, raw: bytes) -> TestResult:
    """A line without its end to a result. Raises Broken."""
    fields = _fields(_text(_checked(raw, settings), settings), settings.separator)
    names = settings.fields
    unit, program, result = (_taken(fields, name) for name in (names.unit, names.program, names.result))
    revision, number = (fields.pop(name, "") or None for name in (names.revision, names.number))
    steps = [_step(name, value) for name, value in fields.items() if name not in settings.ignore]
    return TestResult(
        unit=unit, program=program, passed=_passed(result, settings),
        revision=revision, number=number, steps=tuple(steps),
    )  # fmt: skip


def _checked(raw: bytes, settings: Settings) -> bytes:
    """The line without its checksum."""
    found = None if settings.checksum == "none" else _SUM.search(raw)
    if found is None:
        if settings.checksum == "xor":
            raise Broken("the checksum *HH is missing")
        return raw
    body = raw[: found.start()]
    if int(found[1], 16) != checksum(body):
        raise Broken(f"the checksum is *{checksum(body):02X}, the line says *{found[1].decode()}")
    return body


def _text(body: bytes, settings: Settings) -> str:
    try:
        text = body.decode(settings.encoding)
    except UnicodeDecodeError as error:
        raise Broken(f"byte {error.start + 1} is no {settings.encoding}; see `encoding`") from error
    if found := _CONTROL.search(text.replace(settings.separator, "")):
        raise Broken(f"a control character ({found[0]!r}) in the line")
    return text


def _fields(text: str, separator: str) -> dict[str, str]:
    """Each name with its value; one separator at the end does no harm."""
    fields: dict[str, str] = {}
    for field in text.removesuffix(separator).split(separator):
        name, *values = (part.strip(" ") for part in field.split("="))
        if not name or len(values) != 1:
            raise Broken(f"{_short(field)} is no name=value")
        if name in fields:
            raise Broken(f"{_short(name)} is there twice")
        fields[name] = values[0]
    return fields


def _taken(fields: dict[str, str], name: str) -> str:
    value = fields.pop(name, "")
    if not value:
        raise Broken(f"no {name}")
    return value


def _passed(result: str, settings: Settings) -> bool:
    if result not in settings.passes + settings.fails:
        raise Broken(f"{_short(result)} is no known result; see `pass` and `fail`")
    return result in settings.passes


def _step(name: str, text: str) -> Step:
    """`value:unit:low:high`; what follows the value may be empty or absent."""
    parts = [part.strip(" ") for part in text.split(":")]
    if len(parts) > 4:
        raise Broken(f"{_short(name)} is more than value:unit:low:high")
    value, unit, low, high = parts + [""] * (4 - len(parts))
    return Step(
        name=name, value=_number(name, value), unit_of_measure=unit or None,
        low=_number(name, low) if low else None, high=_number(name, high) if high else None,
    )  # fmt: skip


def _number(name: str, text: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise Broken(f"{_short(name)}: {_short(text)} is no number; a field without one goes into `ignore`")
    return number


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


# --- the source -----------------------------------------------------------------------------


def reading(settings: Settings, raw: bytes) -> tuple[Value, str]:
    """The result, and the line as it was sent. Raises Broken."""
    return parse(settings, raw), raw.decode(settings.encoding)


async def collect(settings: Settings, signals: Sequence[Signal[Any]], intake: Intake) -> None:
    """Hand over each result under the source's name; ACK the rig when it is on disk.

    Raises SourceLost, SourceRefused.
    """
    await converse(settings, intake, partial(reading, settings), settings.thanks(), "answer-last")
