"""The commands under `probe`."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from edge.contract import parse_duration
from edge.errors import LinesideError
from edge.shell import err, fail, load_line, plain

if TYPE_CHECKING:
    from edge.probe.listen import Wire


def add_commands(app: typer.Typer, wire: Callable[[], object]) -> None:
    """Put the group among the other commands; `wire` is asked for only where it is needed."""
    group = typer.Typer(name="probe", help=_HELP, no_args_is_help=True)

    @group.callback()
    def _begin(context: typer.Context) -> None:
        context.obj = wire

    group.command()(serial)
    app.add_typer(group)


_HELP = "What a device says that nobody has described yet."


def serial(
    context: typer.Context,
    port: Annotated[str, typer.Argument(metavar="PORT", help="Its name under /dev/serial/by-id/.")],
    for_: Annotated[str, typer.Option("--for", help="How long to listen; Ctrl-C ends it sooner.")] = "60s",
    baud: Annotated[
        int | None, typer.Option(min=50, max=4_000_000, help="Its rate; else it is looked for.")
    ] = None,
    parity: Annotated[str, typer.Option(help="none, even or odd.")] = "none",
    bits: Annotated[int, typer.Option(min=7, max=8, help="Data bits.")] = 8,
    ack: Annotated[
        bool, typer.Option("--ack", help="Answer with ACK. A rig may then forget what it has sent!")
    ] = False,
    ask: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help=r"Write this once a second, such as 'SI\r\n': a scale that only answers."
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="What to call it.")] = "device-1",
    station: Annotated[str, typer.Option(help="The station that it stands at.")] = "station-1",
    line: Annotated[
        Path | None, typer.Option("--line", metavar="LINE", help="A line's file, whose labels are known.")
    ] = None,
) -> None:
    """Listen to a gun, a rig or a scale, and print the TOML for it.

    Bytes and words go to the terminal's error output, the TOML to its output: `> new.toml` keeps it.
    """
    from edge.probe.listen import Wish
    from edge.probe.listen import probe as listen
    from edge.production.scanning import OWN_LABELS

    try:
        for_s = parse_duration(for_).total_seconds()
    except ValueError as error:
        fail(f"--for: {error}")
    if parity not in ("none", "even", "odd"):
        fail(f"--parity {parity}: write none, even or odd")
    if ack and ask:
        fail("--ack and --ask: a device that only answers takes an ACK for a command; leave one out")
    rules = load_line(line, None).line.labels if line is not None else OWN_LABELS
    wish = Wish(port, for_s, baud, parity, bits, ack, _unescaped(ask), name, station)
    wire = cast("Wire", context.obj())
    try:
        found = asyncio.run(listen(wire, wish, rules, lambda row: err.print(plain(row))))
    except LinesideError as error:
        fail(str(error))
    for sentence in found.words:
        err.print(plain(sentence))
    typer.echo(found.toml, nl=False)
    if not found.runs:
        raise typer.Exit(1)


def _unescaped(text: str) -> bytes:
    """What a shell cannot type is written as in Python: `\\r`, `\\x05`."""
    try:
        return text.encode("ascii").decode("unicode_escape").encode("latin-1")
    except ValueError:
        fail(f"--ask {text!a}: write ASCII, and other bytes as \\xHH")
