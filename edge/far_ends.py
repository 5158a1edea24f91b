"""The commands about far ends: `sink`, and `quarantine` for what waits for a person; thin."""

import asyncio
from contextlib import aclosing, closing
from typing import Annotated

import typer
from msgspec import Raw, json
from msgspec.structs import replace

from edge.bounds import LAST
from edge.commands import os_user, send_chore
from edge.config import LineConfig
from edge.errors import JournalError, LinesideError
from edge.forgetting import ForgetSink
from edge.journal.ranges import Ranges
from edge.journal.sinks import SinkReader
from edge.quarantine import DropObservations, DropRejected, RetryObservation, RetryRejected
from edge.settled import believed
from edge.shell import DataFolder, LineFile, fail, find_line, plain, plain_json
from edge.sink_words import listed, rejected, set_aside
from edge.status import AgentStatus, SinkStatus, follow_status
from edge.upkeep import Chore

sink = typer.Typer(name="sink", help="Far ends: how they are.", no_args_is_help=True)
quarantine = typer.Typer(
    name="quarantine", help="What waits for a person: list, retry, drop.", no_args_is_help=True
)

ANSWER_S = 5.0
SHOWN = 1_000
"""Of each kind, in one list."""

Json = Annotated[bool, typer.Option("--json", help="JSON.")]
SinkName = Annotated[str, typer.Argument(metavar="SINK", help="Name of the sink; `core` for observations.")]
Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="[NUMBER]...", help="As listed.", min=1, max=LAST)
]
All = Annotated[bool, typer.Option("--all", help="All that are listed under this name.")]

CORE = "core"
"""In the place of a sink: observations that nobody could decide."""


@sink.command("list")
def list_sinks(line: LineFile, data: DataFolder = None, as_json: Json = False) -> None:
    """Each sink: what it has, what waits, for how long, how fast it goes, and its last error."""
    config = find_line(line, data)
    try:
        sinks = _known(config)
    except JournalError as error:
        fail(str(error))
    if as_json:
        typer.echo(plain_json(json.encode(sinks).decode()))
    for text in () if as_json else listed(sinks):
        typer.echo(plain(text))


def _known(config: LineConfig) -> dict[str, SinkStatus]:
    """As the agent says, else as the journal has it: also sinks that are in the file no longer."""
    status = asyncio.run(asked(config))
    sinks = dict(status.sinks) if status is not None else {}
    with closing(SinkReader(config.journal, config.line.name)) as reader:
        away = "no agent runs" if status is None else "not in the agent's file"
        for name in (*config.sinks, *reader.sinks()):
            if name not in sinks:
                sinks[name] = _from_journal(reader, name, away)
    return sinks


async def asked(config: LineConfig) -> AgentStatus | None:
    """What the running agent says of itself; None where none does."""
    try:
        async with asyncio.timeout(ANSWER_S), aclosing(follow_status(config.data)) as lines:
            async for status in lines:
                return status
    except TimeoutError:
        pass
    return None


def _from_journal(reader: SinkReader, name: str, state: str) -> SinkStatus:
    void, gone, head = Ranges(reader.never_given()), reader.skipped(name), reader.head()
    settled = Ranges([*believed(reader.progress(name), head)[0], *iter(void)])
    bad = sum(seq in settled for seq in reader.rejected_seqs(name))
    pending = head - len(settled)
    return SinkStatus(state, "", len(settled) - len(void) - bad - gone, pending, bad, gone, pending)


@sink.command("forget")
def forget(
    name: Annotated[str, typer.Argument(metavar="SINK", help="Name of the sink.")],
    line: LineFile,
    data: DataFolder = None,
) -> None:
    """Give up what waits for a far end that is gone for good.

    Then the journal need not keep it for that one. Production records stay for as long as `[line] keep` says;
    telemetry can go. A sink that is still in the line's file gets what comes from now on.
    """
    config = find_line(line, data)
    _do(config, ForgetSink(name, os_user()))


@quarantine.command("list")
def list_quarantine(line: LineFile, data: DataFolder = None, as_json: Json = False) -> None:
    """Events that a far end will never take, and observations that nobody could decide."""
    config = find_line(line, data)
    try:
        with closing(SinkReader(config.journal, config.line.name)) as reader:
            events, observations = reader.rejected_events(None, SHOWN), reader.set_aside(0, SHOWN)
    except JournalError as error:
        fail(str(error))
    if as_json:
        told = [replace(one, observation=Raw(one.observation)) for one in observations]
        typer.echo(plain_json(json.encode({"events": events, "observations": told}).decode()))
        return
    for text in (*rejected(events), *set_aside(observations)):
        typer.echo(plain(text))
    if not events and not observations:
        typer.echo("nothing is in quarantine")
    elif SHOWN in (len(events), len(observations)):
        typer.echo(f"there may be more: the first {SHOWN} of each kind are shown")


@quarantine.command("retry")
def retry(
    name: SinkName, line: LineFile, numbers: Numbers = None, every: All = False, data: DataFolder = None
) -> None:
    """Send rejected events again; have an observation decided again.

    For when the far end has been put right, or Lineside has.
    """
    config, by = find_line(line, data), os_user()
    if name == CORE and name not in config.sinks:
        for number in _observations(config, numbers, every):
            _do(config, RetryObservation(number, by))
    else:
        _do(config, RetryRejected(name, _wanted(numbers, every), by))


@quarantine.command("drop")
def drop(
    name: SinkName, line: LineFile, numbers: Numbers = None, every: All = False, data: DataFolder = None
) -> None:
    """Give up rejected events, or throw observations away. The journal keeps the events themselves."""
    config, by = find_line(line, data), os_user()
    if name == CORE and name not in config.sinks:
        _do(config, DropObservations(_observations(config, numbers, every), by))
    else:
        _do(config, DropRejected(name, _wanted(numbers, every), by))


def _wanted(numbers: list[int] | None, every: bool) -> tuple[int, ...]:
    """None of them stands for all."""
    if bool(numbers) is every:
        fail("say which: their numbers, or --all")
    return tuple(numbers or ())


def _observations(config: LineConfig, numbers: list[int] | None, every: bool) -> tuple[int, ...]:
    wanted = _wanted(numbers, every)
    if wanted:
        return wanted
    try:
        with closing(SinkReader(config.journal, config.line.name)) as reader:
            found = tuple(one.id for one in reader.set_aside(0, SHOWN))
    except JournalError as error:
        fail(str(error))
    if not found:
        fail("no observation is in quarantine")
    return found


def _do(config: LineConfig, chore: Chore) -> None:
    """Print what was done; a refusal ends with status 1."""
    try:
        words = asyncio.run(send_chore(config, chore))
    except LinesideError as error:
        fail(str(error).removeprefix("not recorded: "))
    typer.echo(plain(words))
