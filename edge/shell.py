"""What the commands share: how a line is named, how a failure is said."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from edge.config import LineConfig, load
from edge.config.load import home_folder
from edge.errors import ConfigError, JournalError
from edge.journal import JournalReader

LineFile = Annotated[Path, typer.Option("--line", metavar="LINE", help="The line's TOML file.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the journal.")]

LINES, STATES = Path("/etc/lineside"), Path("/var/lib/lineside")
"""Where an installed service has the files of its lines, and a folder for each."""

err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def load_line(file: Path, data: Path | None) -> LineConfig:
    """The line's configuration; ends the command with every fault of it."""
    try:
        return load(file, data)
    except ConfigError as error:
        for fault in error.faults:
            err.print(str(fault))
        count = len(error.faults)
        fail(f"{count} fault{'s' if count != 1 else ''} in {file}; nothing was started")


def find_line(file: Path, data: Path | None, lines: Path = LINES, states: Path = STATES) -> LineConfig:
    """As `load_line`, for a command about a journal that is there already: where who types has none, it is
    that of the installed service."""
    config = load_line(file, data)
    by_hand = data is None and config.data == home_folder(config.line.name)
    if not by_hand or config.journal.exists() or file.resolve().parent != lines.resolve():
        return config
    folder = states / file.stem
    try:
        found = (folder / config.journal.name).exists()
    except PermissionError:
        fail(f"the journal in {folder} is the service's; type `sudo -u lineside` before the command")
    if found:
        err.print(plain(f"the journal is that of the service, in {folder}"))
        return load_line(file, folder)
    err.print(plain(f"there is no journal in {config.data}, nor in {folder}; --data names another folder"))
    return config


def fail(words: str) -> NoReturn:
    """End the command with a sentence and status 1."""
    err.print("\n".join(map(plain, words.split("\n"))))
    raise typer.Exit(1)


@contextmanager
def open_journal(config: LineConfig) -> Iterator[JournalReader]:
    """Read it beside the agent, or without it; ends the command where there is none."""
    try:
        with closing(JournalReader(config.journal, config.line.name)) as reader:
            yield reader
    except JournalError as error:
        fail(str(error))


def plain_json(text: str) -> str:
    """The same JSON, with escapes for what a terminal could obey."""
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def plain(words: str) -> str:
    """What a label or a file says is data: no control character of it reaches a terminal."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in words)
