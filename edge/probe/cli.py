"""The commands under `probe`."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from edge.contract import parse_duration
from edge.errors import LinesideError
from edge.shell import err, fail, find_keys, load_line, plain

if TYPE_CHECKING:
    from edge.contract import Secret, SourceSettings
    from edge.probe.find import Found
    from edge.probe.into import Into
    from edge.probe.listen import Wire
    from edge.probe.modbus import Bus
    from edge.probe.opcua import Server
    from edge.probe.proposal import Report

PASSWORD = "LINESIDE_PASSWORD"  # noqa: S105  # the variable's name
"""Of the environment: the user's password, where nobody is there to type it."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What the adapters know; each is asked for only where it is needed."""

    serial: Callable[[], object]
    opcua: Callable[[], object]
    modbus: Callable[[], object]


def add_commands(
    app: typer.Typer, wire: Callable[[], object], server: Callable[[], object], bus: Callable[[], object]
) -> None:
    """Put the group among the other commands."""
    group = typer.Typer(name="probe", help=_HELP, no_args_is_help=True)

    @group.callback()
    def _begin(context: typer.Context) -> None:
        context.obj = Probes(wire, server, bus)

    group.command()(serial)
    group.command()(opcua)
    group.command()(modbus)
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

    for_s = _seconds("--for", for_)
    if parity not in ("none", "even", "odd"):
        fail(f"--parity {parity}: write none, even or odd")
    if ack and ask:
        fail("--ack and --ask: a device that only answers takes an ACK for a command; leave one out")
    rules = load_line(line, None).line.labels if line is not None else OWN_LABELS
    wish = Wish(port, for_s, baud, parity, bits, ack, _unescaped(ask), name, station)
    wire = cast("Wire", context.obj.serial())
    try:
        found = asyncio.run(listen(wire, wish, rules, lambda row: err.print(plain(row))))
    except LinesideError as error:
        fail(str(error))
    for sentence in found.words:
        err.print(plain(sentence))
    typer.echo(found.toml, nl=False)
    if not found.runs:
        raise typer.Exit(1)


_For = Annotated[str, typer.Option("--for", help="How long to watch what changes.")]
_Security = Annotated[
    str | None, typer.Option(help="As in the file, such as Basic256Sha256:SignAndEncrypt, or None.")
]
_User = Annotated[str | None, typer.Option(help=f"Its password is asked for, or taken from {PASSWORD}.")]
_Trust = Annotated[
    str, typer.Option(metavar="THUMBPRINT", help="Trust the server's certificate that has this one.")
]
_Under = Annotated[
    str, typer.Option(metavar="NODE", help="Begin at this node, such as 'nsu=urn:acme:press;s=Press'.")
]
_Most = Annotated[int, typer.Option(min=1, max=200_000, help="How many nodes are looked at.")]
_All = Annotated[bool, typer.Option("--all", help="Show all children of every node.")]
_Line = Annotated[
    Path | None,
    typer.Option("--line", metavar="LINE", help="A line's file: its certificate, and its source's keys."),
]


def opcua(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="Such as opc.tcp://192.168.10.21:4840.")],
    for_: _For = "10s",
    security: _Security = None,
    user: _User = None,
    trust: _Trust = "",
    under: _Under = "",
    most: _Most = 10_000,
    show_all: _All = False,
    name: Annotated[str, typer.Option(help="What to call the source.")] = "plc-1",
    station: Annotated[str, typer.Option(help="A station that nothing gives a name to.")] = "station-1",
    line: _Line = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the line's journal.")] = None,
) -> None:
    """Look at an OPC UA server, and print the TOML for it. Never writes.

    The tree and words go to the terminal's error output, the TOML to its output: `> new.toml` keeps it.
    """
    server = cast("Server", context.obj.opcua())
    try:
        endpoint = server.checked(url, security, user)
    except ValueError as error:
        fail(str(error))
    for_s = _watched_s(for_)
    known = _known(line, data, endpoint)
    if known.settings is not None and (security, user) != (None, None):
        words = "leave --user and --security out, or look without --line"
        fail(f"{line} says itself who logs in at {known.source}, and how: {words}")
    wish = server.Wish(
        endpoint, known.source or known.free(name), station, known.line, known.data, for_s, security, user,
        _password(user), known.settings, trust, under, most, show_all,
    )  # fmt: skip
    _look(server, wish, known.into)


def _look(server: "Server", wish: Any, into: "Into | None") -> None:
    from edge.probe.opcua import concluded, look

    try:
        report = asyncio.run(look(server, wish, lambda row: err.print(plain(row))))
    except LinesideError as error:
        fail(str(error))
    _print(concluded(report, wish.name, wish.station, wish.settings is None, into))


_Units = Annotated[str, typer.Option(help="Which units to ask, such as 1-10,20; else the usual ones.")]
_Tables = Annotated[str, typer.Option(help="Which tables, such as holding,input; else all four.")]
_Range = Annotated[
    str, typer.Option("--range", metavar="A-B", help="Look at each of these addresses, counted from zero.")
]
_Requests = Annotated[int, typer.Option(min=1, max=65_536, help="Requests to one table at the most.")]
_Shows = Annotated[
    str, typer.Option(metavar="READING", help="What the display shows, such as 229.01: find where that is.")
]
_At = Annotated[str, typer.Option(metavar="ADDRESS", help="Where the manual says it is: 100, 0x64 or 40101.")]
_Pause = Annotated[str, typer.Option(help="Rest after each request.")]
_Timeout = Annotated[str, typer.Option(help="How long a unit may take to answer; 1s on TCP, else 300ms.")]


