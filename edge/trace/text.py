"""Names, quantities and times as a person reads them, with no character that moves a cursor."""

from datetime import UTC, datetime, tzinfo

from rich.cells import cell_len, set_cell_size

from edge.journal.reader import iso
from edge.production.orders import job_name

CUT = "…"


def plain(text: object) -> str:
    """Whatever a label or a device said, as characters that a terminal only shows."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in shown)


def cut(line: str, width: int | None) -> str:
    """At most so many columns of a terminal, wide characters counted as two; None: all of it."""
    if width is None or cell_len(line) <= width:
        return line
    return set_cell_size(line, max(0, width - 1)).rstrip() + CUT


def moment(at_ms: int | None, zone: tzinfo = UTC) -> str:
    """`2026-05-04 07:12:09`, local; empty for None."""
    if at_ms is None:
        return ""
    try:
        return datetime.fromtimestamp(at_ms / 1000, zone).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"


def utc(at_ms: int) -> str:
    """`2026-05-04T06:12:09.412Z`; of a time that no calendar has, its milliseconds."""
    try:
        return iso(at_ms)
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"


def job_words(order: str | None, operation: int | None) -> str:
    return job_name(order, operation) if order else "UNASSIGNED"


def product(item: str | None, revision: str | None) -> str:
    """`P7 rev C`."""
    return " ".join([item or "", f"rev {revision}" if revision else ""]).strip()


def joined(*parts: str) -> str:
    """Those that say something, two spaces between them."""
    return "  ".join(part for part in parts if part)


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with the columns one below the other; the last is not padded."""
    widths = [max((cell_len(row[place]) for row in rows), default=0) for place in range(len(rows[0]))]
    return [
        "  ".join(
            [set_cell_size(text, width) for text, width in zip(row[:-1], widths[:-1], strict=True)]
            + [row[-1]]
        ).rstrip()
        for row in rows
    ]
