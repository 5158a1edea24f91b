"""The command `lineside ledger`: the loss ledger in words or as JSON."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from msgspec import json

from edge.ledger import Interval, Ledger, read_ledger
from edge.shell import DataFolder, fail, load_line, open_journal, plain
from edge.when import read_time

CAUSES = {
    "agent-off": "the agent was off",
    "source-down": "out of reach",
    "signal-unreadable": "could not be read",
    "clock-unknown": "the clock was in doubt",
    "clock-stepped": "the clock was set",
    "not-recorded": "nothing could be recorded",
    "telemetry-dropped": "telemetry was dropped",
    "telemetry-thinned": "telemetry was thinned",
    "records-dropped": "records were dropped",
    "queue-overflow": "more came than could wait",
    "counter": "a reading left a question open",
}


def ledger(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The line's TOML file.")],
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
    config = load_line(file, data)
    zone = ZoneInfo(config.timezone)
    from_ms, to_ms = (_moment(text, zone) for text in (from_, to))
    with open_journal(config) as reader:
        found = read_ledger(reader, config.line, from_ms, to_ms)
    typer.echo(json.encode(found).decode() if as_json else "\n".join(map(plain, told(found, zone))))
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
            unassigned = f"; {loose} of them are of no order" if loose else ""
            yield f"    recovered {one.parts} parts ({by}){unassigned}"
        if one.records:
            yield f"    lost {one.records} records"
        if one.unseen:
            yield f"    not seen, if there were any: {'; '.join(one.unseen)}"
        for why in one.uncertain:
            yield f"    uncertain: {why}"
    sure = f"{found.uncertain} uncertain" if found.uncertain else "nothing uncertain"
    recovered = _count(found.parts, "part")
    yield f"{found.line}: {_count(len(found.intervals), 'interval')}, {recovered} recovered, {sure}"


def _who(one: Interval) -> str:
    return "" if one.subject in ("agent", "clock") else f"{one.subject}: "


def _because(one: Interval) -> str:
    return f" ({one.detail})" if one.detail else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _span(one: Interval, zone: ZoneInfo) -> str:
    begun = _shown(one.since_ms, zone)
    if one.until_ms is None:
        return f"{begun} and still"
    if one.until_ms == one.since_ms:
        return begun
    return f"{begun} for {max(0, one.until_ms - one.since_ms) / 1000:.1f} s"


def _shown(at_ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at_ms / 1000, zone).isoformat(" ", "seconds")
