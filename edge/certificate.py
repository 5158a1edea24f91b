"""The commands under `certificate`: our own certificates, those of servers, and which check fails."""

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, cast

import typer

from edge.config import LineConfig
from edge.errors import LinesideError
from edge.shell import DataFolder, fail, find_keys, plain

if TYPE_CHECKING:
    from edge.contract import SourceSettings

_HELP = "OPC UA certificates, and why one is not accepted."

Line = Annotated[Path, typer.Argument(metavar="LINE", help="The line's TOML file.")]


class Candidate(Protocol):
    """A certificate that may come to be trusted."""

    @property
    def thumbprint(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def begins(self) -> datetime: ...
    @property
    def ends(self) -> datetime: ...
    @property
    def is_issuer(self) -> bool: ...
    @property
    def fetched(self) -> bool: ...


class Step(Protocol):
    """One check on the way to a server."""

    @property
    def check(self) -> str: ...
    @property
    def said(self) -> str: ...
    @property
    def verdict(self) -> str: ...


class Certificates(Protocol):
    """The adapters' side of it. All raise SourceLost or SourceRefused.

    `file`: as a command names the line.
    """

    def uses(self, settings: "SourceSettings") -> bool: ...
    def show(
        self, data: Path, line: str, file: str, sources: "Mapping[str, SourceSettings]"
    ) -> list[str]: ...
    async def candidate(
        self, data: Path, line: str, sources: "Mapping[str, SourceSettings]", what: str
    ) -> Candidate: ...
    def trust(self, data: Path, chosen: Candidate) -> Path: ...
    def examine(
        self, data: Path, line: str, file: str, name: str, settings: "SourceSettings"
    ) -> AsyncIterator[Step]: ...


def add_commands(app: typer.Typer, adapters: Callable[[], object]) -> None:
    """Put the group among the other commands; `adapters` is asked for only where it is needed."""
    group = typer.Typer(name="certificate", help=_HELP, no_args_is_help=True)

    @group.callback()
    def _begin(context: typer.Context) -> None:
        context.obj = adapters

    for command in (show, trust, doctor):
        group.command()(command)
    app.add_typer(group)


def show(context: typer.Context, line: Line, data: DataFolder = None) -> None:
    """Our certificates, for the servers to trust, and those of servers that are trusted or rejected here."""
    adapters, config = _both(context, line, data)
    try:
        rows = adapters.show(config.data, config.line.name, _typed(line, data), _sources(adapters, config))
    except LinesideError as error:
        fail(str(error))
    typer.echo("\n".join(map(plain, rows)))


def trust(
    context: typer.Context,
    line: Line,
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="A source, a file, or the thumbprint of a rejected one.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="It was compared already; do not ask.")] = False,
    data: DataFolder = None,
) -> None:
    """Believe a server's certificate from now on; a running agent finds it by itself."""
    adapters, config = _both(context, line, data)
    sources = _sources(adapters, config)
    try:
        chosen = asyncio.run(adapters.candidate(config.data, config.line.name, sources, what))
        typer.echo("\n".join(map(plain, _described(chosen))))
        if chosen.fetched and not yes:
            _confirm()
        typer.echo(f"trusted: {adapters.trust(config.data, chosen)}")
    except LinesideError as error:
        fail(str(error))


def _described(chosen: Candidate) -> list[str]:
    return [
        f"{chosen.name}, {chosen.uri}",
        f"  valid {chosen.begins:%Y-%m-%d} to {chosen.ends:%Y-%m-%d}",
        f"  thumbprint {chosen.thumbprint}",
        f"  SHA-256    {chosen.sha256}",
        *(["  it may sign others: all that it signs are trusted too"] if chosen.is_issuer else []),
    ]


def _confirm() -> None:
    """Nobody can tell from here who has answered."""
    if not sys.stdin.isatty():
        fail("compare the thumbprint with the one that the server shows, then type this again with --yes")
    if not typer.confirm("Does the server itself show this thumbprint?"):
        fail("nothing was changed")


def doctor(
    context: typer.Context,
    line: Line,
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help="One source; else all.")] = None,
    data: DataFolder = None,
) -> None:
    """Walk the way to the servers check by check. Exits with 1 where one fails.

    It asks for one session at each, at the very end, and closes it.
    """
    adapters, config = _both(context, line, data)
    sources = _sources(adapters, config)
    if source is not None and source not in sources:
        names = ", ".join(sources) or "none"
        fail(f"{line} has no source {source!r} with certificates; it has: {names}")
    wanted = {name: one for name, one in sources.items() if source in (None, name)}
    if not wanted:
        fail(f"{line} has no source with certificates")
    failed = asyncio.run(_walk(adapters, config, _typed(line, data), wanted))
    raise typer.Exit(1 if failed else 0)


async def _walk(
    adapters: Certificates, config: LineConfig, file: str, wanted: "Mapping[str, SourceSettings]"
) -> list[str]:
    """Names of the sources where something fails."""
    failed = []
    for name, settings in wanted.items():
        typer.echo(name)
        async for step in adapters.examine(config.data, config.line.name, file, name, settings):
            typer.echo(plain(f"  {_MARKS[step.verdict]:5} {step.check:26} {step.said}"))
            if step.verdict == "fault" and name not in failed:
                failed.append(name)
    return failed


_MARKS = {"ok": "ok", "doubt": "doubt", "fault": "FAULT"}


def _typed(line: Path, data: Path | None) -> str:
    """As it was typed, so that the next command can be pasted."""
    words = [str(line), *(["--data", str(data)] if data is not None else [])]
    return shlex.join(words)


def _both(context: typer.Context, line: Path, data: Path | None) -> tuple[Certificates, LineConfig]:
    return cast("Certificates", context.obj()), find_keys(line, data)


def _sources(adapters: Certificates, config: LineConfig) -> "dict[str, SourceSettings]":
    found = {name: one.settings for name, one in config.sources.items()}
    return {name: settings for name, settings in found.items() if adapters.uses(settings)}
