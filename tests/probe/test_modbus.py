"""A device of another make is probed; its TOML is taken as it is printed, and the adapter reads it."""

import asyncio
import re
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import pytest
import serial
from typer.testing import CliRunner

from adapters._modbus import probe as modbus
from adapters._modbus.encode import encoded
from adapters._modbus.probe import Report
from adapters._modbus.values import FLOATS, Form, Kind, orders_of
from edge.cli import app
from edge.config import load
from edge.errors import SourceLost
from edge.observation import Quality
from edge.probe.find import Found
from edge.probe.modbus import Bus, Typed, concluded, wished
from tests.adapters.modbus_support import Device, build_device, device, serial_line
from tests.support.ptys import SlowIntake, running

BUS = cast(Bus, modbus)
KINDS: tuple[Kind, ...] = (
    "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bcd16", "bcd32", "bcd64",
)  # fmt: skip
READS = {1, 2, 3, 4, 17, 43}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_device(tmp_path_factory.mktemp("device"))


async def probed(
    url: str, for_s: float = 0.0, timeout_s: float | None = None, **typed: Any
) -> tuple[Found, Report, list[str]]:
    told: list[str] = []
    words = Typed(url, **typed)
    report = await BUS.probe(wished(BUS, words, for_s, 0.0, timeout_s), asyncio.Event(), told.append)
    return concluded(report, words), cast(Report, report), told


