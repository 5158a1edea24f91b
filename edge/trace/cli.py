"""The commands that look back: `trace`, `runs`, `dossier`."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from edge.config import LineConfig
from edge.errors import LinesideError
from edge.shell import DataFolder, LineFile, err, fail, find_line, plain_json

if TYPE_CHECKING:
    from edge.journal.history import History
    from edge.trace.genealogy import Genealogy

Json = Annotated[bool, typer.Option("--json", help="JSON.")]


def add_commands(app: typer.Typer) -> None:
    """Put them among the other commands."""
    app.command()(trace)
    app.command()(runs)
    app.command()(dossier)


def trace(
    name: Annotated[str, typer.Argument(metavar="SERIAL|LOT", help="A serial number, a lot or a batch.")],
    line: LineFile,
    data: DataFolder = None,
    json: Json = False,
    back: Annotated[bool, typer.Option("--back", help="Only what it was made of.")] = False,
    forward: Annotated[bool, typer.Option("--forward", help="Only what was made of it.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Neighbours of each kind that are followed.")
    ] = 20,
) -> None:
    """What became of a lot; what a unit or a batch is made of."""
    from msgspec import json as encoding

    from edge.trace.genealogy import resolve
    from edge.trace.genealogy import trace as follow

    config = find_line(line, data)
    with _history(config) as history, history.snapshot():
        start = resolve(history, name)
        ways = [way for way, wanted in (("forward", forward), ("back", back)) if wanted]
        ways = ways or (["back"] if start[0] == "unit" else ["forward", "back"])
        found = [follow(history, start, way, limit) for way in ways]
    typer.echo(plain_json(encoding.encode(found).decode()) if json else "\n".join(_drawn(found, config)))


def _drawn(found: "list[Genealogy]", config: LineConfig) -> Iterator[str]:
    from edge.trace.tree import ASCII, UNICODE, drawn

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = UNICODE if "utf" in (sys.stdout.encoding or "").lower() else ASCII
    for place, one in enumerate(found):
        if place:
            yield ""
        yield from drawn(one, ZoneInfo(config.timezone), lines, width)
    if not all(one.complete for one in found):
        yield ""
        yield "This is not all of it: a higher --limit shows more."


def runs(
    line: LineFile,
    data: DataFolder = None,
    order: Annotated[str | None, typer.Option(metavar="ID", help="Only of this order.")] = None,
    station: Annotated[str | None, typer.Option(metavar="NAME", help="Only at this station.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 50,
    json: Json = False,
) -> None:
    """Runs of a line, the newest first: to find the name of one."""
    from msgspec import json as encoding

    from edge.trace.runs import listed, run_view

    config = find_line(line, data)
    with _history(config) as history, history.snapshot():
        found = [run_view(run) for run in history.runs(order, station, limit + 1)]
    if json:
        typer.echo(plain_json(encoding.encode(found[:limit]).decode()))
        return
    if not found:
        err.print(f"{config.line.name} has no such run")
        return
    typer.echo("\n".join(listed(found[:limit], ZoneInfo(config.timezone))))
    if len(found) > limit:
        err.print(f"the newest {limit}; a higher --limit shows more")


def dossier(
    line: Annotated[Path | None, typer.Option("--line", metavar="LINE", help="The line's TOML file.")] = None,
    run: Annotated[str | None, typer.Argument(help="Name of the run; `lineside runs` lists them.")] = None,
    data: DataFolder = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR|FILE", help="Where to write it; else it is printed.")
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="As a page to read and print.")] = False,
    json: Json = False,
    verify: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check a dossier (JSON); with LINE against its journal."),
    ] = None,
) -> None:
    """All events of a run with a hash chain, or the check of one."""
    config = None if line is None else find_line(line, data)
    if verify is not None:
        if run is not None or out is not None or html:
            fail("--verify takes a file, and --line where its journal is at hand; nothing else")
        raise typer.Exit(_verify(verify, config, json))
    if run is None or config is None:
        fail("name a run and its --line, or a file to --verify; `lineside runs` lists the runs")
    _make(run, config, out, html, json)


def _make(name: str, config: LineConfig, out: Path | None, html: bool, json: bool) -> None:
    from edge.trace.write import Form, pieces, places, write

    forms: tuple[Form, ...] = (*(("json",) if json else ()), *(("html",) if html else ()))
    with _history(config) as history:
        run = history.run(name)
        if run is None:
            fail(f"{config.line.name} has no run {name!r}; `lineside runs` lists them")
        if out is None:
            if len(forms) > 1:
                fail("only one form can be printed; --out DIR writes both")
            for piece in pieces(history, run, forms[0] if forms else "json"):
                sys.stdout.buffer.write(_seen(piece) if sys.stdout.isatty() else piece)
            sys.stdout.buffer.flush()
            return
        for place, form in places(out, config.line.name, run.id, forms):
            write(place, pieces(history, run, form))
            typer.echo(place)


def _seen(piece: bytes) -> bytes:
    """Of what is looked at and not kept: a label in it moves no cursor."""
    return plain_json(piece.decode("utf-8", "replace")).encode("utf-8", "replace")


def _verify(file: Path, config: LineConfig | None, json: bool) -> int:
    from msgspec import json as encoding

    from edge.trace.verify import Verdict, read_dossier, told, verify

    def check(history: "History | None") -> Verdict:
        return verify(body, read_dossier(str(file), body), history)

    try:
        body = file.read_bytes()
        if config is None:
            verdict = check(None)
        else:
            with _history(config) as history:
                verdict = check(history)
    except OSError as error:
        fail(f"{file}: cannot be read: {error.strerror}")
    except LinesideError as error:
        fail(str(error))
    typer.echo(encoding.encode(verdict).decode() if json else "\n".join(told(verdict, str(file))))
    return 1 if verdict.faults else 0


@contextmanager
def _history(config: LineConfig) -> "Iterator[History]":
    """Read beside the agent, or without it; what goes wrong is said in a sentence."""
    from edge.journal.history import History

    try:
        with closing(History(config.journal, config.line.name)) as history:
            yield history
    except LinesideError as error:
        fail(str(error))
