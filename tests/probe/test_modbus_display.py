"""What a display shows is found on a device, and read with what is printed for it."""

import re
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from adapters._modbus.encode import encoded
from adapters._modbus.probe import Report
from adapters._modbus.probe_plan import matched
from adapters._modbus.ranking import Match
from adapters._modbus.values import FLOATS, Form, Kind, orders_of
from edge.probe.modbus import Typed, concluded
from tests.adapters.modbus_support import device
from tests.probe.modbus_support import READS, functions, pairs, probed, read_with, tcp_device

KINDS: tuple[Kind, ...] = (
    "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bcd16", "bcd32", "bcd64",
)  # fmt: skip


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


async def test_a_reading_with_an_offset_is_found_and_read(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.set("holding", 100, 2936)
        end, _, _ = await probed(f"tcp://127.0.0.1:{one.port}", shows="20.45", at="100")
        assert 'as = "u16", scale = 0.1, offset = -273.15 }' in end.toml
        values = await read_with(tmp_path, end.toml, lambda all_: "shown" in all_)
        assert values["shown"] == 20.45


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
        end, _, told = await probed(f"tcp://127.0.0.1:{one.port}", for_s=0.7, shows="200,006", at="100")
        assert [row for row in told if "1. unit 1 holding 100 (40101) as u32, order ABCD" in row], told
        assert 'as = "u32", order = "ABCD"' in end.toml


@pytest.mark.parametrize("at", ["40001", "0", ""])
async def test_a_device_of_short_requests_is_watched_in_such(at: str, tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.tell("longest 4")
        await one.tell("code 9 2")
        await one.set("holding", 0, 2290, 1, 2, 3, 4, 5, 6, 7, 8)
        url = f"tcp://127.0.0.1:{one.port}"
        end, _, told = await probed(url, for_s=0.3, shows="229.0", at=at, tables="holding", range="0-12")
        assert end.runs, end.words
        assert [row for row in told if "holding 0-8" in row and "4 in one request at the most" in row], told
        assert "max_registers = 4\n" in end.toml
        values = await read_with(tmp_path, end.toml, lambda all_: "shown" in all_)
        assert values["shown"] == 229.0


@pytest.mark.parametrize("at", ["30001", ""])
async def test_a_meter_that_gives_pairs_only_is_read(at: str, tmp_path: Path) -> None:
    high, low = encoded(Form("f32", "ABCD"), 229.01)
    async with tcp_device(pairs({0: high, 1: low})) as (url, seen):
        end, _, told = await probed(url, shows="229.01", at=at, units="1")
        assert end.runs, end.words
        assert "shown = { unit = 1, input = 0, " in end.toml
        assert [row for row in told if "two at an even address at the least" in row]
        values = await read_with(tmp_path, end.toml, lambda all_: "shown" in all_)
    assert values["shown"] == pytest.approx(229.01)
    assert set(seen) <= READS


async def test_the_reason_stands_above_and_what_may_be_meant_too_below(program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.set("holding", 100, *encoded(Form("f32", "CDAB"), 229.01))
        end, _, _ = await probed(f"tcp://127.0.0.1:{one.port}", shows="229.01", at="40101", units="1,3")
    assert end.runs, end.words
    rows = end.toml.splitlines()
    [chosen] = [at for at, row in enumerate(rows) if row.startswith("shown = { unit = 1")]
    [reason] = [at for at, row in enumerate(rows) if row.startswith("# shown: unit 1 holding 100 (40101)")]
    [other] = [at for at, row in enumerate(rows) if row.startswith("# shown = { unit = 3")]
    assert reason < rows.index("[telemetry.bus-1]") < chosen < other


def test_no_escape_of_a_text_in_registers_reaches_the_toml() -> None:
    sly = "\x1b]0;x\x07\n[source.sly]\r\u202e"
    match = Match(1, "holding", 50, Form("text", "AB", length=9), (sly, "PRG-7"), 9.0, True)
    plan = matched([match, match], 0.01)
    report = Report(
        {"type": "modbus", "host": "tcp://192.168.1.5"}, (), plan.telemetry, plan.comments, plan.others
    )
    end = concluded(report, Typed("tcp://192.168.1.5", shows="PRG-7"))
    assert end.runs, end.words
    assert all(row.isprintable() for row in end.toml.splitlines())
    assert list(tomllib.loads(end.toml)["source"]) == ["bus-1"]


async def test_nothing_found_is_said_with_what_was_read(program: Path) -> None:
    async with device(program, "tcp") as one:
        end, _, told = await probed(f"tcp://127.0.0.1:{one.port}", shows="229.01", at="100")
        assert not end.runs
        assert "  unit 1 holding 99-112" in told
        assert "no reading there gives 229.01: leave --at out to look everywhere" in end.words
        assert not [words for words in end.words if "tree" in words or "counter" in words]