async def read_with(folder: Path, toml: str, is_there: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the agent's own adapter reads with it: signals, and telemetry by its last name."""
    (folder / "line.toml").write_text(toml)
    config = load(folder / "line.toml", folder)
    [source] = config.sources.values()
    intake = SlowIntake(source.name)

    def last() -> dict[str, Any]:
        single = {one.signal: one.value for one in intake.seen if one.quality is Quality.GOOD}
        lanes = {name: value for sample in intake.samples for name, value in sample.items()}
        texts = {name: value for name, value, _ in intake.changed}
        return {name.rpartition("/")[2]: value for name, value in (single | lanes | texts).items()}

    async with running(source.module.collect(source.settings, source.signals, intake), intake):
        async with asyncio.timeout(10):
            while not is_there(last()):
                await asyncio.sleep(0.005)
    return last()


async def functions(one: Device) -> set[int]:
    return set(map(int, (await one.asked("functions")).split()))


# --- what is found, and read with what is printed -------------------------------------------------


async def test_the_ranges_and_the_counter_of_a_device_are_found_and_read(
    tmp_path: Path, program: Path
) -> None:
    async with device(program, "tcp") as one:
        await one.tell("identify ACME PM-3000")
        await one.tell("counter 1 40 16 15 100")
        end, _, told = await probed(f"tcp://127.0.0.1:{one.port}", for_s=1.5)
        assert end.runs, end.words
        assert 'total = { source = "bus-1", unit = 1, holding = 40, as = "u16" }' in end.toml
        assert "  unit 1: maker ACME PM-3000" in told
        assert [row for row in told if row.startswith("  unit 1 holding 0-999")]
        assert [row for row in told if row.startswith("  unit 1 discrete 0-999")]
        made = await one.made(1, 40)
        values = await read_with(tmp_path, end.toml, lambda all_: "station-1.total" in all_)
        assert values["station-1.total"] >= 100 + made - 1
        assert await functions(one) <= READS
        assert await one.wrote() == [""]


async def test_the_live_units_of_a_bus_are_found_and_the_dead_cost_a_timeout_each(
    tmp_path: Path, program: Path
) -> None:
    async with serial_line(tmp_path) as (far, near, _), device(program, "rtu", far, "1,3") as one:
        await one.set("holding", 100, 7, 8)
        end, _, told = await probed(
            f"rtu://{near}?baud=9600&parity=none",
            timeout_s=0.1,
            units="1-4",
            range="98-103",
            tables="holding",
        )
        assert [row for row in told if "answers" in row] == [
            "unit 1 answers (holding 0 holds 0)", "unit 3 answers (holding 0 holds 0)",
        ]  # fmt: skip
        assert "  unit 3 holding 98-103" in told
        assert end.runs, end.words
        assert f'port = "{near}"\nbaud = 9600\nparity = "none"' in end.toml
        values = await read_with(tmp_path, end.toml, lambda all_: len(all_) >= 4)
        assert values["unit_3_holding_101"] == 8
        assert await functions(one) <= READS


async def test_units_behind_a_device_server_are_found(program: Path) -> None:
    async with device(program, "rtu-tcp", "2,5", "0") as one:
        url = f"rtu+tcp://127.0.0.1:{one.port}"
        end, _, told = await probed(url, timeout_s=0.05, units="1-5", range="0-3", tables="input")
        assert [row[:14] for row in told if "answers" in row] == ["unit 2 answers", "unit 5 answers"]
        assert f'host = "{url}"' in end.toml


async def test_a_gateway_that_has_no_answer_of_a_unit_has_no_such_unit(program: Path) -> None:
    async with device(program, "tcp") as one:
        for unit, code in ((1, 11), (3, 10), (213, 11)):
            await one.tell(f"fault {unit} {code}")
        url = f"tcp://127.0.0.1:{one.port}"
        _, _, told = await probed(url, units="1-3", range="0-1", tables="holding")
        assert [row[:14] for row in told if "answers" in row] == ["unit 2 answers"]


async def test_what_a_device_refuses_goes_into_the_proposal(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.tell("longest 25 3")
        await one.tell("code 30 2")
        await one.set("holding", 28, 1, 2, 0, 3)
        end, _, told = await probed(
            f"tcp://127.0.0.1:{one.port}", range="0-99", requests=300, tables="holding"
        )
        assert "  unit 1 holding 0-29, 31-99; 25 in one request at the most" in told
        assert "max_registers = 25\nmax_gap = 0\n" in end.toml
        values = await read_with(tmp_path, end.toml, lambda all_: len(all_) >= 3)
        assert values == {"holding_28": 1, "holding_29": 2, "holding_31": 3}


# --- what a display shows ---------------------------------------------------------------------------


def samples() -> Iterator[tuple[Form, str, int | float]]:
    """Forms with their scale, what a display shows, and the value that the registers get."""
    scales = [(Fraction(1, 100), "229.01"), (Fraction(1, 10), "733.9"), (Fraction(1), "5193")]
    for number, (kind, order) in enumerate((one, order) for one in KINDS for order in orders_of(one)):
        scale, text = scales[number % len(scales)]
        value = int(text) if scale == 1 else float(text)
        if kind in FLOATS:
            yield Form(kind, order), text, value
        elif kind == "bcd16" and text == "229.01":
            yield Form(kind, order, scale=Fraction(1, 10)), "733.9", 733.9
        else:
            yield Form(kind, order, scale=scale), text, value


async def test_what_is_printed_for_a_display_reads_what_it_shows(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        url = f"tcp://127.0.0.1:{one.port}"
        for number, (form, text, value) in enumerate(samples()):
            at = 10 + 12 * number
            await one.set("holding", at, *encoded(form, value))
            end, _, told = await probed(url, shows=text, at=str(at), units="1")
            assert end.runs, end.words
            ranked = [row for row in told if re.match(r" +\d+\. unit", row)]
            assert [row for row in ranked[:5] if form.order in row or form.order == "AB"], (form, ranked)
            values = await read_with(tmp_path, end.toml, lambda all_: "shown" in all_)
            assert abs(values["shown"] - float(text)) < 0.5 / 10 ** len(text.partition(".")[2])
        assert await functions(one) <= READS


@pytest.mark.parametrize(("at", "table"), [("40101", "holding"), ("101", "holding"), ("30101", "input")])
async def test_the_ways_to_count_addresses_are_tried(at: str, table: str, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.set(table, 100, *encoded(Form("f32", "CDAB"), 229.01))
        end, _, _ = await probed(f"tcp://127.0.0.1:{one.port}", shows="229,01 V", at=at)
        assert f'shown = {{ unit = 1, {table} = 100, as = "f32", order = "CDAB" }}' in end.toml


async def test_a_reading_is_found_without_an_address(program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.set("input", 777, *encoded(Form("i32", "CDAB", scale=Fraction(1, 1000)), -229.013))
        end, _, _ = await probed(f"tcp://127.0.0.1:{one.port}", shows="-229.01")
        assert 'unit = 1, input = 777, as = "i32", order = "CDAB", scale = 0.001' in end.toml


async def test_a_text_is_found_and_read(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.set("holding", 50, *encoded(Form("text", "BA", length=4), "PRG-7"))
        end, _, _ = await probed(f"tcp://127.0.0.1:{one.port}", shows="PRG-7", at="50")
        assert end.runs, end.words
        values = await read_with(tmp_path, end.toml, lambda all_: "shown" in all_)
        assert values["shown"] == "PRG-7"


async def test_a_live_value_is_found(program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.tell("counter 1 100 32 20 200000")
        end, _, told = await probed(f"tcp://127.0.0.1:{one.port}", for_s=1.0, shows="200,006", at="100")
        assert [row for row in told if "1. unit 1 holding 100 (40101) as u32, order ABCD" in row], told
        assert 'as = "u32", order = "ABCD"' in end.toml


async def test_nothing_found_is_said_with_what_was_read(program: Path) -> None:
    async with device(program, "tcp") as one:
        end, _, told = await probed(f"tcp://127.0.0.1:{one.port}", shows="229.01", at="100")
        assert not end.runs
        assert "  unit 1 holding 99-112" in told
        assert "no reading there gives 229.01: leave --at out to look everywhere" in end.words


# --- devices that are not as they should be -------------------------------------------------------


@asynccontextmanager
async def tcp_device(
    answer: Callable[[bytes], bytes | None], *, closes: bool = False
) -> AsyncIterator[tuple[str, list[int]]]:
    """Answers each PDU by `answer`; gives its URL, and every function code that ever came."""
    seen: list[int] = []
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            while True:
                head = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
                seen.append(pdu[0])
                said = answer(pdu)
                if said is not None:
                    writer.write(head[:4] + struct.pack(">HB", len(said) + 1, head[6]) + said)
                if closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.wait_for(asyncio.gather(*talks), 5)


def registers(pdu: bytes) -> bytes:
    function, start, count = struct.unpack(">BHH", pdu[:5])
    if function in (1, 2):
        return bytes([function, (count + 7) // 8]) + bytes((count + 7) // 8)
    return struct.pack(f">BB{count}H", function, 2 * count, *((start + at) % 7 for at in range(count)))


ODD: dict[str, Callable[[bytes], bytes | None]] = {
    "everything": lambda pdu: registers(pdu) if pdu[0] < 5 else bytes([pdu[0] | 0x80, 1]),
    "knows nothing": lambda pdu: bytes([pdu[0] | 0x80, 1]),
    "refuses all": lambda pdu: bytes([pdu[0] | 0x80, 2]),
    "fails": lambda pdu: bytes([pdu[0] | 0x80, 4]),
    "an exception of its own": lambda pdu: bytes([pdu[0] | 0x80, 200]),
    "noise for an identity": lambda pdu: (
        registers(pdu) if pdu[0] < 5 else pdu[:1] + b"\x0e\x01" + b"\xff" * 40
    ),
    "an endless identity": lambda pdu: (
        registers(pdu)
        if pdu[0] < 5
        else b"\x2b\x0e" + bytes([pdu[2], 0x83, 0xFF, pdu[3] + 1 & 0xFF, 0])
        if pdu[0] == 43
        else b"\x91\x01"
    ),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
async def test_whatever_a_device_answers_nothing_is_written(odd: str) -> None:
    async with tcp_device(ODD[odd]) as (url, seen):
        for shows in ("", "3"):
            end, _, _ = await probed(url, timeout_s=0.1, requests=6, shows=shows, units="1")
            assert "\x1b" not in end.toml
    assert {3, 4} <= set(seen) <= READS
    assert {43, 17} & set(seen)


async def test_a_device_that_closes_after_each_answer_is_probed_all_the_same() -> None:
    async with tcp_device(ODD["everything"], closes=True) as (url, seen):
        end, _, told = await probed(url, timeout_s=0.5, range="0-20", tables="holding", units="1")
    assert end.runs, end.words
    assert "  unit 1 holding 0-20" in told
    assert set(seen) <= READS


async def test_a_device_that_goes_away_leaves_what_was_found(program: Path) -> None:
    async with device(program, "tcp") as one:
        words = Typed(f"tcp://127.0.0.1:{one.port}", units="1", tables="holding")
        told: list[str] = []

        def tell(row: str) -> None:
            told.append(row)
            if row.startswith("watching"):
                stops.append(asyncio.create_task(one.kill()))

        stops: list[asyncio.Task[None]] = []
        wish = wished(BUS, words, 5.0, 0.0, 0.2)
        report = await asyncio.wait_for(BUS.probe(wish, asyncio.Event(), tell), 10)
        await asyncio.gather(*stops)
        end = concluded(report, words)
    assert not end.runs
    assert "ended before its end" in " ".join(end.words)
    assert "  unit 1 holding 0-999" in told


async def test_nobody_there_is_said(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.tell("mute 256")
        with pytest.raises(SourceLost, match=r"none of 4 units answered \(no answer.*--units names others"):
            await probed(f"tcp://127.0.0.1:{one.port}", timeout_s=0.05, units="1-4")
    async with serial_line(tmp_path) as (_, near, _unplug):
        with pytest.raises(SourceLost, match=r"none of 4 units answered \(no answer.*rate and parity"):
            await probed(near, timeout_s=0.05, units="1-4")


async def test_a_device_with_no_connection_left_is_said_to_be_one(program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.tell("limit 1 close")
        with socket.create_connection(("127.0.0.1", one.port)):
            while (await one.connections())[0] < 1:
                await asyncio.sleep(0.005)
            with pytest.raises(SourceLost, match=r"many devices take one connection only"):
                await probed(f"tcp://127.0.0.1:{one.port}", timeout_s=0.2, units="1")


async def test_a_slow_bus_gets_a_proposal_that_it_can_keep(tmp_path: Path, program: Path) -> None:
    async with serial_line(tmp_path) as (far, near, _), device(program, "rtu", far, "1") as one:
        await one.tell("pace 4800")
        for at in range(0, 100, 11):
            await one.set("holding", at, at + 1)
        end, _, _ = await probed(
            f"{near}?baud=4800", timeout_s=0.5, units="1", range="0-99", tables="holding", requests=12
        )
        assert end.runs, end.words
        assert 'every = "1s"' not in end.toml, "the check adds up what the bus takes, and has passed it"


async def test_noise_in_the_place_of_an_answer_is_told(tmp_path: Path) -> None:
    async with serial_line(tmp_path) as (far, near, _unplug):
        with serial.Serial(far, timeout=0) as port:
            told: list[str] = []
            words = Typed(near, units="7")
            wish = wished(BUS, words, 0, 0, 0.1)
            task = asyncio.create_task(modbus.probe(wish, asyncio.Event(), told.append))
            while not task.done():
                if port.read(300):
                    port.write(b"\x07\x03\x02\xff\xff\x00\x00\x00\x00")
                await asyncio.sleep(0.002)
            with pytest.raises(SourceLost, match="bytes that are not one"):
                await task
    assert [row for row in told if row.startswith("unit 7: no answer")]


# --- the command ----------------------------------------------------------------------------------


async def command(*words: str, ended_by: int = 0) -> tuple[int, str, str]:
    """`lineside probe modbus` as it is typed: its status, output and error output."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("lineside"), "probe", "modbus", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    head = b""
    if ended_by:
        head = await process.stderr.readuntil(b"watching")
        process.send_signal(ended_by)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), (head + err).decode()


async def test_the_command_prints_toml_and_nothing_else_to_its_output(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.set("holding", 100, *encoded(Form("f32", "CDAB"), 229.01))
        url = f"tcp://127.0.0.1:{one.port}"
        status, out, err = await command(url, "--shows", "229.01", "--at", "100", "--for", "1s")
        assert (status, "the first one stands alone" in err) == (0, True)
        values = await read_with(tmp_path, out, lambda all_: "shown" in all_)
        assert values["shown"] == pytest.approx(229.01)


async def test_ctrl_c_ends_the_watching_and_what_is_known_is_printed(program: Path) -> None:
    async with device(program, "tcp") as one:
        url = f"tcp://127.0.0.1:{one.port}"
        words = (url, "--range", "0-9", "--tables", "holding", "--for", "5min")
        await one.set("holding", 3, 9)
        status, out, _ = await asyncio.wait_for(command(*words, ended_by=signal.SIGINT), 20)
        assert (status, "holding_3" in out) == (0, True)


async def test_a_port_that_somebody_has_open_is_said_to_be_open(tmp_path: Path) -> None:
    async with serial_line(tmp_path) as (_, near, _unplug):
        with serial.Serial(near, exclusive=True):
            status, out, err = await command(near)
    assert (status, out) == (1, "")
    assert "another program has it open" in err
    assert err.count("\n") == 1


RUNNER = CliRunner()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["192.168.1.5"], "write tcp://HOST:PORT"),
        (["http://192.168.1.5"], "write tcp://HOST:PORT"),
        (["tcp://"], "tcp://ADDRESS:PORT"),
        (["tcp://127.0.0.1:0"], "port 0"),
        (["tcp://127.0.0.1:99999"], "Port out of range"),
        (["rtu+tcp://127.0.0.1"], "say the port"),
        (["tcp://127.0.0.1?baud=9600"], "belong to a serial port"),
        (["rtu:///dev/ttyS9?parity=maybe"], "parity"),
        (["rtu:///dev/ttyS9?baud=fast"], "baud"),
        (["rtu:///dev/ttyS9?speed=9600"], "what may stand behind the ?"),
        (["rtu:///dev/no-such-port"], "is the adapter plugged in"),
        (["/dev/null"], "cannot open /dev/null"),
        (["tcp://127.0.0.1:1"], "nothing listens there"),
        (["tcp://127.0.0.1:1", "--units", "1-300"], "a unit is 0 to 255"),
        (["/dev/ttyS9", "--units", "0-3"], "a serial line has units 1 to 247, not 0"),
        (["tcp://127.0.0.1:1", "--units", "9-1"], "1 comes before 9"),
        (["tcp://127.0.0.1:1", "--units", "all"], "--units all: write a number or A-B"),
        (["tcp://127.0.0.1:1", "--range", "0-70000"], "addresses are 0 to 65535"),
        (["tcp://127.0.0.1:1", "--range", "0-30000"], "10,000 addresses at the most"),
        (["tcp://127.0.0.1:1", "--tables", "coils"], "--tables coils"),
        (["tcp://127.0.0.1:1", "--at", "100"], "give both"),
        (["tcp://127.0.0.1:1", "--shows", "1", "--at", "x"], "write a number"),
        (["tcp://127.0.0.1:1", "--for", "1 day"], "--for"),
        (["tcp://127.0.0.1:1", "--pause", "no"], "--pause"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(words: list[str], said: str) -> None:
    result = RUNNER.invoke(app, ["probe", "modbus", *words])
    assert result.exit_code != 0
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
