"""One fault each in a line's TOML, named with its file, key and fix."""

from pathlib import Path

import pytest

from edge.errors import ConfigError, Fault
from tests.unit import config_support
from tests.unit.config_support import VALID, changed, check

file = config_support.file


def faults(file: Path, text: str | bytes) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        check(file, text)
    assert all(fault.file == str(file) for fault in caught.value.faults)
    return list(caught.value.faults)


ONE_FAULT = [
    ("[line]", "[lime]", "line", "is missing"),
    ("[board]", "[bored]", "bored", 'did you mean "board"'),
    ('name = "line-1"', "", "line.name", "is missing"),
    ('name = "line-1"', 'name = "line 1"', "line.name", "character that is not allowed"),
    ('name = "line-1"', "name = 7", "line.name", "must be text in quotes, found 7"),
    ("Europe/London", "Europe/Londen", "line.timezone", "is no time zone"),
    ("Europe/London", "", "line.timezone", "is no time zone"),
    ("Europe/London", "../../etc/passwd", "line.timezone", "is no time zone"),
    ("acme/leeds", "acme#/+", "line.path", "not allowed"),
    ('badge = "optional"', 'badge = "maybe"', "line.badge", "required"),
    ('badge = "optional"', 'budge = "optional"', "line.budge", 'did you mean "badge"'),
    ('data = "state"', 'data = "a\\u0000b"', "line.data", ""),
    ('id = "WO-1002"', 'id = "WO-1001"', "order[WO-1001].id", "2 orders have this id"),
    ('id = "WO-1002"', 'id = "wo 1002"', "order[wo 1002].id", "not allowed"),
    ('id = "WO-1002"', 'id = "WO-1001-10"', "order[WO-1001-10].id", "WO-1001"),
    ("quantity = 50", "quantity = 0", "order[WO-1002].quantity", "greater than 0"),
    ("quantity = 50", "quantity = 50.5", "order[WO-1002].quantity", "whole number, found 50.5"),
    ("quantity = 50", "quantity = true", "order[WO-1002].quantity", "whole number"),
    ("quantity = 50", "quantity = 99999999999999999999", "order[WO-1002].quantity", ""),
    ("operations = [10, 20]", 'operations = [10, "20"]', "order[WO-1001].operations[2]", "whole number"),
    ("operations = [10, 20]", "operations = 10", "order[WO-1001].operations", "must be a list in [ ]"),
    ("operations = [10, 20]", "operations = [10, 10]", "order[WO-1001].operations", ""),
    ('type = "modbus"', 'type = "modbuss"', "source.plc.type", 'did you mean "modbus"'),
    ('type = "modbus"', "", "source.plc.type", "is missing"),
    ('type = "modbus"', 'type = "mqtt"', "source.plc.type", "not a source|no source"),
    (
        'host = "tcp://127.0.0.1:1502"',
        'hots = "tcp://127.0.0.1:1502"',
        "source.plc.hots",
        'did you mean "host"',
    ),
    (
        'credential = "press-plc"',
        'credentials = "press-plc"',
        "source.press-plc.password.credentials",
        'did you mean "credential"',
    ),
    (
        '{ credential = "press-plc" }',
        '{ credential = "a", env = "B" }',
        "source.press-plc.password",
        "exactly one",
    ),
    (
        '{ credential = "press-plc" }',
        '"hunter2"',
        "source.press-plc.password",
        "a secret does not belong here",
    ),
    ('{ env = "INFLUX_TOKEN" }', '"hunter2"', "sink.plant-influx.token", "a secret does not belong here"),
    ('name = "packer"', 'name = "press"', "station[press].name", "2 stations have this name"),
    ('name = "packer"', "", "station[2].name", "is missing"),
    ('name = "packer"', 'name = "pack/er"', "station[pack/er].name", "not allowed"),
    (
        'ideal_cycle = "2s"',
        "ideal_cycle = 2",
        "station[packer].ideal_cycle",
        "write a duration with its unit",
    ),
    ('ideal_cycle = "2s"', 'ideal_cycle = "0s"', "station[packer].ideal_cycle", "zero|millisecond"),
    ('ideal_cycle = "2s"', 'ideal_cicle = "2s"', "station[packer].ideal_cicle", 'did you mean "ideal_cycle"'),
    ('ideal_cycle = "2s"', 'ideal_cycle = "99999999999y"', "station[packer].ideal_cycle", ""),
    ('scanner = "gun-1"', 'scanner = "gun-2"', "station[press].scanner", 'did you mean "gun-1"'),
    ('scanner = "gun-1"', 'scanner = "plc"', "station[press].scanner", "read by address"),
    ('scanner = "gun-1"', 'scanner = "rig-1"', "station[press].scanner", "rig"),
    ('rig = "rig-1"', 'rig = "gun-1"', "station[press].rig", "gun-1"),
    (
        'source = "plc", unit = 3, holding',
        'source = "plx", unit = 3, holding',
        "station[packer].good.source",
        'did you mean "plc"',
    ),
    ('source = "plc", unit = 3, holding', "unit = 3, holding", "station[packer].good.source", "is missing"),
    (
        'source = "plc", unit = 3, holding',
        'source = "gun-1", unit = 3, holding',
        "station[packer].good.source",
        "speaks for itself",
    ),
    ("unit = 3, holding", "unt = 3, holding", "station[packer].good.unt", 'did you mean "unit"'),
    ("holding = 100", "holdin = 100", "station[packer].good.holdin", 'did you mean "holding"'),
    (
        "parts_per_count = 4",
        "parts_per_count = 0",
        "station[press].total.parts_per_count",
        "greater than or equal to 1",
    ),
    (
        "parts_per_count = 4",
        "parts_per_cout = 4",
        "station[press].total.parts_per_cout",
        'did you mean "parts_per_count"',
    ),
    ('Total", counter = "u32"', 'Total"', "station[press].total.counter", "where does it roll over"),
    ('Total", counter = "u32"', 'Total", counter = "u33"', "station[press].total.counter", "u32"),
    ("ns=2;s=Reject", "ns=2;s=Total", "station[press].reject", "the same counter as press.total"),
    (
        'good = { source = "plc"',
        'reject = { source = "plc"',
        "station[packer].reject",
        "needs a total or a good",
    ),
    ('map = "packml"', 'map = "packm"', "station[press].state.map", 'write map = "packml"'),
    ('map = "packml"', 'mapp = "packml"', "station[press].state.mapp", 'did you mean "map"'),
    (
        'map = { 0 = "Stopped", 1 = "Execute" }',
        "map = { 0 = 1 }",
        "station[packer].state.map",
        "or a table such as",
    ),
    ('every = "100ms"', 'every = "often"', "station[packer].good.every", "with its unit"),
    ('every = "100ms"', 'every = "0.001ms"', "station[packer].good.every", ""),
    ('type = "mqtt"', 'type = "modbus"', "sink.uns.type", "not a sink|no sink"),
    ('bucket = "line-1"', "", "sink.plant-influx.bucket", "is missing"),
    ('linger = "200ms"', "batch = 0", "sink.plant-influx.batch", "greater than"),
    ('"mqtts://broker-b"]', "7]", "sink.uns.broker[2]", "text"),
    ('"mqtts://broker-b"]', '"http://broker-b"]', "sink.uns.broker", "is not a broker"),
    ("port = 8081", "port = 80810", "board.port", "65535"),
    ("port = 8081", 'port = "8081"', "board.port", "whole number"),
    ("[source.gun-1]", '[source."a/b"]', "source.a/b", "not allowed"),
    ("by-id/rig", "by-id/gun", "source.rig-1", "is already used by source.gun-1"),
]


