"""Which units are on a line, and what they say of themselves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from adapters._modbus import library
from adapters._modbus.codec import Table, exception_words
from adapters._modbus.lines import TcpLine
from adapters._modbus.probe_ask import NOT_THERE, REPORT, Asker, Silent, Tell
from adapters._modbus.scan import TABLES
from adapters._modbus.wire import Refused
from edge.plural import counted

SERIAL_UNITS = range(1, 33)
TCP_UNITS = (1, 255, 0, *range(2, 11))
_BEHIND = range(11, 248)
"""Asked too where a gateway says of all of those that it has no answer of them: it knows, and is quick."""
_NOBODY = 213
"""A unit address that hardly anybody has: who answers for it answers for every one."""
_FEW = 3
"""As many units are asked for each table before they count as dead: some are silent about what they lack."""

_NOISE = "bytes that are not one"
"""As the wire says it."""

_BASIC, _REGULAR = 1, 2
_OBJECTS = ("maker", "product", "revision", "maker's page", "product name", "model", "application")
"""Objects 0 to 6 of function 43/14, section 6.21 of the application protocol."""
_MOST_PARTS = 8
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Found:
    """The units that answer."""

    units: tuple[int, ...]
    asked: int
    is_every: bool = False
    """The device answers for whatever unit it is asked for: they are one."""
    is_whole: bool = True


async def find_units(asker: Asker, line: object, given: Sequence[int], tell: Tell) -> Found:
    """Ask each for one register. Raises SourceLost."""
    wanted = given or (TCP_UNITS if isinstance(line, TcpLine) else SERIAL_UNITS)
    found = await _find(asker, line, wanted, given, tell)
    if given or found.units or not found.is_whole or list(asker.whys) != [NOT_THERE]:
        return found
    tell(f"a gateway that has none of them: {_BEHIND[0]} to {_BEHIND[-1]} are asked too, or until Ctrl-C")
    behind = await _find(asker, line, _BEHIND, _BEHIND, tell)
    return replace(behind, asked=found.asked + behind.asked)


async def _find(asker: Asker, line: object, wanted: Sequence[int], given: Sequence[int], tell: Tell) -> Found:
    tables = TABLES if len(wanted) <= _FEW else TABLES[:1]
    found: list[int] = []
    for asked, unit in enumerate(wanted):
        if asker.is_over:
            return Found(tuple(found), asked, is_whole=False)
        if asker.is_time_to_tell():
            tell(f"  unit {unit}: {counted(len(found), 'unit')} found so far")
        words = await _answers(asker, unit, tables, tell)
        if not words:
            continue
        found.append(unit)
        tell(f"unit {unit} answers{words}")
        is_first = not given and len(found) == 1 and isinstance(line, TcpLine)
        if is_first and await _answers(asker, _NOBODY, tables, tell):
            tell(f"it answers for unit {_NOBODY} just as well: it does not look at the unit, {unit} is taken")
            return Found((unit,), asked + 1, is_every=True)
    return Found(tuple(sorted(found)), len(wanted))


async def _answers(asker: Asker, unit: int, tables: Sequence[Table], tell: Tell) -> str:
    """How it answered; empty where it did not. Noise in the place of an answer is told."""
    for table in tables:
        answer = await asker.once(unit, table, 0, 1)
        if isinstance(answer, Refused):
            return f" ({table} 0: {exception_words(answer.code)})"
        if not isinstance(answer, Silent):
            return f" ({table} 0 holds {answer[0]})"
        if is_noise(answer):
            tell(f"unit {unit}: {answer.why}")
    return ""


def is_noise(silent: Silent) -> bool:
    """Whether somebody spoke, and could not be understood."""
    return _NOISE in silent.why


async def identity(asker: Asker, unit: int) -> list[str]:
    """What it says of itself: functions 43/14 and 17. Raises SourceLost."""
    found: dict[int, bytes] = {}
    for category in (_BASIC, _REGULAR):
        found |= await _objects(asker, unit, category)
        if not found:
            break
    words = [f"{_OBJECTS[at]} {_said(text)}" for at, text in found.items() if at < len(_OBJECTS) and text]
    if not words:
        # pymodbus takes the last byte for the run indicator; libmodbus and others have text there.
        answer = await asker.ask(unit, bytes([REPORT]))
        if isinstance(answer, bytes) and (text := _said(answer[2:])):
            words = [f"it reports itself as {text}"]
    return words


async def _objects(asker: Asker, unit: int, category: int) -> dict[int, bytes]:
    """The objects of one category; they may come in several parts."""
    found: dict[int, bytes] = {}
    first = 0
    for _ in range(_MOST_PARTS):
        answer = await asker.ask(unit, library.identify(category, first))
        if not isinstance(answer, bytes):
            break
        part = library.identification(answer)
        found |= part.objects
        if part.following is None or part.following <= first:
            break
        first = part.following
    return found


def _said(text: bytes) -> str:
    """What of it can be printed."""
    printed = "".join(chr(one) if 0x20 <= one < 0x7F else " " for one in text)
    return " ".join(printed.split())[:_LONGEST_NAME]
