"""A station that follows a model: its signals are those that the source knows of such a machine."""

from pathlib import Path
from typing import Any

import pytest

from edge.config import LineConfig, load
from edge.contract import Signal
from edge.errors import ConfigError
from edge.production.line import Role

SOURCE = """\
[line]
name = "line-1"

[source.filler-plc]
type = "opcua"
endpoint = "opc.tcp://127.0.0.1:4840"
security = "None"

[source.other]
type = "modbus"
host = "tcp://127.0.0.1:1502"

[[station]]
name = "filler"
ideal_cycle = "1s"
"""
WORDS = "'total', 'good', 'reject', 'state' or 'mode'"
PACKML = 'source = "filler-plc"\nmodel = "packml"\n'


def check(tmp_path: Path, keys: str) -> LineConfig:
    file = tmp_path / "line.toml"
    file.write_text(SOURCE + keys, encoding="utf-8")
    return load(file)


def signals(config: LineConfig, source: str = "filler-plc") -> dict[str, Signal[Any]]:
    return {one.name: one for one in config.sources[source].signals}


def faults(tmp_path: Path, keys: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check(tmp_path, keys)
    return [
        f"{one.key}: {one.what} ({one.hint})" if one.hint else f"{one.key}: {one.what}"
        for one in caught.value.faults
    ]


def test_packml_gives_counters_state_and_mode(tmp_path: Path) -> None:
    config = check(tmp_path, PACKML + 'machine = "Filler"\n')
    (filler,) = config.line.stations
    assert [(one.role, one.modulus) for one in filler.counters] == [
        (Role.TOTAL, 1 << 31),
        (Role.REJECT, 1 << 31),
    ]
    assert (filler.state_signal, filler.mode_signal) == ("filler.state", "filler.mode")
    assert (filler.state_map["6"], filler.state_map["Execute"], filler.state_map["11"]) == (
        "Execute",
        "Execute",
        "Held",
    )
    assert (filler.mode_map["1"], filler.mode_map["2"]) == ("Processing", "Maintenance")
    assert filler.sources == ("filler-plc",)
    found = signals(config)
    assert {
        name: (one.address.model, one.address.machine, one.address.part, one.bits)
        for name, one in found.items()
    } == {
        "filler.total": ("packml", "Filler", "total", 31),
        "filler.reject": ("packml", "Filler", "reject", 31),
        "filler.state": ("packml", "Filler", "state", None),
        "filler.mode": ("packml", "Filler", "mode", None),
    }


def test_machinery_counts_its_cycles(tmp_path: Path) -> None:
    (press,) = check(tmp_path, PACKML.replace("packml", "machinery")).line.stations
    assert [(one.role, one.modulus) for one in press.counters] == [(Role.TOTAL, 1 << 32)]
    assert (press.state_map["3"], press.state_map["Executing"], press.state_map["NotExecuting"]) == (
        "Execute",
        "Execute",
        "Stopped",
    )
    assert (press.mode_map["3"], press.mode_map["Setup"]) == ("Processing", "Setup")


def test_a_key_is_added_to_the_models(tmp_path: Path) -> None:
    config = check(tmp_path, PACKML + 'total = { parts_per_count = 4, counter = "u32", every = "1s" }\n')
    total = config.line.stations[0].counters[0]
    assert (total.parts_per_count, total.modulus) == (4, 1 << 32)
    one = signals(config)["filler.total"]
    assert (one.address.part, one.every.total_seconds(), one.bits) == ("total", 1.0, 32)


def test_a_signal_of_its_own_stands_as_it_is(tmp_path: Path) -> None:
    config = check(
        tmp_path,
        PACKML + 'state = { source = "filler-plc", node = "ns=2;s=State", map = { 1 = "Execute" } }\n',
    )
    assert config.line.stations[0].state_map == {"1": "Execute"}
    assert signals(config)["filler.state"].address.node == "ns=2;s=State"
    assert signals(config)["filler.mode"].address.part == "mode"


def test_a_signal_of_another_source_stands_beside_the_model(tmp_path: Path) -> None:
    config = check(tmp_path, PACKML + 'reject = { source = "other", holding = 1, as = "u16" }\n')
    assert list(signals(config, "other")) == ["filler.reject"]
    assert config.line.stations[0].sources == ("filler-plc", "other")


def test_good_parts_take_the_place_of_the_total(tmp_path: Path) -> None:
    good = 'good = { source = "filler-plc", node = "ns=2;s=Good", counter = "u32" }\n'
    config = check(tmp_path, PACKML + good)
    assert [one.role for one in config.line.stations[0].counters] == [Role.GOOD, Role.REJECT]


def test_what_the_machine_does_not_have_is_left_out(tmp_path: Path) -> None:
    config = check(tmp_path, PACKML + 'without = ["reject", "mode"]\n')
    assert list(signals(config)) == ["filler.total", "filler.state"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            'model = "packml"\n',
            ["station[filler].source: is missing: what is the machine of this model read from?"],
        ),
        (
            PACKML.replace("filler-plc", "filler-plx"),
            ["station[filler].source: names no source: 'filler-plx' (did you mean \"filler-plc\"?)"],
        ),
        (
            PACKML.replace("packml", "packmel"),
            [
                'station[filler].model: "packmel" is no model that source "filler-plc" knows '
                "(valid: packml, machinery)"
            ],
        ),
        (
            PACKML.replace("filler-plc", "other"),
            [
                'station[filler].model: "packml" is no model that source "other" knows '
                "(sources with models are of type opcua)"
            ],
        ),
        (
            'source = "filler-plc"\n',
            ['station[filler].source: does nothing without model (such as model = "packml")'],
        ),
        (
            PACKML + 'without = ["total"]\n',
            ["station[filler].reject: needs a total or a good counter beside it"],
        ),
        (
            PACKML + 'total = { machin = "x" }\n',
            ['station[filler].total.machin: is not a key here (did you mean "machine"?)'],
        ),
        (
            PACKML + 'without = ["speed"]\n',
            ["station[filler].without[1]: input should be " + WORDS + ", found 'speed'"],
        ),
    ],
)
def test_a_model_that_is_wrong_is_told_once(tmp_path: Path, keys: str, told: list[str]) -> None:
    assert faults(tmp_path, keys) == told


