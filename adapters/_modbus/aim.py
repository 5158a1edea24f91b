"""Which addresses somebody may mean who names one: counted from zero, from one, or as Modicon writes them."""

import re

from adapters._modbus.codec import BIT_TABLES, Table
from adapters._modbus.modicon import spot_of
from adapters._modbus.ranking import Aim, Aims

_HEX = re.compile(r"0[xX]([0-9a-fA-F]{1,4})|([0-9a-fA-F]{1,4})[hH]", re.ASCII)
_REGISTERS: tuple[Table, ...] = ("holding", "input")
_LAST = 65_535


def aims_of(text: str) -> Aims:
    """`100`, `0x64`, `64h`, `40101` or `400101`, with what speaks against each place that it may be, in bits.

    Raises ValueError, in words, where it is none.
    """
    written = text.strip()
    found: dict[tuple[Table, int], Aim] = {}
    number = _number(written)
    if number is None:
        raise ValueError(f"{written}: write a number, such as 100, 0x64 or 40101")
    spot = _modicon(written)
    if spot is not None:
        table, start = spot
        _add(found, table, start, Aim(0.0, f"{written} as Modicon writes it"))
        _add(found, table, start + 1, Aim(3.0, f"{written}, its digits behind the first counted from zero"))
        _add(found, table, start - 1, Aim(6.0, f"one before {written}"))
    later = 0.0 if spot is None else 5.0
    for table in _REGISTERS:
        _add(found, table, number, Aim(later, f"{written} counted from zero"))
        _add(found, table, number - 1, Aim(later + 1.0, f"{written} counted from one"))
        _add(found, table, number + 1, Aim(later + 3.0, f"one after {written}"))
    if not found:
        raise ValueError(f"{written}: a register has an address of 0 to {_LAST}")
    return found


def _number(written: str) -> int | None:
    if match := _HEX.fullmatch(written):
        return int(match[1] or match[2], 16)
    return int(written) if written.isascii() and written.isdecimal() and len(written) <= 6 else None


def _modicon(written: str) -> tuple[Table, int] | None:
    """Of a register; None where it is no such address."""
    try:
        spot = spot_of(written)
    except ValueError:
        return None
    return None if spot.table in BIT_TABLES else (spot.table, spot.start)


def _add(found: dict[tuple[Table, int], Aim], table: Table, start: int, aim: Aim) -> None:
    known = found.get((table, start))
    if 0 <= start <= _LAST and (known is None or aim.cost < known.cost):
        found[table, start] = aim


def modicon(table: Table, start: int) -> str:
    """A place as manuals write it: `40101`, six digits where five do not do."""
    digit = {"coil": "0", "discrete": "1", "input": "3", "holding": "4"}[table]
    return f"{digit}{start + 1:04}" if start < 9999 else f"{digit}{start + 1:05}"
