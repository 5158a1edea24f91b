"""What a drill has found, and how it is told."""

from collections.abc import Sequence

from msgspec import Struct
from rich.text import Text

_COLUMNS = ("sent", "lost", "duplicated", "late", "recovered", "again", "slowest")
_WIDTH = 11


class Row(Struct, frozen=True):
    """One thing that was handed on while a fault lasted, and what became of it."""

    what: str
    """`parts of press-3.total`, `scans of gun-1`, `events to uns`."""
    sent: int
    """Made, scanned, or written to the journal for this sink."""
    lost: int = 0
    duplicated: int = 0
    late: int = 0
    """Of the events, those that arrived more than `LATE_S` after they were on disk."""
    recovered: int = 0
    """Parts that came from the counters afterwards; events that had waited in the journal."""
    repeated: int = 0
    """Events that came once more under their id, which does no harm."""
    slowest_s: float = 0.0
    """The longest that an event took from the disk to the far end."""


class Fault(Struct, frozen=True):
    """One thing that was made to fail."""

    name: str
    words: str
    """What was done."""
    rows: Sequence[Row]
    remarks: Sequence[str] = ()

    @property
    def lost(self) -> int:
        return sum(row.lost for row in self.rows)

    @property
    def duplicated(self) -> int:
        return sum(row.duplicated for row in self.rows)


class DrillReport(Struct, frozen=True):
    """The last line of `lineside drill --json`."""

    line: str
    passed: bool
    lost: int
    duplicated: int
    late: int
    recovered: int
    faults: Sequence[Fault]
    untried: Sequence[str]
    """What could not be made to fail here, and why."""
    changed: Sequence[str]
    """In which way the configuration was not the user's own."""


def total(line: str, faults: Sequence[Fault], untried: Sequence[str], changed: Sequence[str]) -> DrillReport:
    """The whole drill, and its verdict: nothing lost and nothing twice."""
    rows = [row for fault in faults for row in fault.rows]
    lost, duplicated = sum(one.lost for one in rows), sum(one.duplicated for one in rows)
    return DrillReport(
        line, lost == duplicated == 0, lost, duplicated,
        sum(one.late for one in rows), sum(one.recovered for one in rows), faults, untried, changed,
    )  # fmt: skip


def summary(fault: Fault) -> str:
    """One line of progress."""
    late = sum(row.late for row in fault.rows)
    recovered = sum(row.recovered for row in fault.rows)
    return f"  lost {fault.lost}, duplicated {fault.duplicated}, late {late}, recovered {recovered}"


def final_view(report: DrillReport) -> list[Text]:
    """Every fault with its rows, and the verdict, line by line."""
    width = max((len(row.what) for fault in report.faults for row in fault.rows), default=0) + 2
    lines = [Text("".join((" " * width, *(f"{name:>{_WIDTH}}" for name in _COLUMNS))))]
    for fault in report.faults:
        lines.append(Text(f"{fault.name}: {fault.words}", style="bold"))
        lines += [_line(row, width) for row in fault.rows]
        lines += [Text(f"  {remark}", style="yellow") for remark in fault.remarks]
    lines.append(Text())
    lines += [Text(f"not as in your file: {one}", style="dim") for one in report.changed]
    lines += [Text(f"not tried: {one}", style="yellow") for one in report.untried]
    return [*lines, verdict(report)]


def _line(row: Row, width: int) -> Text:
    slowest = f"{row.slowest_s:.1f} s" if row.slowest_s else ""
    numbers = (row.sent, row.lost, row.duplicated, row.late, row.recovered, row.repeated, slowest)
    cells = "".join(f"{one:>{_WIDTH}}" for one in numbers)
    return Text(f"{'  ' + row.what:<{width}}{cells}", style="bold red" if row.lost or row.duplicated else "")


def verdict(report: DrillReport) -> Text:
    """The last line for people."""
    numbers = (
        f"lost {report.lost}, duplicated {report.duplicated}, late {report.late}, "
        f"recovered {report.recovered}"
    )
    if not report.passed:
        return Text(f"FAILED: {numbers}", style="bold red")
    rest = f"; {len(report.untried)} not tried" if report.untried else ""
    return Text(f"passed: {numbers}{rest}", style="bold green")
