"""What the commands share: how a line is named, how a failure is said."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from pwd import getpwuid
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
    if not _may_be_the_services(config, file, data, lines):
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


def find_keys(file: Path, data: Path | None, lines: Path = LINES, states: Path = STATES) -> LineConfig:
    """As `find_line`, for a command that may make a key: there must be but one, where the agent looks for it,
    and the agent must be able to read it."""
    config = load_line(file, data)
    if not _may_be_the_services(config, file, data, lines):
        return config
    folder = states / file.stem
    try:
        owner = folder.stat().st_uid
    except FileNotFoundError:
        fail(
            f"the agent of {file} looks for its keys in {folder}, which is not there yet: start "
            f"lineside@{file.stem} first, or type `sudo install -d -m 700 -o lineside -g lineside {folder}`; "
            "--data names another folder"
        )
    except OSError as error:
        fail(f"{folder}: {error.strerror}; type `sudo -u lineside` before the command")
    if owner != os.geteuid():
        words = "what is made there must be that user's too"
        fail(f"{folder} is {_name(owner)}'s, and {words}: type `sudo -u {_name(owner)}` before the command")
    err.print(plain(f"the keys are those of the service, in {folder}"))
    return load_line(file, folder)


def _may_be_the_services(config: LineConfig, file: Path, data: Path | None, lines: Path) -> bool:
    """Whether its folder is named nowhere, who types has no journal of it, and its file is the service's."""
    by_hand = data is None and config.data == home_folder(config.line.name)
    return by_hand and not config.journal.exists() and file.resolve().parent == lines.resolve()


def _name(user: int) -> str:
    try:
        return getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"


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
