"""The line's TOML: what is valid, the file itself, and durations."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import load
from edge.contract import parse_duration
from edge.errors import ConfigError
from edge.production.line import Role
from tests.unit import config_support
from tests.unit.config_support import VALID, changed, check

file = config_support.file


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
