"""Lamps beside the gun: how they are written, what they do, and that they never stay on."""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import SystemClock
from edge.config import load
from edge.config.feedback import Lamp, StationFeedback
from edge.contract import Ask
from edge.errors import ConfigError, NotRecorded
from edge.feedback import DARK_S, Beacon, Panel, pattern
from edge.intake import Beside, SourceIntake
from edge.observation import Verdict
from simulators.labels import label
from tests.adapters.modbus_support import Device, build_device, device
from tests.board.process import end, start
from tests.support.ptys import plugged

LINE = """
[line]
name = "line-1"
badge = "optional"

[source.bus-1]
type = "modbus"
host = "tcp://127.0.0.1:{port}"

[source.gun-1]
type = "serial-scanner"
port = "{folder}/gun-1"

[[station]]
name = "press"
ideal_cycle = "1s"
scanner = "gun-1"
feedback = {feedback}
"""
LAMPS = (
    '{ source = "bus-1", unit = 5, for = "170ms", accepted = { coil = 0 }, '
    "refused = [{ coil = 1 }, { coil = 3, times = 3 }], duplicate = { coil = 0, times = 2 } }"
)


def write_line(folder: Path, port: int = 502, feedback: str = LAMPS, more: str = "") -> Path:
    file = folder / "line.toml"
    file.write_text(LINE.format(port=port, folder=folder, feedback=feedback) + textwrap.dedent(more))
    return file


# --- how it is written ----------------------------------------------------------------------------


