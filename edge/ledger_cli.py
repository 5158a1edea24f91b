"""The command `lineside ledger`: the loss ledger in words or as JSON."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from msgspec import json

from edge.journal.begin import news
from edge.journal.files import is_in_use
from edge.ledger import Interval, Ledger, read_ledger
from edge.plural import counted
from edge.shell import DataFolder, fail, find_line, open_journal, plain, plain_json
from edge.when import read_time

LITTLE = 5
"""A silence may be longer than its interval by one part of so many before it is said."""
CAUSES = {
    "agent-off": "the agent was off",
    "journal-restored": "the journal was replaced by a backup",
    "source-down": "out of reach",
    "signal-unreadable": "could not be read",
    "clock-unknown": "the clock was in doubt",
    "clock-stepped": "the clock was set",
    "not-recorded": "nothing could be recorded",
    "telemetry-dropped": "telemetry was dropped",
    "not-read": "not read in time",
    "telemetry-unreadable": "telemetry could not be read",
    "telemetry-thinned": "telemetry was thinned",
    "records-dropped": "records were dropped",
    "far-end-forgot": "it forgot what it had acknowledged",
    "queue-overflow": "more came than could wait",
    "device-restarted": "the device was restarted",
    "device-replaced": "another device is in its place",
    "counter": "a reading left a question open",
}


def ledger(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The line's TOML file; or as --line.")
    ] = None,
    line: Annotated[Path | None, typer.Option("--line", metavar="LINE", help="The line's TOML file.")] = None,
    data: DataFolder = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="14:05, 2026-05-04T14:05, or that with an offset."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The same; default: until now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """What could have been missed, when, and what was recovered.

    Every interval in which nobody could see or keep what happened. Needs no running agent.
    Exits with 1 where a count or a time is uncertain.
    """
    if line is None:
        line = file
    elif file is not None:
        fail("the line's file is given twice: write it alone, or as --line")
    if line is None:
        fail("which line? Write its file: `lineside ledger LINE.toml`, or as --line")
    config = find_line(line, data)
    zone = ZoneInfo(config.timezone)
    from_ms, to_ms = (_moment(text, zone) for text in (from_, to))
    if from_ms is not None and to_ms is not None and from_ms > to_ms:
        both = f"{_shown(from_ms, zone)} (--from) is after {_shown(to_ms, zone)} (--to)"
        fail(f"{both}; a time of day is the last one there was: write the day too")
    away = None if is_in_use(config.journal) else news(config.journal)
    with open_journal(config) as reader:
        found = read_ledger(reader, config.line, from_ms, to_ms, away)
    typer.echo(
        plain_json(json.encode(found).decode()) if as_json else "\n".join(map(plain, told(found, zone)))
    )
    raise typer.Exit(1 if found.uncertain else 0)


def _moment(text: str | None, zone: ZoneInfo) -> int | None:
    if text is None:
        return None
    try:
        return read_time(text, zone, time.time_ns() // 1_000_000)
    except ValueError as error:
        fail(str(error))


def told(found: Ledger, zone: ZoneInfo) -> Iterator[str]:
    """The ledger in lines: an interval each, and what is to be said of it below it."""
    for one in found.intervals:
        yield f"{_span(one, zone)}  {_who(one)}{CAUSES.get(one.cause, one.cause)}{_because(one)}"
        if one.recovered:
            by = ", ".join(f"{each.signal} {each.parts}" for each in one.recovered)
            loose = sum(each.parts for each in one.recovered if not each.assigned)
            are = "is" if loose == 1 else "are"
            unassigned = f"; {loose} of them {are} of no order" if loose else ""
            yield f"    recovered {counted(one.parts, 'part')}{_silence(one, zone)} ({by}){unassigned}"
        if one.elsewhere:
            its = f"{', '.join(one.elsewhere)}: what was made meanwhile is told"
            yield f"    {its} in another interval of the same silence"
        if one.records:
            yield f"    lost {counted(one.records, 'record')}"
        if one.unseen:
            yield f"    not seen, if there were any: {'; '.join(one.unseen)}"
        for why in one.uncertain:
            yield f"    uncertain: {why}"
    sure = f"{found.uncertain} uncertain" if found.uncertain else "nothing uncertain"
    recovered = counted(found.parts, "part")
    yield f"{found.line}: {counted(len(found.intervals), 'interval')}, {recovered} recovered, {sure}"


def _silence(one: Interval, zone: ZoneInfo) -> str:
    """Where the counters were not read for much longer than the interval was."""
    since_ms = min(each.since_ms for each in one.recovered)
    silent_ms = max(each.until_ms for each in one.recovered) - since_ms
    if silent_ms * LITTLE <= ((one.until_ms or one.since_ms) - one.since_ms) * (LITTLE + 1):
        return ""
    return f" of {silent_ms / 1000:.1f} s without a reading, from {_shown(since_ms, zone)}"


def _who(one: Interval) -> str:
    return "" if one.subject in ("agent", "clock") else f"{one.subject}: "


def _because(one: Interval) -> str:
    return f" ({one.detail})" if one.detail else ""


def _span(one: Interval, zone: ZoneInfo) -> str:
    begun = _shown(one.since_ms, zone)
    if one.until_ms is None:
        return f"{begun} and still"
    if one.until_ms == one.since_ms:
        return begun
    return f"{begun} for {max(0, one.until_ms - one.since_ms) / 1000:.1f} s"


def _shown(at_ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at_ms / 1000, zone).isoformat(" ", "seconds")
