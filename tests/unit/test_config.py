"""The line's TOML: what is valid, and every way of being wrong, each named with its file, key and fix."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import LineConfig, load
from edge.contract import parse_duration
from edge.errors import ConfigError, Fault
from edge.production.line import Role

VALID = """\
[line]
name = "line-1"
path = "acme/leeds/assembly"
timezone = "Europe/London"
data = "state"
badge = "optional"

[[order]]
id = "WO-1001"
item = "P7"
revision = "C"
quantity = 100
operations = [10, 20]

[[order]]
id = "WO-1002"
item = "P8"
quantity = 50

[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:1502"

[source.press-plc]
type = "opcua"
endpoint = "opc.tcp://127.0.0.1:4840"
user = "lineside"
password = { credential = "press-plc" }

[source.gun-1]
type = "serial-scanner"
port = "/dev/serial/by-id/gun"

[source.rig-1]
type = "testrig"
port = "/dev/serial/by-id/rig"

[[station]]
name = "press"
ideal_cycle = "6s"
scanner = "gun-1"
rig = "rig-1"
total = { source = "press-plc", node = "ns=2;s=Total", counter = "u32", parts_per_count = 4 }
reject = { source = "press-plc", node = "ns=2;s=Reject", counter = "u32" }
state = { source = "press-plc", node = "ns=2;s=State", map = "packml" }

[[station]]
name = "packer"
ideal_cycle = "2s"
fastest_cycle = "1500ms"
stop_after = "1min"
good = { source = "plc", unit = 3, holding = 100, as = "u32", words = "little", every = "100ms" }
state = { source = "plc", unit = 3, coil = 1, map = { 0 = "Stopped", 1 = "Execute" } }

[sink.file]
type = "file"

[sink.uns]
type = "mqtt"
broker = ["mqtt://broker-a:1883", "mqtts://broker-b"]

[sink.plant-influx]
type = "influxdb"
url = "http://influx:8086"
bucket = "line-1"
token = { env = "INFLUX_TOKEN" }
linger = "200ms"

[board]
port = 8081
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "line.toml"


def check(file: Path, text: str | bytes) -> LineConfig:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(file)


def faults(file: Path, text: str | bytes) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        check(file, text)
    assert all(fault.file == str(file) for fault in caught.value.faults)
    return list(caught.value.faults)


def changed(old: str, new: str) -> str:
    assert VALID.count(old) == 1, f"{old!r} must stand there once"
    return VALID.replace(old, new)


# --- valid ----------------------------------------------------------------------------------


def test_a_valid_file_is_a_line(file: Path) -> None:
    config = check(file, VALID)
    press, packer = config.line.stations
    assert [(one.signal, one.role, one.modulus) for one in press.counters] == [
        ("press.total", Role.TOTAL, 1 << 32),
        ("press.reject", Role.REJECT, 1 << 32),
    ]
    assert (press.gun, press.rig, press.state_signal, press.state_map["6"]) == (
        "gun-1",
        "rig-1",
        "press.state",
        "Execute",
    )
    assert (press.ideal_cycle_ms, press.fastest_cycle_ms, press.stop_after_ms) == (6000, 3000, 30_000)
    assert (packer.fastest_cycle_ms, packer.stop_after_ms) == (1500, 60_000)
    assert [one.parts_per_count for one in (*press.counters, *packer.counters)] == [4, 1, 1]
    assert packer.state_map == {"0": "Stopped", "1": "Execute"}
    assert {name: len(one.signals) for name, one in config.sources.items()} == {
        "plc": 2,
        "press-plc": 3,
        "gun-1": 0,
        "rig-1": 0,
    }
    assert [signal.every for signal in config.sources["plc"].signals] == [
        timedelta(milliseconds=100),
        timedelta(milliseconds=250),
    ]
    assert list(config.sinks) == ["file", "uns", "plant-influx"]
    assert (config.line.badge_required, config.board.port, config.timezone) == (False, 8081, "Europe/London")
    assert config.journal == file.parent / "state" / "journal.db"
    assert config.line.orders["WO-1001"].operations == (10, 20)


def test_without_a_sink_there_is_a_file(file: Path) -> None:
    config = check(file, VALID[: VALID.index("[sink.file]")])
    assert [(name, one.settings.type) for name, one in config.sinks.items()] == [("file", "file")]


def test_another_address_or_decoding_is_another_counter(file: Path) -> None:
    """A remapped or swapped counter starts a new baseline; an unrelated key does not."""

    def key(text: str) -> str:
        return check(file, text).line.stations[1].counters[0].key

    keys = {
        key(VALID),
        key(changed("holding = 100", "holding = 102")),
        key(changed("unit = 3, holding", "unit = 4, holding")),
        key(changed('words = "little", every', 'words = "big", every')),
        key(changed('as = "u32", words = "little", every', 'as = "u64", words = "little", every')),
        key(
            changed('source = "plc", unit = 3, holding = 100', 'source = "plc-2", unit = 3, holding = 100')
            + '[source.plc-2]\ntype = "modbus"\nhost = "tcp://127.0.0.2"\n'
        ),
    }
    assert len(keys) == 6
    assert key(changed('every = "100ms"', 'every = "5s"')) == key(VALID)
    assert key(changed('every = "100ms"', "parts_per_count = 2")) == key(VALID)


@pytest.mark.parametrize("name", ["demo.toml", "press-line.toml"])
def test_the_samples_are_valid(name: str) -> None:
    assert load(Path(__file__).parent.parent.parent / "config" / name).line.stations


# --- the file itself --------------------------------------------------------------------------


def test_a_missing_file(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"line\.toml: there is no such file \(.*press-line\.toml"):
        load(file)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "line: is missing"),
        (b"[line\nname = 1", r"is not valid TOML: .*line 1, column 6"),
        (b"[line]\nname = 'a'\nname = 'b'", "is not valid TOML"),
        (b"\xff\xfe\x00", "is not UTF-8 text: .* at byte 0"),
        ('[line]\nname = "caf\xe9"'.encode("latin-1"), "is not UTF-8 text"),
        (b"\x00", "is not valid TOML"),
        (b"a = " + b"9" * 5000, "TOML|cannot be read"),
        (b"a = " + b"[" * 5000, "TOML|too deeply"),
        (b"a = " + b"{a=" * 5000, "TOML|too deeply"),
        (b"\xef\xbb\xbf[line]\nname = 'line-1'\n", "TOML|station"),
    ],
    ids=[
        "empty",
        "broken",
        "twice",
        "utf-16",
        "latin-1",
        "nul",
        "long number",
        "deep list",
        "deep table",
        "bom",
    ],
)
def test_what_is_no_toml(file: Path, content: bytes, says: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        load(file)


# --- one fault each -----------------------------------------------------------------------------

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


# --- never a traceback ----------------------------------------------------------------------------

PIECES = [
    '"',
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "#",
    "0",
    "-1",
    "1e999",
    "nan",
    "inf",
    "true",
    "[[station]]",
    "[source.x]",
    '"1s"',
    "9" * 30,
    "1979-05-27",
    "07:32:00",
    "a.b",
    '""',
    "[]",
    "{}",
    "\\u0000",
    "\ud7ff",
    "\x00",
    "type",
    "every",
]


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES) | st.text(max_size=5)),
        min_size=1,
        max_size=6,
    )
)
def test_no_change_of_the_text_makes_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[float, int, str]]
) -> None:
    text = VALID
    for place, length, new in cuts:
        at = int(place * len(text))
        text = text[:at] + new + text[at + length :]
    load_or_fault(tmp_path_factory.getbasetemp() / "mutated.toml", text)