def test_what_is_written_for_all_lamps_holds_for_each(tmp_path: Path) -> None:
    config = load(write_line(tmp_path))
    [spec] = config.feedback
    assert (spec.station, spec.gun, spec.source) == ("press", "gun-1", "bus-1")
    outputs = config.sources["bus-1"].outputs
    assert [one.name for one in outputs] == [
        "unit 5 coil 0 1/0", "unit 5 coil 1 1/0", "unit 5 coil 3 1/0",
    ]  # fmt: skip
    assert spec.shows[Verdict.REFUSED] == (
        Lamp("unit 5 coil 1 1/0", 0.17, 1), Lamp("unit 5 coil 3 1/0", 0.17, 3),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("feedback", "key", "words"),
    [
        ('{ source = "bus-1" }', "", "shows nothing"),
        ("{ refused = { coil = 1 } }", ".source", "is missing"),
        ('{ source = "bus-2", refused = { coil = 1 } }', ".source", "names no source: 'bus-2'"),
        ('{ source = "gun-1", refused = { coil = 1 } }', ".source", '"gun-1" can switch nothing'),
        ('{ source = "bus-1", refused = { coil = 1, tims = 2 } }', ".refused.tims", "is not a key here"),
        ('{ source = "bus-1", unt = 5, refused = { coil = 1 } }', ".unt", "is not a key here"),
        ('{ source = "bus-1", refused = { holding = 1, on = 0 } }', ".refused", "on and off are the same"),
        ('{ source = "bus-1", refused = 1 }', ".refused", "must be a table, or a list of up to 8"),
        ('{ source = "bus-1", refused = [] }', ".refused", "must be a table, or a list of up to 8"),
        ('{ source = "bus-1", refused = [{ coil = 1 }, { coil = -1 }] }', ".refused[2].coil", "greater than"),
        ('{ source = "bus-1", refused = { coil = 1, times = 3, for = "100ms" } }', ".refused", "flashes"),
        ('{ source = "bus-1", refused = { coil = 1, for = "6s" } }', ".refused", "lasts longer than 5 s"),
        (
            '{ source = "bus-1", accepted = { coil = 1 }, duplicate = { coil = 1 } }',
            ".duplicate", "looks and sounds the same as accepted",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_stands(tmp_path: Path, feedback: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(write_line(tmp_path, feedback=feedback))
    [fault] = refused.value.faults
    assert fault.key == f"station[press].feedback{key}"
    assert words in fault.what


def test_feedback_needs_a_scanner(tmp_path: Path) -> None:
    file = write_line(tmp_path)
    file.write_text(file.read_text().replace('scanner = "gun-1"\n', ""))
    with pytest.raises(ConfigError, match="the station has no scanner"):
        load(file)


def test_two_stations_share_a_buzzer(tmp_path: Path) -> None:
    more = """
        [[station]]
        name = "packer"
        ideal_cycle = "1s"
        scanner = "gun-1"
        feedback = { source = "bus-1", unit = 5, refused = { coil = 3 } }
        """
    config = load(write_line(tmp_path, more=more))
    assert len(config.feedback) == 2
    assert len(config.sources["bus-1"].outputs) == 3


# --- what is on when ------------------------------------------------------------------------------


def test_lamps_of_one_outcome_begin_together() -> None:
    phases = pattern([Lamp("red", 0.5, 1), Lamp("horn", 0.2, 2)])
    assert [(sorted(phase.on), round(phase.for_s, 3)) for phase in phases] == [
        (["horn", "red"], 0.2), (["red"], 0.2), (["horn", "red"], 0.1), (["horn"], 0.1),
    ]  # fmt: skip
    assert pattern([]) == []


@given(st.lists(st.builds(Lamp, st.sampled_from("abc"), st.floats(0.17, 1), st.integers(1, 5)), max_size=5))
def test_every_lamp_is_on_as_long_as_it_says(lamps: list[Lamp]) -> None:
    phases = pattern(lamps)
    for name in {lamp.output for lamp in lamps}:
        own = [lamp for lamp in lamps if lamp.output == name]
        lit = sum(phase.for_s for phase in phases if name in phase.on)
        longest = max(lamp.for_s * lamp.times for lamp in own)
        assert longest - 0.001 <= lit <= sum(lamp.for_s * lamp.times for lamp in own) + 0.001


class Wire:
    """The asks that a source got; it answers them at once, or never."""

    def __init__(self) -> None:
        self.is_connected = True
        self.answers = True
        self.asks: list[frozenset[str]] = []
        self.panel: Panel | None = None
        self.changed = asyncio.Event()

    def put(self, ask: Ask) -> None:
        assert ask.on is not None
        self.asks.append(ask.on)
        self.changed.set()
        if self.answers and self.panel is not None:
            self.panel.switched(ask.number, "")

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


ON = {verdict: frozenset({verdict.value}) for verdict in Verdict}
SHOWS = {verdict: (Lamp(verdict.value, 0.05, 1),) for verdict in ON}


@asynccontextmanager
async def beacon(shows: Any = SHOWS) -> AsyncIterator[tuple[Beacon, Wire]]:
    wire: Any = Wire()
    wire.panel = Panel("bus-1", {"bus-1": wire})
    shown = Beacon(StationFeedback("press", "gun-1", "bus-1", shows), wire.panel)
    task = asyncio.create_task(shown.run())
    try:
        yield shown, wire
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_two_scans_in_a_moment_are_shown_one_after_the_other_and_apart() -> None:
    async with beacon() as (shown, wire):
        loop = asyncio.get_running_loop()
        for verdict in (Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.QUARANTINED):
            shown.heard(verdict)
        begun = loop.time()
        await wire.until(lambda: len(wire.asks) == 6)
        assert loop.time() - begun >= 2 * DARK_S
    dark = frozenset[str]()
    assert wire.asks == [ON[Verdict.ACCEPTED], dark, ON[Verdict.ACCEPTED], dark, ON[Verdict.REFUSED], dark]


async def test_of_too_many_a_refusal_is_not_left_out() -> None:
    async with beacon({Verdict.REFUSED: SHOWS[Verdict.REFUSED]}) as (shown, wire):
        for verdict in [Verdict.ACCEPTED] * 3 + [Verdict.REFUSED] + [Verdict.DUPLICATE] * 30:
            shown.heard(verdict)
        await wire.until(lambda: len(wire.asks) == 2)
        assert wire.asks[0] == ON[Verdict.REFUSED]


async def test_an_output_that_two_stations_share_is_on_while_either_wants_it() -> None:
    async with beacon({}) as (_, wire):
        assert wire.panel is not None
        for station, on in (("press", "a"), ("bench", "b"), ("press", "")):
            assert await wire.panel.show(station, frozenset(on))
        assert wire.asks[-3:] == [frozenset("a"), frozenset("ab"), frozenset("b")]


async def test_a_source_that_is_away_costs_no_time_and_one_that_is_silent_little() -> None:
    async with beacon() as (shown, wire):
        wire.is_connected = False
        shown.heard(Verdict.REFUSED)
        for _ in range(10):  # turns of the loop: nothing in it waits
            await asyncio.sleep(0)
        assert wire.asks == []
        wire.is_connected, wire.answers = True, False
        begun = asyncio.get_running_loop().time()
        shown.heard(Verdict.REFUSED)
        await wire.until(lambda: len(wire.asks) == 2)
        assert 1.5 < asyncio.get_running_loop().time() - begun < 3
        assert wire.asks == [ON[Verdict.REFUSED], frozenset()]


async def test_trouble_is_said_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    panel = Panel("bus-1", {})
    for trouble in ("", "unit 5 is lost", "unit 5 is lost", ""):
        panel.switched(1, trouble)
    assert [one.getMessage() for one in caplog.records] == [
        "bus-1: the feedback at a station cannot be switched: unit 5 is lost",
        "bus-1: the feedback can be switched again",
    ]


async def test_what_cannot_be_recorded_is_shown_as_refused() -> None:
    heard: list[Verdict] = []

    class Full:
        telemetry = type("None", (), {"has_tables": False})

        async def emit(self, _: object) -> None:
            raise NotRecorded("the disk is full")

    recorder: Any = Full()
    recorder.line = type("Line", (), {"name": "line-1"})
    intake = SourceIntake("gun-1", SystemClock(), recorder, lambda: None, beside=Beside(heard=heard.append))
    with pytest.raises(NotRecorded):
        await intake.emit([intake.observe("gun-1", "X"), intake.observe("source/gun-1", "lost")])
    assert heard == [Verdict.REFUSED]


# --- the whole agent, with a device ----------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_device(tmp_path_factory.mktemp("modbus"))


@asynccontextmanager
async def running(file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await start(file, "--data", file.parent / "data", name="run")
    try:
        assert process.stderr is not None
        async with asyncio.timeout(20):  # what is scanned before it reads the port is no scan
            while b"gun-1: connected" not in await process.stderr.readline():
                assert process.returncode is None
        yield process
    finally:
        await end(process)


async def wrote(lamps: Device, count: int) -> list[str]:
    """So many writes, without those that are of no account here."""
    found: list[str] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += [one.removeprefix("5 coil ") for one in await lamps.wrote() if one]
            await asyncio.sleep(0.01)
    return found


OFF = ["0 0", "1 0", "3 0"]


async def test_what_became_of_a_scan_is_seen_at_the_station(program: Path, tmp_path: Path) -> None:
    async with device(program, "tcp") as lamps:
        await lamps.set("coil", 0, 1, 1, 0, 1)
        with plugged(tmp_path / "gun-1") as gun:
            async with running(write_line(tmp_path, lamps.port)):
                assert await wrote(lamps, 3) == OFF
                await gun.send(label("E", "4711").encode() + b"\r")
                assert await wrote(lamps, 2) == ["0 1", "0 0"]
                await gun.send(label("E", "4711").encode() + b"\r")
                assert await wrote(lamps, 4) == ["0 1", "0 0", "0 1", "0 0"]
                await gun.send(b"what is this\r")
                assert await wrote(lamps, 8) == ["1 1", "3 1", "1 0", "3 0", "3 1", "3 0", "3 1", "3 0"]


async def test_no_lamp_stays_on_when_the_agent_ends_or_is_killed(program: Path, tmp_path: Path) -> None:
    long = '{ source = "bus-1", unit = 5, accepted = { coil = 0, for = "5s" }, refused = { coil = 1 } }'
    async with device(program, "tcp") as lamps:
        file = write_line(tmp_path, lamps.port, long)
        with plugged(tmp_path / "gun-1") as gun:
            async with running(file):
                await wrote(lamps, 2)
                await gun.send(label("E", "4711").encode() + b"\r")
                assert await wrote(lamps, 1) == ["0 1"]
            assert await wrote(lamps, 1) == ["0 0"]
            async with running(file) as process:
                await wrote(lamps, 2)
                await gun.send(label("E", "4712").encode() + b"\r")
                assert await wrote(lamps, 1) == ["0 1"]
                process.kill()
                await process.wait()
            assert await lamps.tell("get coil 0") == 1
            async with running(file):
                assert "0 0" in await wrote(lamps, 2)


async def test_a_lamp_that_is_gone_holds_up_no_scan(program: Path, tmp_path: Path) -> None:
    async with device(program, "tcp") as lamps:
        file = write_line(tmp_path, lamps.port)
    with plugged(tmp_path / "gun-1") as gun:
        async with running(file):
            for number in range(20):
                await gun.send(label("E", f"47{number:02}").encode() + b"\r")
                assert await gun.heard(1)
