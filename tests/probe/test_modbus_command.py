"""`lineside probe modbus` as it is typed."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
import serial
from typer.testing import CliRunner

from adapters._modbus.encode import encoded
from adapters._modbus.values import Form
from edge.cli import app
from tests.adapters.modbus_support import device, serial_line
from tests.probe.modbus_support import read_with


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
        status, out, err = await command(url, "--shows", "229.01", "--at", "100", "--for", "200ms")
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
