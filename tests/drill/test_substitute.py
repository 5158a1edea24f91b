"""What the drill's agent is given: the user's file, and nothing of his outside it."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import load
from edge.drill.options import parse_length
from edge.drill.substitute import Places, is_plain_rig, substitute
from edge.drill.toml import to_toml

PRESS_LINE = Path("config/press-line.toml")
PLACES = Places(
    {
        "press-plc": "opc.tcp://127.0.0.1:1", "bus-1": "/tmp/d/bus-1", "gun-1": "/tmp/d/gun-1",
        "gun-2": "/tmp/d/gun-2", "rig-1": "/tmp/d/rig-1",
    },
    {"archive": "/tmp/d/archive", "plant-influx": "http://127.0.0.1:2", "uns": "mqtt://127.0.0.1:3"},
)  # fmt: skip


def press_line() -> dict[str, Any]:
    return tomllib.loads(PRESS_LINE.read_text(encoding="utf-8"))


def drilled(document: dict[str, Any], places: Places = PLACES) -> dict[str, Any]:
    """As the agent reads it."""
    return tomllib.loads(to_toml(substitute(document, places).document))


def test_nothing_of_the_users_own_world_is_left(tmp_path: Path) -> None:
    text = to_toml(substitute(press_line(), PLACES).document)
    for his in ("192.168", "plant.local", "/dev/", "credential", "mqtts", "https", "8080"):
        assert his not in text
    file = tmp_path / "drill.toml"
    file.write_text(text, encoding="utf-8")
    (unprotected,) = load(file, tmp_path).warnings
    assert 'security = "None"' in unprotected


def test_what_says_how_his_line_works_stays() -> None:
    mine, his = drilled(press_line()), press_line()
    assert mine["line"] == {key: his["line"][key] for key in ("name", "path", "timezone", "badge")}
    assert mine["order"] == his["order"]
    assert mine["source"]["bus-1"] == his["source"]["bus-1"] | {"port": "/tmp/d/bus-1"}
    assert mine["source"]["rig-1"]["checksum"] == "xor"
    for of_mine, of_his in zip(mine["station"], his["station"], strict=True):
        assert {
            key: value for key, value in of_mine.items() if key in ("total", "good", "reject", "state")
        } == {key: value for key, value in of_his.items() if key in ("total", "good", "reject", "state")}
    assert mine["sink"]["archive"] == his["sink"]["archive"] | {"folder": "/tmp/d/archive"}
    assert mine["sink"]["uns"] == {"type": "mqtt", "broker": "mqtt://127.0.0.1:3"}


def test_what_is_changed_is_told() -> None:
    notes = "\n".join(substitute(press_line(), PLACES).notes)
    for word in (
        "press-plc: user, password",
        "plant-influx: token",
        "press-3 makes a part every 500 ms, not 6s",
    ):
        assert word in notes


@pytest.mark.parametrize(
    ("keys", "stays"),
    [
        ({"separator": "|", "fields": {"unit": "SN"}, "pass": ["GUT"], "fail": ["SCHLECHT"]}, True),
        ({"handshake": "none", "end": "\x03"}, True),
        ({"handshake": "enq"}, False),
        ({"end": "idle"}, False),
        ({"begin": "\x02"}, False),
        ({"checksum": {"kind": "xor"}}, False),
        ({"unit": "scanned"}, False),
        ({"step": [{"name": "a", "at": "a"}]}, False),
        ({"format": "csv", "fields": {"unit": 1, "program": 2, "result": 3}}, False),
    ],
)  # fmt: skip
def test_a_rig_is_played_as_it_speaks_or_it_is_told(
    keys: dict[str, Any], stays: bool, tmp_path: Path
) -> None:
    document = press_line()
    document["source"]["rig-1"] = {"type": "testrig", "connect": "10.0.0.7:4001", "timeout": "1s", **keys}
    result = substitute(document, PLACES)
    assert result.document["source"]["rig-1"] == {
        "type": "testrig", "port": "/tmp/d/rig-1", **(keys if stays else {}),
    }  # fmt: skip
    assert any("rig-1" in note for note in result.notes) is not stays
    file = tmp_path / "drill.toml"
    file.write_text(to_toml(result.document), encoding="utf-8")
    settings = load(file, tmp_path).sources["rig-1"].settings
    assert is_plain_rig(settings.model_dump(by_alias=True, exclude_unset=True))


def test_a_gun_in_keyboard_mode_is_played_by_one_with_a_cable() -> None:
    his = press_line()
    keyboard = {"type": "hid-scanner", "device": "/dev/input/by-id/usb-A-event-kbd", "layout": "de"}
    his["source"]["gun-1"] = keyboard
    substituted = substitute(his, PLACES)
    assert substituted.document["source"]["gun-1"] == {"type": "serial-scanner", "port": "/tmp/d/gun-1"}
    assert "source.gun-1: the stand-in is a gun on a serial port" in "\n".join(substituted.notes)


def test_the_users_own_document_is_not_touched() -> None:
    document = press_line()
    substitute(document, PLACES)
    assert document == press_line()


def test_what_has_no_stand_in_is_left_out_with_all_that_names_it(tmp_path: Path) -> None:
    document = press_line()
    document["telemetry"] = {"oven": {"source": "bus-1"}, "tool": {"source": "press-plc"}}
    places = Places(
        {name: place for name, place in PLACES.sources.items() if name not in ("bus-1", "gun-1", "rig-1")},
        {name: place for name, place in PLACES.sinks.items() if name != "uns"},
    )
    result = substitute(document, places)
    stations = {one["name"]: one for one in result.document["station"]}
    assert "scanner" not in stations["press-3"]
    assert "total" in stations["press-3"]
    assert not {"good", "reject"} & stations["packer"].keys()
    assert "rig" not in stations["leak-test"]
    assert list(result.document["telemetry"]) == ["tool"]
    assert sum("is left out" in note for note in result.notes) == 4
    del result.document["telemetry"]
    file = tmp_path / "drill.toml"
    file.write_text(to_toml(result.document), encoding="utf-8")
    load(file, tmp_path)


def test_a_count_of_several_parts_takes_as_many_cycles() -> None:
    document = press_line()
    packer = document["station"][1]
    packer["good"]["parts_per_count"], packer["good"]["parts_by_item"] = 2, {"P7": 10}
    assert drilled(document)["station"][1]["ideal_cycle"] == "50ms"


def test_a_fast_line_is_left_as_it_is() -> None:
    document = press_line()
    document["station"][0] |= {"ideal_cycle": "100ms", "fastest_cycle": "80ms", "stop_after": "2s"}
    station = drilled(document)["station"][0]
    assert (station["ideal_cycle"], station["fastest_cycle"], station["stop_after"]) == (
        "100ms",
        "80ms",
        "2s",
    )


def test_outside_folders_and_clocks_are_left_out() -> None:
    document = press_line()
    document["line"] |= {"data": "/srv/journal", "record": "64MB", "clock": "require-ntp"}
    document["orders"] = {"folder": "/mnt/share"}
    document["sink"]["archive"]["linger"] = "1h"
    document["station"][1]["good"]["every"] = "1min"
    mine = drilled(document)
    assert not {"data", "record", "clock"} & mine["line"].keys()
    assert mine["orders"] == {"folder": "orders"}
    assert mine["sink"]["archive"]["linger"] == "1s"
    assert mine["station"][1]["good"]["every"] == "500ms"


# --- TOML ---------------------------------------------------------------------------------------

_SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
    | st.datetimes(timezones=st.just(None))
    | st.dates()
)
_KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_what_is_written_reads_the_same(document: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(document)) == document


def test_it_reads_as_people_write_it() -> None:
    text = to_toml({"line": {"name": "a"}, "sink": {"x": {"type": "file"}}, "station": [{"name": "s"}]})
    assert (
        re.sub(r"\n+", "\n", text)
        == '\n[line]\nname = "a"\n[sink.x]\ntype = "file"\n[[station]]\nname = "s"\n'
    )


@pytest.mark.parametrize(("text", "length_s"), [("1s", 1.0), ("10min", 600.0), ("2500ms", 2.5)])
def test_how_long_a_fault_lasts(text: str, length_s: float) -> None:
    assert parse_length(text) == length_s


@pytest.mark.parametrize("text", ["0s", "500ms", "11min", "soon", "5"])
def test_too_short_too_long_or_no_time_at_all(text: str) -> None:
    with pytest.raises(ValueError, match="--for"):
        parse_length(text)


def test_a_drill_writes_nothing_to_a_device() -> None:
    document = press_line()
    document["station"][0]["write"] = [{"what": "release", "source": "press-plc", "node": "ns=2;s=R"}]
    result = substitute(document, PLACES)
    assert "write" not in result.document["station"][0]
    assert "press-3: nothing is written to a device" in "\n".join(result.notes)


def test_a_stand_in_of_a_device_server_speaks_modbus_tcp_and_says_nothing_of_itself(tmp_path: Path) -> None:
    his = press_line()
    bus = his["source"]["bus-1"]
    del bus["port"]
    own = {"serial": {"holding": 1, "as": "u16"}, "heartbeat": {"holding": 2, "as": "u16"}}
    bus |= {
        "host": "rtu+tcp://192.168.0.9:4001",
        "worst_answer": "1s",
        "unit": {"3": own | {"timeout": "1s", "worst_answer": "2s"}},
    }
    place = "tcp://127.0.0.1:5"
    mine = drilled(his, Places(dict(PLACES.sources) | {"bus-1": place}, PLACES.sinks))
    kept = {"type": "modbus", "host": place, "timeout": bus["timeout"]}
    assert mine["source"]["bus-1"] == kept | {"unit": {"3": {"timeout": "1s"}}}
    file = tmp_path / "drill.toml"
    file.write_text(to_toml(mine), encoding="utf-8")
    assert load(file, tmp_path)
