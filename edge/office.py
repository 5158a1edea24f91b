"""What the office does at a terminal: results, the inbox of unassigned parts, corrections, lots; thin."""

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import uuid4
from zoneinfo import ZoneInfo

import typer

from edge.commands import os_user, send_command
from edge.config import LineConfig
from edge.errors import LinesideError
from edge.inbox import Unassigned
from edge.inbox import inbox as read_inbox
from edge.observation import Adjust, Command, JobCommand, LotChange, LotShare, Reassign, SettleHeld
from edge.office_words import told_held, told_inbox, told_results
from edge.readmodel import station_views
from edge.resultform import JobResult, as_csv, as_json
from edge.results import results as read_results
from edge.shell import DataFolder, LineFile, fail, find_line, open_journal, plain
from edge.when import read_time

Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]
By = Annotated[str | None, typer.Option("--by", help="Who; the user at the terminal unless given.")]
JobCard = Annotated[str, typer.Argument(metavar="JOB", help="As on its card: WO-1001-10.")]

LONGEST_REASON = 200


class Form(StrEnum):
    """How results are written."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


def results(
    line: LineFile,
    order: Annotated[str | None, typer.Argument(metavar="[ID]", help="One order; all unless given.")] = None,
    data: DataFolder = None,
    as_json_: Annotated[bool, typer.Option("--json", help="A JSON list.")] = False,
    as_csv_: Annotated[bool, typer.Option("--csv", help="CSV, a line a job.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there, whole.")] = None,
) -> None:
    """What became of each job until now.

    Quantities, times, scrap by reason, lots and people, of jobs that run and of those that ended.
    """
    form = _form(as_json_, as_csv_, out)
    config = find_line(line, data)
    with open_journal(config) as reader:
        found = read_results(reader, config.line, order)
    if order is not None and not found:
        fail(f"{config.line.name} has no order {order!r}; `lineside orders list` shows all of them")
    text = _written(found, form, ZoneInfo(config.timezone))
    if out is None:
        typer.echo(text, nl=False)
    else:
        _put(out, text)
        typer.echo(f"{out}: {len(found)} jobs")


def _form(is_json: bool, is_csv: bool, out: Path | None) -> Form:
    if is_json and is_csv:
        fail("--json or --csv, not both")
    if is_json or is_csv:
        return Form.JSON if is_json else Form.CSV
    if out is None:
        return Form.TEXT
    if out.suffix not in (".json", ".csv"):
        fail(f"{out}: say which form it gets: --json or --csv")
    return Form(out.suffix[1:])


def _written(found: Sequence[JobResult], form: Form, zone: ZoneInfo) -> str:
    if form is Form.JSON:
        return as_json(found).decode()
    if form is Form.CSV:
        return as_csv(JobResult, found)
    return "".join(f"{plain(one)}\n" for one in told_results(found, zone))


def _put(path: Path, text: str) -> None:
    """Whole or not at all: who reads it while it is written sees what was there before."""
    if path.is_dir():
        fail(f"{path}: cannot be written: it is a folder")
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        fail(f"{path}: cannot be written: {error.strerror}")


# --- the inbox ----------------------------------------------------------------------------------------

inbox = typer.Typer(name="inbox", help="Parts that no order is known for, and whose they may be.")


@inbox.callback(invoke_without_command=True)
def list_inbox(
    context: typer.Context,
    line: Annotated[Path | None, typer.Option("--line", metavar="LINE", help="The line's TOML file.")] = None,
    data: DataFolder = None,
    as_json_: Annotated[bool, typer.Option("--json", help="A JSON list.")] = False,
) -> None:
    """Parts that no order is known for, and whose they may be."""
    if context.invoked_subcommand is not None:
        return
    if line is None:
        fail("say which line: lineside inbox --line LINE")
    config = find_line(line, data)
    found = _inbox(config)
    if as_json_:
        typer.echo(as_json(found).decode(), nl=False)
        return
    with open_journal(config) as reader:
        views = station_views(reader, config.line)
    for told in told_held(views):
        typer.echo(plain(told))
    for one in told_inbox(found, ZoneInfo(config.timezone)):
        typer.echo(plain(one))
    typer.echo("lineside inbox accept RUN gives them to that job" if found else "no part is unassigned")


@inbox.command("accept")
def accept(
    run: Annotated[str, typer.Argument(metavar="RUN", help="As the inbox names it: u8.")],
    line: LineFile,
    data: DataFolder = None,
    by: By = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; the inbox's words unless given.")] = "",
) -> None:
    """Give the parts to the job that the inbox proposes."""
    config = find_line(line, data)
    entry = next((one for one in _inbox(config) if one.run == run), None)
    if entry is None:
        fail(f"the inbox has no {run}; `lineside inbox --line {line}` lists what is in it")
    if entry.owner is None:
        how = f"lineside correct reassign --run {run} --job JOB --reason WHY --line {line}"
        fail(f"{run}: {entry.because}; say whose they are: {how}")
    words = reason or f"inbox: {entry.because}"[:LONGEST_REASON]
    _send(config, Reassign(by or os_user(), words, entry.owner, run))


def _inbox(config: LineConfig) -> list[Unassigned]:
    with open_journal(config) as reader:
        return read_inbox(reader, config.line)


# --- corrections --------------------------------------------------------------------------------------

correct = typer.Typer(
    name="correct", help="Put right what was counted, and steer jobs, with a reason.", no_args_is_help=True
)


@correct.command("reassign")
def reassign(
    reason: Reason,
    line: LineFile,
    job: Annotated[str | None, typer.Option("--job", help="Whose they are, as on its card.")] = None,
    unassigned: Annotated[bool, typer.Option("--unassigned", help="They are of no order.")] = False,
    run: Annotated[str | None, typer.Option("--run", help="All parts of this run: r7, u8.")] = None,
    station: Annotated[str | None, typer.Option("--station", help="Where, with --from and --to.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="14:05 or 2026-05-04T14:05.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Up to, and not with, this time.")] = None,
    batch: Annotated[str | None, typer.Option("--batch", help="Of another batch than the order's.")] = None,
    by: By = None,
    data: DataFolder = None,
) -> None:
    """Give parts to another job.

    Those of a run, or those that a station made in a span of time.
    """
    if (job is None) is not unassigned:
        fail("say whose they are: --job JOB or --unassigned")
    window = (station, from_, to)
    if (run is None) is (None in window) or (run is not None and window != (None, None, None)):
        fail("say which parts: --run RUN, or --station STATION --from TIME --to TIME")
    config = find_line(line, data)
    who = by or os_user()
    if run is not None:
        _send(config, Reassign(who, reason, job, run, batch=batch))
        return
    from_ms, to_ms = _span(config, station or "", from_ or "", to or "")
    _send(config, Reassign(who, reason, job, None, station, from_ms, to_ms, batch))


def _span(config: LineConfig, station: str, from_: str, to: str) -> tuple[int, int]:
    if station not in config.line.named:
        fail(f"{config.line.name} has no station {station!r}, only {', '.join(config.line.named)}")
    zone, now_ms, times = ZoneInfo(config.timezone), time.time_ns() // 1_000_000, []
    for option, text in (("--from", from_), ("--to", to)):
        try:
            times.append(read_time(text, zone, now_ms))
        except ValueError as error:
            fail(f"{option}: {error}")
    if times[0] >= times[1]:
        fail(f"--from {from_} is not before --to {to}; write the dates, as in 2026-05-04T22:50")
    return times[0], times[1]


@correct.command("adjust")
def adjust(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run: r7, u8.")],
    reason: Reason,
    line: LineFile,
    good: Annotated[int, typer.Option(help="Good parts to add; negative takes away.")] = 0,
    scrap: Annotated[int, typer.Option(help="Scrap parts to add; negative takes away.")] = 0,
    by: By = None,
    data: DataFolder = None,
) -> None:
    """Add parts to a run, or take some away.

    Parts that no counter saw, or that it saw and that were none.
    """
    _send(find_line(line, data), Adjust(by or os_user(), reason, run, good, scrap, uuid4().hex))


@correct.command("held")
def held(
    station: Annotated[str, typer.Argument(metavar="STATION", help="Where parts are held.")],
    reason: Reason,
    line: LineFile,
    run: Annotated[str | None, typer.Option("--run", help="They are this run's: r7, u8.")] = None,
    dismiss: Annotated[bool, typer.Option("--dismiss", help="They never were.")] = False,
    by: By = None,
    data: DataFolder = None,
) -> None:
    """Settle parts that a reading claimed and nobody would believe."""
    if (run is None) is not dismiss:
        fail("say whose they are: --run RUN, or --dismiss")
    _send(find_line(line, data), SettleHeld(by or os_user(), reason, station, run))


@correct.command("hold")
def hold(job: JobCard, reason: Reason, line: LineFile, by: By = None, data: DataFolder = None) -> None:
    """Stop a job at all of its stations, until it is released."""
    _steer("hold", job, reason, line, by, data)


@correct.command("release")
def release(job: JobCard, reason: Reason, line: LineFile, by: By = None, data: DataFolder = None) -> None:
    """Let a job go on that was held."""
    _steer("release", job, reason, line, by, data)


@correct.command("end")
def end(job: JobCard, reason: Reason, line: LineFile, by: By = None, data: DataFolder = None) -> None:
    """End a job at all of its stations; its result goes out."""
    _steer("end", job, reason, line, by, data)


@correct.command("abort")
def abort(job: JobCard, reason: Reason, line: LineFile, by: By = None, data: DataFolder = None) -> None:
    """Give a job up, also one that was never started."""
    _steer("abort", job, reason, line, by, data)


def _steer(verb: str, job: str, reason: str, line: Path, by: str | None, data: Path | None) -> None:
    _send(find_line(line, data), JobCommand(by or os_user(), reason, job, verb))


# --- lots ---------------------------------------------------------------------------------------------

lots = typer.Typer(name="lots", help="Lots become other lots.", no_args_is_help=True)

_SHARE = re.compile(r"([^=]{1,40})=([0-9]{1,10}(?:\.[0-9]{1,6})?)", re.ASCII)
Shares = Annotated[list[str], typer.Argument(metavar="LOT=QUANTITY...", help="Such as L77=40.")]


@lots.command("split")
def split(
    lot: Annotated[str, typer.Argument(metavar="LOT", help="The lot that is split.")],
    into: Shares,
    reason: Reason,
    line: LineFile,
    by: By = None,
    data: DataFolder = None,
) -> None:
    """Make several lots of one, each with its quantity."""
    shares = _shares(into)
    whole = (LotShare(lot, math.fsum(one.quantity for one in shares)),)
    _send(find_line(line, data), LotChange(by or os_user(), reason, whole, shares, uuid4().hex))


@lots.command("merge")
def merge(
    lots_: Shares,
    into: Annotated[str, typer.Option("--into", metavar="LOT", help="The lot that they become.")],
    reason: Reason,
    line: LineFile,
    by: By = None,
    data: DataFolder = None,
) -> None:
    """Make one lot of several, each with its quantity."""
    shares = _shares(lots_)
    whole = (LotShare(into, math.fsum(one.quantity for one in shares)),)
    _send(find_line(line, data), LotChange(by or os_user(), reason, shares, whole, uuid4().hex))


def _shares(texts: Sequence[str]) -> tuple[LotShare, ...]:
    found = []
    for text in texts:
        match = _SHARE.fullmatch(text)
        if match is None:
            fail(f"{text!r} is no lot with its quantity; write it as in L77=40 or L77=2.5")
        found.append(LotShare(match[1], float(match[2])))
    return tuple(found)


# --- to the agent -------------------------------------------------------------------------------------


def _send(config: LineConfig, command: Command) -> None:
    """Print what the agent says when it is on disk; a refusal ends with status 1."""
    try:
        outcome = asyncio.run(send_command(config.data, command))
    except LinesideError as error:
        fail(str(error))
    if not outcome.recorded:
        fail(f"{outcome.verdict}: {outcome.words}")
    typer.echo(plain(outcome.words))