@pytest.mark.parametrize(
    ("old", "new", "key", "says"), ONE_FAULT, ids=[f"{key}: {new[:24]}" for _, new, key, _ in ONE_FAULT]
)
def test_a_fault_is_named_with_its_key_and_its_fix(
    file: Path, old: str, new: str, key: str, says: str
) -> None:
    found = faults(file, changed(old, new))
    about = [str(fault) for fault in found if fault.key == key]
    assert about, [str(fault) for fault in found]
    assert any(word in text for text in about for word in says.split("|")), about


@pytest.mark.parametrize("old", ['{ credential = "press-plc" }', '{ env = "INFLUX_TOKEN" }'])
def test_a_literal_secret_is_refused_and_not_repeated(file: Path, old: str) -> None:
    """The fault goes to terminals and logs, which more people read than the file."""
    for fault in faults(file, changed(old, '"hunter2"')):
        assert "hunter2" not in str(fault)


@pytest.mark.parametrize("name", ["tick", "agent", "press.total", "packer.state"])
def test_a_gun_cannot_have_the_name_of_another_signal(file: Path, name: str) -> None:
    """A gun speaks under its source's name: as `tick` its scans would pass for the time."""
    text = VALID.replace('"gun-1"', f'"{name}"').replace("[source.gun-1]", f'[source."{name}"]')
    assert any(name in fault.key and fault.what for fault in faults(file, text))


@pytest.mark.parametrize(
    "new",
    [
        "line = 7",
        "station = 7",
        "order = {}",
        "source = []",
        "source = { plc = 7 }",
        "sink = 'x'",
        "board = []",
    ],
)
def test_a_table_that_is_something_else(file: Path, new: str) -> None:
    key = new.split(" ", maxsplit=1)[0]
    assert [fault for fault in faults(file, f"{new}\n") if fault.key.startswith(key)]


def test_a_reserved_word_is_no_station_without_a_sign(file: Path) -> None:
    """One fault leads to no other: what hangs on a broken table is not blamed."""
    found = faults(
        file, changed('endpoint = "opc.tcp://127.0.0.1:4840"', 'endpoint = "opc.tcp//127.0.0.1:4840"')
    )
    assert [fault.key for fault in found] == ["source.press-plc.endpoint"]
    found = faults(file, changed('type = "opcua"', 'type = "opcuaa"'))
    assert [fault.key for fault in found] == ["source.press-plc.type"]


def test_every_fault_is_told_at_once(file: Path) -> None:
    text = VALID
    for old, new in [
        ("Europe/London", "Europe/Londen"),
        ("quantity = 50", "quantity = -1"),
        ('type = "modbus"', 'type = "modbuss"'),
        ('scanner = "gun-1"', 'scanner = "gum-1"'),
        ('ideal_cycle = "2s"', "ideal_cycle = 2"),
        ('type = "mqtt"', 'type = "mqt"'),
        ("port = 8081", "port = -1"),
        ("[board]", "[bord]\n[board]"),
        ('node = "ns=2;s=Reject"', 'nod = "ns=2;s=Reject"'),
    ]:
        text = text.replace(old, new)
    keys = {fault.key for fault in faults(file, text)}
    assert keys >= {
        "line.timezone",
        "order[WO-1002].quantity",
        "source.plc.type",
        "station[press].scanner",
        "station[packer].ideal_cycle",
        "sink.uns.type",
        "board.port",
        "bord",
        "station[press].reject.nod",
    }
