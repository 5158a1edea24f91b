"""A probe for a line that has a file: what is printed goes into it as it is."""

from pathlib import Path

from edge.config import load
from tests.adapters.modbus_support import device
from tests.probe.modbus_support import read_with
from tests.probe.test_modbus_command import command

LINE = """[line]
name = "line-7"

[source.bus-1]
type = "modbus"
host = "tcp://127.0.0.1:{port}"
max_gap = 4

[[station]]
name = "station-1"
ideal_cycle = "2s"
total = {{ source = "bus-1", unit = 1, holding = 7, as = "u16" }}

[telemetry.bus-1]
source = "bus-1"
unit = 1
every = "1s"
oven = {{ holding = 20, as = "u16" }}
"""
"""Without a newline at its end."""


async def test_what_is_printed_is_added_to_a_line_that_has_the_device(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.set("holding", 30, 77)
        await one.tell("counter 1 40 16 15 100")
        line = tmp_path / "press.toml"
        line.write_text(LINE.format(port=one.port).rstrip())
        words = ("--units", "1", "--tables", "holding", "--range", "28-41", "--for", "1s")
        status, out, err = await command(f"tcp://127.0.0.1:{one.port}", *words, "--line", str(line))
        assert status == 0, err
        assert "[source" not in out
        assert "[line]" not in out
        assert 'name = "station-1-2"' in out, "the line has a station-1"
        assert 'source = "bus-1"' in out
        config = load(line, tmp_path)
        assert [one.name for one in config.sources.values()] == ["bus-1"]
        whole = line.read_text() + out
        line.write_text(whole)
        values = await read_with(tmp_path, whole, lambda all_: "station-1-2.total" in all_)
        assert values["station-1-2.total"] >= 100
        status, out, err = await command(
            f"tcp://127.0.0.1:{one.port}", "--units", "1", "--shows", "77", "--at", "30", "--line", str(line),
            "--for", "100ms",
        )  # fmt: skip
        assert status == 0, err
        assert "[telemetry.bus-1-2]" in out


async def test_another_device_is_added_with_its_source(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.set("holding", 30, 77)
        line = tmp_path / "press.toml"
        line.write_text(LINE.format(port=1))
        words = ("--units", "1", "--tables", "holding", "--range", "28-41", "--for", "100ms")
        status, out, err = await command(f"tcp://127.0.0.1:{one.port}", *words, "--line", str(line))
        assert status == 0, err
        assert "[line]" not in out
        assert "[source.bus-1-2]" in out
        assert "[[station]]" not in out, "the line has one"
        line.write_text(line.read_text() + out)
        assert set(load(line, tmp_path).sources) == {"bus-1", "bus-1-2"}


async def test_what_the_lines_own_table_lacks_is_said(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.tell("longest 4")
        await one.set("holding", 0, 1, 2, 3, 4, 5, 6, 7, 8)
        line = tmp_path / "press.toml"
        line.write_text(LINE.format(port=one.port))
        words = ("--units", "1", "--tables", "holding", "--range", "0-12", "--for", "100ms")
        _, _, err = await command(f"tcp://127.0.0.1:{one.port}", *words, "--line", str(line))
    assert "write max_registers = 4 into the source's table" in err


async def test_a_lines_file_with_a_fault_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    line = tmp_path / "press.toml"
    line.write_text("[line]\n")
    status, out, err = await command("tcp://127.0.0.1:1", "--line", str(line))
    assert (status, out) == (1, "")
    assert "nothing was started" in err
