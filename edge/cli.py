"""The commands; thin: they read arguments, print, and leave the work to others."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from edge import __version__
from edge.config import LineConfig, load
from edge.errors import ConfigError, JournalError

app = typer.Typer(
    name="lineside", help="Counts every part once, for the right order.", no_args_is_help=True,
    pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None,
)  # fmt: skip

ConfigFile = Annotated[Path, typer.Argument(metavar="FILE", help="The line's TOML file.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the journal.")]

err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """The command `lineside`."""
    app()


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
def run(file: ConfigFile, data: DataFolder = None) -> None:
    """Run a line's agent until it is told to stop (Ctrl-C, SIGTERM)."""
    from edge.app import Agent

    _log_to_stderr()
    config = _load(file, data)
    for warning in config.warnings:
        logging.getLogger("lineside.config").warning("%s", warning)

    async def live() -> None:
        await Agent(config).run()

    failure = ""
    try:
        asyncio.run(live())
    except* JournalError as errors:
        failure = str(errors.exceptions[0])
    if failure:
        _fail(failure)


@app.command()
def check(file: ConfigFile) -> None:
    """Check a line's TOML file: every fault at once. Opens no socket and no port."""
    config = _load(file, None)
    for warning in config.warnings:
        err.print(f"warning: {warning}")
    line = config.line
    typer.echo(f"{file}: line {line.name} is valid")
    for station in line.stations:
        signals = [counter.signal for counter in station.counters]
        heard = [one for one in (station.state_signal, station.gun, station.rig) if one]
        typer.echo(f"  station {station.name}: {', '.join(signals + heard) or 'nothing to read'}")
    for source in config.sources.values():
        typer.echo(f"  source {source.name}: {source.settings.type}, {len(source.signals)} signals")
    typer.echo(f"  sinks: {', '.join(f'{one.name} ({one.settings.type})' for one in config.sinks.values())}")
    typer.echo(f"  orders: {', '.join(line.orders) or 'none'}")
    typer.echo(f"  journal: {config.journal}")


def _load(file: Path, data: Path | None) -> LineConfig:
    try:
        return load(file, data)
    except ConfigError as error:
        for fault in error.faults:
            err.print(str(fault))
        count = len(error.faults)
        _fail(f"{count} fault{'s' if count != 1 else ''} in {file}; nothing was started")


def _fail(words: str) -> NoReturn:
    err.print(words)
    raise typer.Exit(1)


def _log_to_stderr() -> None:
    """Under systemd the journal adds the time by itself."""
    time = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    logging.basicConfig(level=logging.INFO, format=f"{time}%(levelname)-7s %(message)s", stream=sys.stderr)
    for chatty in ("asyncua", "pymodbus", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL if chatty != "asyncio" else logging.WARNING)
