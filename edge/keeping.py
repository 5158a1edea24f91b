"""The commands about the journal's file: `journal`, `backup`, `restore`; thin."""

import asyncio
from contextlib import aclosing, closing
from pathlib import Path
from typing import Annotated

import typer

from edge.config import LineConfig
from edge.errors import LinesideError
from edge.journal import JournalReader
from edge.journal import backup as copies
from edge.journal.files import refuse_odd
from edge.journal.health import JournalStatus, told
from edge.journal.integrity import examine_whole
from edge.shell import DataFolder, LineFile, fail, find_line, load_line, plain
from edge.status import follow_status

ANSWER_S = 5.0


def add_journal_commands(app: typer.Typer) -> None:
    """Put them among the other commands."""
    for command in (journal, backup, restore):
        app.command()(command)


def journal(
    line: LineFile,
    data: DataFolder = None,
    check: Annotated[bool, typer.Option("--check", help="Look at every page now, beside the agent.")] = False,
) -> None:
    """The journal: its size, its wear, its pages.

    With --check it exits with 1 where the pages are not well.
    """
    config = find_line(line, data)
    try:
        refuse_odd(config.journal)
        with closing(JournalReader(config.journal, config.line.name)) as reader:
            typer.echo(f"{config.journal}: records up to {reader.head()}")
    except LinesideError as error:
        fail(str(error))
    status = asyncio.run(_asked(config))
    lines = ["  no agent runs"] if status is None else told(status)
    lines += [f"  kept aside: {file}" for file in _asides(config.journal)]
    typer.echo("\n".join(map(plain, lines)))
    if check:
        try:
            fault = examine_whole(config.journal)
        except LinesideError as error:
            fail(str(error))
        if fault:
            fail(f"{fault}; the agent sets the file aside when it meets that")
        typer.echo("  every page is well")


async def _asked(config: LineConfig) -> JournalStatus | None:
    """None where no agent answers."""
    try:
        async with asyncio.timeout(ANSWER_S), aclosing(follow_status(config.data)) as told_by_agent:
            async for status in told_by_agent:
                return status.journal
    except TimeoutError:
        pass
    return None


def _asides(path: Path) -> list[str]:
    """Journals that were put out of the way, damaged or replaced."""
    return sorted(
        one.name for one in path.parent.glob(f"{path.name}.*-*") if one.name.rpartition("-")[2].isdecimal()
    )


def backup(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A file that is not there yet.")],
    line: LineFile,
    data: DataFolder = None,
) -> None:
    """Copy the journal while the agent goes on.

    Every page of the copy is checked.
    """
    config = find_line(line, data)
    try:
        typer.echo(plain(str(copies.back_up(config.journal, out))))
    except LinesideError as error:
        fail(str(error))


def restore(
    file: Annotated[Path, typer.Argument(metavar="BACKUP", help="What `lineside backup` has made.")],
    line: LineFile,
    data: DataFolder = None,
) -> None:
    """Put a backup in the journal's place.

    The agent must be off. The journal that is there is kept under another name.
    """
    config = load_line(line, data)
    try:
        typer.echo(plain(copies.told(copies.restore(file, config.journal))))
    except LinesideError as error:
        fail(str(error))
