"""The commands; thin: they read arguments, print, and leave the work to others."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edge import __version__, far_ends, office, registry, sources_cli
from edge.cards.cli import cards
from edge.certificate import add_commands as add_certificate_commands
from edge.clock import Clock
from edge.contract import parse_duration
from edge.errors import JournalError, LinesideError
from edge.keeping import add_journal_commands
from edge.ledger_cli import ledger
from edge.observation import Verdict
from edge.plural import counted
from edge.probe.cli import add_commands as add_probe_commands
from edge.shell import DataFolder, LineFile, err, fail, find_line, load_line, open_journal, plain
from edge.trace.cli import add_commands

app = typer.Typer(
    name="lineside", help="Counts every part once, for the right order.", no_args_is_help=True,
    pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None,
)  # fmt: skip

orders = typer.Typer(name="orders", help="Orders of a line: bring in, list, show.", no_args_is_help=True)
orders.command("results")(office.results)
for group in (orders, office.inbox, office.correct, office.lots, far_ends.sink, far_ends.quarantine):
    app.add_typer(group)
app.add_typer(sources_cli.source)

ConfigFile = Annotated[Path, typer.Argument(metavar="FILE", help="The line's TOML file.")]


def main() -> None:
    """The command `lineside`."""
    for given in sys.argv[1:]:
        if any("\ud800" <= one <= "\udfff" for one in given):
            sys.exit(f"{given!a} is not UTF-8 text: type it again")
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Counts every part once, for the right order."""


@app.command()
def version() -> None:
    """Print the version."""
    _print_version(True)


@app.command()
def run(file: ConfigFile, data: DataFolder = None) -> None:
    """Run a line's agent until it is told to stop (Ctrl-C, SIGTERM)."""
    _run(file, data, None)


@app.command("drill-agent", hidden=True)
def drill_agent(
    file: ConfigFile,
    data: Annotated[Path, typer.Option("--data", help="Folder of the journal.")],
    clock: Annotated[Path, typer.Option("--clock", help="File by which the drill sets its clock.")],
) -> None:
    """The agent of a drill: as `run`, with a clock that the drill sets."""
    from edge.drill.clock import set_wall_clock

    _run(file, data, set_wall_clock(clock))


def _run(file: Path, data: Path | None, clock: Clock | None) -> None:
    from edge.app import Agent

    os.umask(0o077)  # journals hold badge numbers: nobody else's business
    _log_to_stderr()
    config = load_line(file, data)
    for warning in config.warnings:
        logging.getLogger("lineside.config").warning("%s", warning)

    async def live() -> None:
        await Agent(config, clock).run()

    failure = ""
    try:
        asyncio.run(live())
    except* JournalError as errors:
        failure = str(errors.exceptions[0])
    if failure:
        fail(failure)


@app.command()
def check(file: ConfigFile) -> None:
    """Check a line's TOML file: every fault at once. Opens no socket and no port."""
    config = load_line(file, None)
    for warning in config.warnings:
        err.print(f"warning: {warning}")
    line = config.line
    typer.echo(f"{file}: line {line.name} is valid")
    for station in line.stations:
        signals = [counter.signal for counter in station.counters]
        heard = [one for one in (station.state_signal, station.mode_signal, station.gun, station.rig) if one]
        typer.echo(f"  station {station.name}: {', '.join(signals + heard) or 'nothing to read'}")
    for source in config.sources.values():
        typer.echo(
            f"  source {source.name}: {source.settings.type}, {counted(len(source.signals), 'signal')}"
            + (f", {counted(len(source.outputs), 'output')}" if source.outputs else "")
        )
        for told in source.survey.lines:
            typer.echo(f"    {told}")
    for write in config.writes:
        typer.echo(f"  station {write.station} {write.words()}")
    for table in config.telemetry:
        typer.echo(f"  telemetry {table.name}: {counted(len(table.signals), 'signal')}")
    for example in config.label_examples:
        typer.echo(f"  label {example}")
    typer.echo(f"  sinks: {', '.join(f'{one.name} ({one.settings.type})' for one in config.sinks.values())}")
    typer.echo(f"  orders: {', '.join(line.orders) or 'none'}")
    typer.echo(f"  journal: {config.journal}")


