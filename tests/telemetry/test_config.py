"""`[telemetry.NAME]` as it is written: what is shared, what a signal has for itself, every fault at once."""

from datetime import timedelta
from pathlib import Path

import pytest

from edge.batches import TelemetryTable
from edge.config import LineConfig, load
from edge.errors import ConfigError
from edge.sifting import Sampled
from edge.telemetry import units_of

HEAD = """
[line]
name = "line-1"
[source.bus-1]
type = "modbus"
host = "tcp://127.0.0.1:5020"
[source.gun-1]
type = "serial-scanner"
port = "/dev/serial/by-id/gun"
[[station]]
name = "packer"
ideal_cycle = "2s"
scanner = "gun-1"
good = { source = "bus-1", unit = 3, holding = 100, as = "u32", words = "little" }
"""
OVEN = """
[telemetry.oven]
source = "bus-1"
unit = 4
station = "packer"
deadband = 0.5
zone_1 = { input = 0, as = "f32", words = "big", every = "250ms", unit_of_measure = "degC" }
zone_2 = { input = 2, as = "f32", words = "big", deadband = "2%", silence = "5min", unit = 5 }
"""


def loaded(folder: Path, *tables: str) -> LineConfig:
    file = folder / "line.toml"
    file.write_text("".join((HEAD, *tables)), encoding="utf-8")
    return load(file, folder)


def faults(folder: Path, *tables: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, *tables)
    found: dict[str, str] = {}
    for fault in caught.value.faults:
        found[fault.key] = f"{found.get(fault.key, '')} {fault.what} {fault.hint}"
    return found


def test_what_signals_share_is_written_once(tmp_path: Path) -> None:
    config = loaded(tmp_path, OVEN)
    signals = {
        "zone_1": Sampled("zone_1", 0.5, False, 600_000, "degC"),
        "zone_2": Sampled("zone_2", 2.0, True, 300_000),
    }
    assert config.telemetry == (TelemetryTable("oven", "packer", signals),)
    first, second = (one for one in config.sources["bus-1"].signals if one.table)
    assert (first.name, first.table, first.every) == (
        "telemetry/oven/zone_1", "oven", timedelta(milliseconds=250),
    )  # fmt: skip
    assert (second.every, second.address.identity()) == (
        timedelta(seconds=1), "unit 5 input 2 f32 words big",
    )  # fmt: skip
    assert first.address.identity() == "unit 4 input 0 f32 words big"
    assert units_of(config.telemetry) == {"packer/telemetry": b'{"units":{"oven":{"zone_1":"degC"}}}'}


def test_without_a_table_there_is_no_telemetry(tmp_path: Path) -> None:
    assert loaded(tmp_path).telemetry == ()


def test_every_fault_is_told_where_it_stands_and_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        OVEN.replace("unit = 4", "unti = 4").replace('"packer"', '"packr"').replace("0.5", '"half"'),
        "order = { input = 9 }\n",
        '[telemetry.bath]\nsource = "gun-1"\nlevel = { input = 1 }\n[telemetry.air]\nwarm = { input = 1 }\n',
        '[telemetry.none]\nsource = "bus-1"\n["telemetry"."a b"]\n"c d" = { source = "bux-1" }\n',
    )
    assert 'did you mean "unit"' in found["telemetry.oven.unti"]
    assert 'did you mean "packer"' in found["telemetry.oven.station"]
    assert "as a percentage" in found["telemetry.oven.deadband"]
    assert "stands for something else" in found["telemetry.oven.order"]
    assert "speaks for itself" in found["telemetry.bath.source"]
    assert "is missing" in found["telemetry.air.source"]
    assert "names no signal" in found["telemetry.none"]
    assert "not allowed" in found["telemetry.a b.c d"]
    assert 'did you mean "bus-1"' in found["telemetry.a b.source"]
    assert not [key for key in found if key.startswith("telemetry.oven.zone")]


@pytest.mark.parametrize(
    ("source", "says"),
    [('"bus-2"', "names no source"), ('"gun-1"', "speaks for itself"), ("3", "names no"), ('"odd"', "")],
)
def test_an_unknown_source_hides_no_other_fault(tmp_path: Path, source: str, says: str) -> None:
    found = faults(
        tmp_path,
        '[source.odd]\ntype = "none"\n',
        f'[telemetry.oven]\nsource = {source}\nevery = "soon"\nunti = 4\nunit = 3\n',
        'zone = { input = 0, as = "f32", deadband = "half", silence = 5, node = "i=1", dedband = 2 }\n',
    )
    assert says in found.pop("telemetry.oven.source", "")
    found.pop("source.odd.type")
    assert found.keys() == {
        "telemetry.oven.every", "telemetry.oven.unti", "telemetry.oven.zone.deadband",
        "telemetry.oven.zone.silence", "telemetry.oven.zone.dedband",
    }  # fmt: skip
    assert 'did you mean "deadband"' in found["telemetry.oven.zone.dedband"]
    assert 'did you mean "unit"' in found["telemetry.oven.unti"]


@pytest.mark.parametrize("written", ['"2"', "-0.1", "true", "inf", "nan", '"-1%"', "[1]"])
def test_a_deadband_is_a_number_or_a_percentage(tmp_path: Path, written: str) -> None:
    found = faults(tmp_path, OVEN.replace("deadband = 0.5", f"deadband = {written}"))
    assert list(found) == ["telemetry.oven.deadband"]


def test_a_table_must_be_a_table(tmp_path: Path) -> None:
    assert "must be a table" in faults(tmp_path, "[telemetry]\noven = 3\n")["telemetry.oven"]


def test_the_sample_line_has_telemetry() -> None:
    config = load(Path(__file__).parents[2] / "config" / "press-line.toml")
    [table] = config.telemetry
    assert (table.name, table.station, len(table.signals)) == ("oven", "packer", 2)
