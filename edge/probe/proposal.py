"""What was found on a device, and the TOML that reads it: what the probes that ask have in common."""

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from edge.errors import ConfigError
from edge.probe.find import Found
from edge.probe.into import Into, free, warnings
from edge.probe.toml import commented, pair, table
from edge.shell import plain

Tell = Callable[[str], None]


class Other(Protocol):
    """A line that could stand there too, or in the place of one that does."""

    @property
    def key(self) -> str: ...
    @property
    def table(self) -> Mapping[str, Any]: ...
    @property
    def words(self) -> str: ...


class StationPlan(Protocol):
    """A station in the making, as the adapters propose it."""

    @property
    def name(self) -> str: ...
    @property
    def keys(self) -> Mapping[str, Any]: ...
    @property
    def comments(self) -> Sequence[str]: ...
    @property
    def others(self) -> Sequence[Other]: ...


class Report(Protocol):
    """What the adapters have found."""

    @property
    def source(self) -> Mapping[str, Any]: ...
    @property
    def stations(self) -> Sequence[StationPlan]: ...
    @property
    def telemetry(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def comments(self) -> Sequence[str]: ...
    @property
    def others(self) -> Sequence[Other]: ...
    @property
    def words(self) -> Sequence[str]: ...
    @property
    def broken(self) -> str: ...


@contextmanager
def enough_by_hand() -> Iterator[asyncio.Event]:
    """Ctrl-C ends what is being done, and the next thing begins."""
    enough, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, enough.set)
    try:
        yield enough
    finally:
        loop.remove_signal_handler(signal.SIGINT)


_EMPTY = "nothing of it looks like a counter or a measurement: choose from the tree"


def concluded(
    report: Report,
    name: str,
    station: str,
    is_new: bool,
    into: Into | None = None,
    bare: str = "",
    empty: str = _EMPTY,
) -> Found:
    """The tables, once they have passed what `lineside check` does.

    `is_new`: its source is written down too; else the line has it already, and a station.
    `into`: the line's file; None: there is none yet, and it begins as one does.
    `bare`: what stands above a station that is only there because a line has one.
    `empty`: what is said where there is nothing to propose, unless the report has said it.
    """
    source = table(["source", name], report.source)
    stand_in = (
        ""
        if report.stations
        else commented([bare or _BARE])
        + table(["station"], {"name": station, "ideal_cycle": "30s"}, is_one_of_many=True)
    )
    proposed = "\n".join(_signals(report, name, into))
    words = [*map(plain, report.words)]
    if report.broken:
        words.append(plain(f"it ended before its end: {report.broken}"))
    is_empty = not (report.stations or report.telemetry)
    if is_empty:
        words += [empty] if empty else []
    line = commented([_LINE]) + table(["line"], {"name": "line-1"})
    whole = [line, source, stand_in, proposed] if into is None else [source if is_new else "", proposed]
    text = "\n".join(filter(None, whole))
    text = f"\n{text}" if text and into is not None else text
    fault = _fault("\n".join(whole[into is None :]), into, words)
    return Found(tuple(words), "" if fault else text, runs=not (fault or report.broken or is_empty))


_LINE = (
    "leave these two lines out where the tables are added to a line's file; else write the line's own name"
)
_BARE = "NOT FINISHED: no counter was found, and a line has at least one station; write its own"


def _signals(report: Report, name: str, into: Into | None) -> Iterator[str]:
    for station in report.stations:
        keys = {"name": free(station.name, into.stations if into else ()), **station.keys}
        written = table(["station"], keys, is_one_of_many=True)
        yield commented(station.comments) + written + commented(_lines(station.others))
    telemetry = {"source": name, "every": "1s", **report.telemetry} if report.telemetry else {}
    group = free(name, into.telemetry if into else ())
    written = table(["telemetry", group], telemetry) if telemetry else ""
    if last := commented(report.comments) + written + commented(_lines(report.others)):
        yield last


def _lines(others: Sequence[Other]) -> list[str]:
    """As they can be written, with what they are."""
    return [f"{pair(one.key, one.table)}  # {one.words}" for one in others]


def _fault(text: str, into: Into | None, words: list[str]) -> bool:
    """Whether `lineside check` refuses it; what that says is added to the words."""
    try:
        words += map(plain, warnings(text, into))
    except ConfigError as error:
        words += [plain(f"no proposal passes the check: {one.key} {one.what}") for one in error.faults]
        return True
    return False