def test_one_counter_at_two_stations_is_told(tmp_path: Path) -> None:
    second = '[[station]]\nname = "twin"\nideal_cycle = "1s"\n'
    found = faults(tmp_path, PACKML + second + PACKML)
    assert any("is the same counter as filler.total" in one for one in found)


# --- the mode by itself ---------------------------------------------------------------------------


def test_a_mode_has_a_map_of_its_own(tmp_path: Path) -> None:
    mode = 'mode = { source = "other", holding = 5, as = "u16", map = { 1 = "Processing", 2 = "Setup" } }\n'
    config = check(tmp_path, mode)
    (filler,) = config.line.stations
    assert (filler.mode_signal, filler.mode_map) == ("filler.mode", {"1": "Processing", "2": "Setup"})
    assert filler.state_signal is None
    assert list(signals(config, "other")) == ["filler.mode"]


@pytest.mark.parametrize("written", ['"packmel"', "{}", "{ 1 = 2 }", "7"])
def test_a_mode_needs_names(tmp_path: Path, written: str) -> None:
    (told,) = faults(tmp_path, f'mode = {{ source = "other", holding = 5, as = "u16", map = {written} }}\n')
    assert told.startswith(
        'station[filler].mode.map: write map = "packml", map = "machinery", or a table such as'
    )


# --- what an address cannot be used for -----------------------------------------------------------


def test_an_address_that_does_not_fit_its_use_is_told(tmp_path: Path) -> None:
    total = 'total = { source = "filler-plc", node = "i=1", counter = "u32", server_deadband = 5 }\n'
    assert faults(tmp_path, total) == [
        "station[filler].total: server_deadband is for telemetry: a counter is read as it is"
    ]
    total = 'total = { source = "filler-plc", node = "i=1", counter = "u32", deadband = 5 }\n'
    assert faults(tmp_path, total) == [
        "station[filler].total.deadband: is a key of telemetry: a counter is read as it is"
    ]
    level = 'level = { node = "i=1", server_deadband = "2%", deadband = 1 }\n'
    table = f'[telemetry.tank]\nsource = "filler-plc"\n{level}'
    assert [one.table for one in check(tmp_path, table).sources["filler-plc"].signals] == ["tank"]
