"""Bytes for a person: hexadecimal and text side by side, with nothing that a terminal would obey."""

from collections.abc import Iterator

COLUMNS = 16
LONG_PAUSE_S = 0.5
"""From here on a pause is told."""


class Dump:
    """Shows bytes as they come; a pause ends a row."""

    def __init__(self) -> None:
        self._last_s: float | None = None

    def rows(self, at_s: float, data: bytes) -> Iterator[str]:
        """`   1.204  24 43 4F  $CO`, after a row for the pause where there was one."""
        if self._last_s is not None and at_s - self._last_s >= LONG_PAUSE_S:
            yield f"{'':>9}  -- {at_s - self._last_s:.1f} s --"
        self._last_s = at_s
        for at in range(0, len(data), COLUMNS):
            row = data[at : at + COLUMNS]
            digits = row.hex(" ").upper()
            yield f"{at_s:9.3f}  {digits:<{COLUMNS * 3 - 1}}  {_text(row)}"


def _text(row: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