VALUES = [
    "0",
    "-1",
    "1.5",
    "nan",
    "inf",
    "true",
    '""',
    '"x"',
    '"\\u0000"',
    "[]",
    "[1]",
    '["x"]',
    "{}",
    "{ a = 1 }",
    "1979-05-27",
    "07:32:00",
    "9" * 25,
    '"' + "9" * 400 + 's"',
    '"99999999999y"',
    "[[]]",
    '{ source = "plc" }',
    '"\\ud7ff"',
    '"🏭"',
    '"-"',
    '"/"',
]


@given(st.integers(0, VALID.count(" = ") - 1), st.sampled_from(VALUES))
def test_no_value_in_the_place_of_another_makes_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, which: int, value: str
) -> None:
    lines = [place for place, text in enumerate(VALID.splitlines()) if " = " in text]
    text = VALID.splitlines()
    place = lines[which % len(lines)]
    text[place] = f"{text[place].split(' = ')[0]} = {value}"
    load_or_fault(tmp_path_factory.getbasetemp() / "replaced.toml", "\n".join(text))


def load_or_fault(file: Path, text: str) -> None:
    """Either it is valid, or every fault has a sentence; anything else that is raised fails the test."""
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load(file)
    except ConfigError as error:
        told = [fault for fault in error.faults if fault.what]
    else:
        return
    assert told


# --- durations --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("250ms", timedelta(milliseconds=250)),
        ("12s", timedelta(seconds=12)),
        ("1.5 s", timedelta(seconds=1.5)),
        ("2min", timedelta(minutes=2)),
        ("2m", timedelta(minutes=2)),
        ("8h", timedelta(hours=8)),
        ("30d", timedelta(days=30)),
        (" 1s ", timedelta(seconds=1)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_written_as_people_write_it(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@given(st.integers(0, 10**5), st.sampled_from([("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)]))
def test_every_whole_duration(number: int, unit: tuple[str, int]) -> None:
    assert parse_duration(f"{number}{unit[0]}") == timedelta(milliseconds=number * unit[1])


@given(
    st.text()
    | st.integers()
    | st.floats()
    | st.none()
    | st.from_regex(r"[0-9.]*(ms|s|min|h|d|y)", fullmatch=True)
)
def test_what_is_no_duration_is_a_value_error(value: object) -> None:
    try:
        duration = parse_duration(value)
    except ValueError:
        return
    assert duration >= timedelta(0)


@pytest.mark.parametrize("value", ["9" * 400 + "s", "99999999999y", "-1s", "1", "s", "", "1 hour", 5, None])
def test_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match=r"duration|long"):
        parse_duration(value)