@app.command()
def demo(
    for_: Annotated[str, typer.Option("--for", help="How long parts are made, 5s or more.")] = "2min",
    seed: Annotated[int, typer.Option(help="The same seed makes the same parts.")] = 1,
    rate: Annotated[
        float | None, typer.Option(min=0.1, max=50, help="Parts a second at each machine.")
    ] = None,
    kills: Annotated[int, typer.Option(min=0, max=20, help="Kill the agent (-9) so often on the way.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="The last line of output is one JSON object.")] = False,
    mqtt: Annotated[
        str | None, typer.Option(help="A running broker that takes anybody, such as mqtt://127.0.0.1:1883.")
    ] = None,
    influx: Annotated[
        str | None,
        typer.Option(
            help="A running victoria-metrics, or another that answers the v2 write API without a token, "
            "such as http://127.0.0.1:8428."
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the demo's files.")] = False,
) -> None:
    """A whole line on simulators, settled to the part at its end."""
    from edge.demo.options import SHORTEST_S, DemoOptions
    from edge.demo.run import play

    try:
        for_s = parse_duration(for_).total_seconds()
    except ValueError as error:
        fail(f"--for: {error}")
    if for_s < SHORTEST_S:
        fail(f"--for: the operator's script takes {SHORTEST_S:g}s at least")
    try:
        status = play(DemoOptions(for_s, seed, rate, kills, json, mqtt, influx, keep))
    except KeyboardInterrupt:
        fail("the demo was ended before its time; nothing was settled")
    except LinesideError as error:
        fail(str(error))
    raise typer.Exit(status)


@app.command()
def drill(
    file: ConfigFile,
    for_: Annotated[str, typer.Option("--for", help="How long each fault lasts, 1s to 10min.")] = "5s",
    json: Annotated[bool, typer.Option("--json", help="The last line of output is one JSON object.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the drill's files.")] = False,
) -> None:
    """What a line's own file loses when all that can fail, fails.

    It is played on simulators, and touches no device, far end, journal or port of the line. Exits with 1
    where something was lost or came twice, with 2 where the drill could not be played.
    """
    from edge.drill.options import DrillOptions, parse_length
    from edge.drill.run import play

    load_line(file, None)
    try:
        raise typer.Exit(play(DrillOptions(file, parse_length(for_), json, keep)))
    except KeyboardInterrupt:
        words = "the drill was ended before its time; nothing was judged"
    except (LinesideError, ValueError) as error:
        words = str(error)
    err.print(plain(words))
    raise typer.Exit(2)


@app.command()
def board(
    file: ConfigFile,
    data: DataFolder = None,
    host: Annotated[str | None, typer.Option(help="Address to serve on; else [board] host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port, 0 for a free one; else [board] port.")
    ] = None,
) -> None:
    """Show a line in the browser, live, until told to stop. Needs no running agent."""
    from edge.board import serve

    _log_to_stderr()
    config = find_line(file, data)
    try:
        asyncio.run(serve(config, host or config.board.host, config.board.port if port is None else port))
    except LinesideError as error:
        fail(str(error))


@app.command()
def replay(
    file: ConfigFile,
    recorded: Annotated[list[Path], typer.Argument(metavar="SEGMENT...", help="Files of DATA/record.")],
    against: Annotated[
        Path | None, typer.Option(metavar="JOURNAL", help="Compare with this journal's events, to the byte.")
    ] = None,
    events: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the events as JSON lines; - prints.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Another configuration: what if?")] = False,
) -> None:
    """Decide recorded observations again: the same events?

    Takes what `[line] record` has kept, and says where the events first differ.
    """
    from edge.replay import replay_all

    config = load_line(file, None)
    told = err if events == "-" else Console(highlight=False, markup=False, soft_wrap=True)
    try:
        same = replay_all(config.line, recorded, against, events, force, told.print)
    except LinesideError as error:
        fail(str(error))
    raise typer.Exit(0 if same else 1)


@orders.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Orders, as NAME.csv or NAME.json.")],
    line: LineFile,
    data: DataFolder = None,
) -> None:
    """Hand a file of orders to the running agent. Says each refused row; then exits with 1."""
    from edge.commands import os_user, send_orders
    from edge.orders import parse, read_file, take_in
    from edge.orders.words import told

    config = find_line(line, data)
    try:
        parsed = parse(file.name, read_file(file))
        taken = asyncio.run(take_in(parsed, lambda orders: send_orders(config.data, orders, os_user())))
    except OSError as error:
        fail(f"{file}: cannot be read: {error.strerror}")
    except LinesideError as error:
        fail(str(error))
    for entry in taken.orders:
        if entry.verdict is Verdict.REFUSED:
            err.print(told(entry, str(file)))
    typer.echo(f"{file}: {taken.accepted} accepted, {taken.duplicates} duplicates, {taken.refused} refused")
    raise typer.Exit(1 if taken.refused else 0)


@orders.command("list")
def list_(line: LineFile, data: DataFolder = None) -> None:
    """Every order of the line, and what has been made of it."""
    from edge.orders.words import listed
    from edge.readmodel import order_views

    config = find_line(line, data)
    with open_journal(config) as reader:
        views = order_views(reader, config.line)
    typer.echo("\n".join(listed(views)))


@orders.command("show")
def show(
    order: Annotated[str, typer.Argument(metavar="ID", help="The order.")],
    line: LineFile,
    data: DataFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """One order: its jobs, and what each station made of them."""
    from msgspec import json

    from edge.orders.words import shown
    from edge.readmodel import order_view

    config = find_line(line, data)
    with open_journal(config) as reader:
        view = order_view(reader, config.line, order)
    if view is None:
        fail(f"{config.line.name} has no order {order!r}; `lineside orders list` shows all of them")
    typer.echo(json.encode(view).decode() if as_json else "\n".join(shown(view)))


add_commands(app)
app.command("ledger")(ledger)
add_journal_commands(app)
app.command()(cards)
add_certificate_commands(app, registry.certificates)
add_probe_commands(app, registry.serial_probe, registry.opcua_probe, registry.modbus_probe)


class _Plain(logging.Formatter):
    """What a device or a label says is data: no control character of it reaches a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in record.message)
        return super().formatMessage(record)


def _log_to_stderr() -> None:
    """Under systemd the journal adds the time by itself."""
    time = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain(f"{time}%(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("asyncua", "pymodbus", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL if chatty != "asyncio" else logging.WARNING)