def modbus(
    context: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Such as tcp://192.168.1.5:502, or a serial port's path.")
    ],
    units: _Units = "",
    shows: _Shows = "",
    at: _At = "",
    for_: _For = "5s",
    tables: _Tables = "",
    range_: _Range = "",
    most: _Requests = 150,
    pause: _Pause = "20ms",
    timeout: _Timeout = "",
    name: Annotated[str, typer.Option(help="What to call the source.")] = "bus-1",
    station: Annotated[str, typer.Option(help="A station that nothing gives a name to.")] = "station-1",
    line: Annotated[
        Path | None,
        typer.Option("--line", metavar="LINE", help="A line's file: its source's keys, and its names."),
    ] = None,
) -> None:
    """Look at a Modbus device or bus, and print the TOML for it. Never writes.

    URL is tcp://HOST:PORT, rtu+tcp://HOST:PORT, or a serial port's path with what it is set to:
    '/dev/serial/by-id/...?baud=19200&parity=even'. What is found goes to the terminal's error output, the
    TOML to its output: `> new.toml` keeps it.
    """
    from edge.probe.modbus import Typed, concluded, look, wished

    bus = cast("Bus", context.obj.modbus())
    for_s, pause_s = _watched_s(for_), _seconds("--pause", pause)
    try:
        known = _known_bus(bus, line, url)
        typed = Typed(url, units, tables, range_, most, shows, at, known.source or known.free(name), station)
        wish = wished(
            bus, typed, for_s, pause_s, _seconds("--timeout", timeout) if timeout else None, known.settings
        )
    except ValueError as error:
        fail(str(error))
    try:
        report: Report = asyncio.run(look(bus, wish, lambda row: err.print(plain(row))))
    except LinesideError as error:
        fail(str(error))
    _print(concluded(report, typed, known.into, known.settings is None))


def _print(end: "Found") -> None:
    for sentence in end.words:
        err.print(sentence)
    typer.echo(end.toml, nl=False)
    if not end.runs:
        raise typer.Exit(1)


def _seconds(option: str, text: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        fail(f"{option}: {error}")


def _watched_s(text: str) -> float:
    for_s = _seconds("--for", text)
    if for_s > _LONGEST_S:
        fail(f"--for {text}: ten minutes at the most")
    return for_s


_LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class _Known:
    """Who looks: a line, and the source in which it has written down this server already."""

    line: str
    data: Path
    source: str = ""
    settings: "SourceSettings | None" = None
    into: "Into | None" = None

    def free(self, name: str) -> str:
        """The name for a source, or another where the line has it."""
        from edge.probe.into import free

        return free(name, self.into.sources if self.into is not None else ())


def _known_bus(bus: "Bus", file: Path | None, url: str) -> _Known:
    """Raises ValueError where the URL is none."""
    keys = bus.keys_of(url)
    if file is None:
        return _Known("", Path())
    from edge.probe.into import Into

    config, into = load_line(file, None), Into.of(file)
    for one in config.sources.values():
        if bus.same_line(keys, one.settings):
            return _Known(config.line.name, config.data, one.name, one.settings, into)
    return _Known(config.line.name, config.data, into=into)


def _known(file: Path | None, data: Path | None, endpoint: str) -> _Known:
    from edge.config.load import home_folder

    if file is None:
        return _Known("probe", data or home_folder("probe"))
    from edge.probe.into import Into

    config, into = find_keys(file, data), Into.of(file)
    for one in config.sources.values():
        if getattr(one.settings, "endpoint", "") == endpoint:
            return _Known(config.line.name, config.data, one.name, _by_hand(one.settings), into)
    return _Known(config.line.name, config.data, into=into)


def _by_hand(settings: "SourceSettings") -> "SourceSettings":
    """A password that only the service is given can be given here too."""
    from edge.contract import Secret

    if PASSWORD not in os.environ or getattr(settings, "password", None) is None:
        return settings
    return settings.model_copy(update={"password": Secret(env=PASSWORD)})


def _password(user: str | None) -> "Secret | None":
    """By reference, as everywhere: what is typed goes into this process's own environment."""
    from edge.contract import Secret

    if user is None:
        return None
    if PASSWORD not in os.environ:
        try:
            os.environ[PASSWORD] = typer.prompt(f"password of {user}", hide_input=True, err=True)
        except typer.Abort:
            fail(f"no password was typed; where nobody can type it, put it into the variable {PASSWORD}")
    return Secret(env=PASSWORD)


def _unescaped(text: str) -> bytes:
    """What a shell cannot type is written as in Python: `\\r`, `\\x05`."""
    try:
        return text.encode("ascii").decode("unicode_escape").encode("latin-1")
    except ValueError:
        fail(f"--ask {text!a}: write ASCII, and other bytes as \\xHH")
