"""The command `cards`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from edge.cards.content import What, choose
from edge.config import LineConfig
from edge.errors import LinesideError
from edge.plural import counted
from edge.readmodel import OrderView, order_views, written_orders
from edge.shell import DataFolder, LineFile, err, fail, find_line, open_journal, plain


def cards(
    what: Annotated[What, typer.Argument(metavar="WHAT", help=f"{', '.join(What)}.")],
    line: LineFile,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Orders; or names, as 4711='Anna Smith' or U-0001..U-0050."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="NAME.pdf or NAME.html; else LINE-WHAT.pdf.")
    ] = None,
    symbol: Annotated[str, typer.Option(help="datamatrix, qr, or code128 alone.")] = "datamatrix",
    paper: Annotated[str, typer.Option(help="A4, A5 or letter.")] = "A4",
    label: Annotated[
        str | None, typer.Option(metavar="WxH", help="Labels of a roll, such as 62x29mm, one card each.")
    ] = None,
    dpi: Annotated[
        int | None, typer.Option(min=150, max=2400, help="Of the printer: else 600, of labels 203.")
    ] = None,
    font: Annotated[Path | None, typer.Option(metavar="FILE", help="A TrueType font.")] = None,
    data: DataFolder = None,
) -> None:
    """Print job cards, badges, labels and sheets of commands."""
    from edge.cards.make import Wish, foreign_letters, make

    config = find_line(line, data)
    name, today = config.line.name, datetime.now(ZoneInfo(config.timezone))
    out = out or Path(f"{name}-{what}.pdf")
    try:
        chosen = choose(what, names or (), config.line, _orders(config))
        for sentence in chosen.left_out:
            err.print(plain(f"left out: {sentence}"))
        made, pages = make(
            chosen.sheets, Wish(out.suffix.lower(), symbol, paper, label, dpi, font), name, today
        )
    except LinesideError as error:
        fail(str(error))
    _write(out, made)
    if out.suffix.lower() == ".html" and (letters := foreign_letters(chosen.sheets)):
        err.print(plain(f"{letters}: look at the page first; a browser without a font for them prints boxes"))
    count = sum(len(sheet.cards) for sheet in chosen.sheets)
    typer.echo(f"{out}: {counted(count, 'card')} on {counted(pages, 'page')}")


def _orders(config: LineConfig) -> list[OrderView]:
    """Those of the journal too, where the agent has run here already."""
    if not config.journal.exists():
        return written_orders(config.line)
    with open_journal(config) as reader:
        return order_views(reader, config.line)


def _write(out: Path, made: bytes) -> None:
    """The whole file or none."""
    part = out.with_name(f".{out.name}.part")
    try:
        part.write_bytes(made)
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        fail(f"{out}: cannot be written: {error.strerror}")
