"""What `lineside check` says of a Modbus line: the plan, its budget, what cannot be, what is doubtful."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters import modbus
from adapters._modbus.survey import survey
from edge.cli import app
from edge.contract import Signal, Survey, Target
from tests.adapters.modbus_support import settings, signal


def asked(keys: dict[str, Any], *signals: Signal[modbus.Address]) -> Survey:
    return survey(settings(**keys), signals, (), ())


# --- what check says ------------------------------------------------------------------------------

BUDGET = [
    "9600 baud, 11 bits a byte, 4.0 ms of silence between two frames; assumed: units begin their answer "
    "within 10.0 ms (say what it is, as answers_in)",
    "  unit 3 holding 100 to 104  5 registers, 2 wanted, up to 1 more along  every 500ms   41.5 ms",
    "  unit 4 holding 0           1 register, up to 1 more along             every 1s      47.3 ms",
    "2 requests, once each, take 88.9 ms; the line is in use for 13% of its time",
    "a fresh read or an output waits for 47.3 ms at the most while all units answer",
    "with 1 unit dead: 4.06 s until it is given up, then 1.96 s of each minute, 2.03 s at a stretch (misses "
    "4 readings of every 500ms); a cycle takes up to 2.08 s, the line is in use for 12%",
]


def test_the_plan_and_its_budget_are_shown() -> None:
    found = asked(
        {"port": "/dev/ttyS9", "baud": 9600, "unit": {"4": {"answers_in": "25ms"}}},
        signal("press.total", "u16", 0.5, unit=3, holding=100),
        signal("press.state", "u16", 0.5, unit=3, holding=104),
        signal("packer.total", "u16", 1.0, unit=4, holding=0),
    )
    assert list(found.lines) == BUDGET
    assert (found.faults, found.warnings) == ((), ())


def with_one_dead(every_s: float, slow_s: float) -> str:
    """Four units with two long requests each, one period for each of the two."""
    found = asked(
        {
            "port": "/dev/ttyS9", "baud": 9600, "parity": "none", "timeout": "300ms",
            "worst_answer": "300ms", "answers_in": "10ms",
        },
        *(
            signal(f"t{unit}.{at}.{word}", "u16", period, unit=unit, holding=at + word)
            for unit in (1, 2, 3, 4)
            for at, words, period in ((0, 20, every_s), (100, 30, slow_s))
            for word in range(words)
        ),
    )  # fmt: skip
    assert found.faults == ()
    [line] = [one for one in found.lines if one.startswith("with 1 unit dead")]
    return line


def test_a_reading_is_missed_where_a_dead_unit_and_the_others_take_more_than_the_period() -> None:
    """The dead unit takes less than the period, but with what is due besides it is more."""
    missed = with_one_dead(0.8, 0.8)
    assert "680.7 ms at a stretch (misses 1 reading of every 800ms); a cycle takes up to 1.16 s" in missed
    assert "misses" not in with_one_dead(1.2, 1.2)


def test_only_requests_of_the_shortest_period_make_it_miss_one() -> None:
    line = with_one_dead(1.0, 10.0)
    assert "misses" not in line
    assert "a cycle takes up to 1.16 s" in line


def test_requests_that_nothing_tells_apart_are_named() -> None:
    found = asked(
        {"port": "/dev/ttyS9", "baud": 9600, "answers_in": "1ms", "max_gap": 0},
        *(signal(f"s{at}.total", "u16", 1, holding=at) for at in (0, 50)),
    )
    words = (
        "2 requests as long as another of the unit: after each of them the line is listened to for up to 36"
    )
    assert any(words in line for line in found.lines)


def test_a_refusal_for_the_listening_says_so_and_what_helps() -> None:
    """Controllers that give four registers at once, and texts of four: nothing can be longer or shorter.

    Read every 10 s, the two of a unit go out far from each other; every 3 s they cannot.
    """
    known = {"port": "/dev/ttyS9", "baud": 9600, "parity": "none", "answers_in": "300ms", "max_registers": 4}
    texts = [
        signal(f"t{unit}.{name}", "text", 10, unit=unit, holding=at, length=4)
        for unit in range(1, 9)
        for name, at in (("pv", 0), ("al", 100))
    ]
    accepted = asked(known, *texts)
    assert accepted.faults == ()
    assert not any("is listened to" in line for line in accepted.lines)
    fast = [replace(text, every=timedelta(seconds=3)) for text in texts[:6]]
    [refused] = asked(known, *fast).faults
    assert "6 requests would take 19" in refused.what
    listening = ": 6 requests, such as unit 1 holding 0 to 3, as long as another of the unit, and"
    assert listening in refused.what
    assert refused.hint.startswith("let no two requests to one unit be equally long: one value less")
    shorter = [
        signal(f"t{unit}.{name}", "text", 3, unit=unit, holding=at, length=count)
        for unit in range(1, 4)
        for name, at, count in (("pv", 0, 4), ("al", 100, 3))
    ]
    mended = asked(known, *shorter)
    assert mended.faults == ()
    assert not any("is listened to" in line for line in mended.lines)


@pytest.mark.parametrize(
    ("keys", "signals", "words"),
    [
        (
            {"port": "/dev/ttyS9", "baud": 9600},
            [signal("a.total", "u16", 0.02, holding=0)],
            ["the periods cannot be kept: 1 request would take 132% of the line's time"],
        ),
        (
            {"port": "/dev/ttyS9", "baud": 9600},
            [
                signal("a.total", "u16", 0.1, holding=0),
                *(signal(f"t{at}", "u16", 10, unit=2, holding=at) for at in range(100)),
            ],
            [
                'every = "100ms" cannot be kept: unit 1 holding 0 takes 26.4 ms; unit 2 holding 0 to 99 may '
                "have just begun, 252.1 ms every 10s; with all else that is due by then 278.4 ms"
            ],
        ),
        (
            {"host": "tcp://plc"},
            [signal(f"s{at}.total", "u16", 0.005, holding=100 * at) for at in range(20)],
            ["20 requests would take 200% of the line's time"],
        ),
        ({"port": "/dev/ttyS9"}, [signal("a.total", "u16", 1, unit=248, holding=0)], ["units 1 to 247"]),
        (
            {"port": "/dev/ttyS9", "unit": {"1": {"max_registers": 2}}},
            [signal("a.total", "u64", 1, holding=0, words="big")],
            ["a.total: 4 registers in one piece, 0 to 3; max_registers lets unit 1 give 2 at once"],
        ),
        (
            {"host": "tcp://plc"},
            [signal(f"s{at}.total", "u16", 1, holding=at, together="x") for at in (0, 100)],
            ["s0.total, s100.total: 101 registers in one piece, 0 to 100"],
        ),
        (
            {"host": "tcp://plc"},
            [
                signal("a.total", "u16", 1, unit=1, holding=0, together="x"),
                signal("b.total", "u16", 1, unit=2, holding=0, together="x"),
            ],
            ['a.total, b.total are to be read together as "x", but are in unit 1 holding and in unit 2'],
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_fault_with_the_numbers(
    keys: dict[str, Any], signals: list[Signal[modbus.Address]], words: list[str]
) -> None:
    found = [one.what for one in asked(keys, *signals).faults]
    assert len(found) == len(words)
    for what, expected in zip(found, words, strict=True):
        assert expected in what


def test_what_is_only_assumed_refuses_nothing_and_what_is_known_does() -> None:
    signals = [signal(f"s{at}.total", "u16", 0.02, holding=100 * at) for at in range(6)]
    guessed = asked({"host": "tcp://plc"}, *signals)
    assert guessed.faults == ()
    assert "if a unit begins its answer within 5.0 ms, as is assumed: the periods" in guessed.warnings[0]
    assert asked({"host": "tcp://plc", "answers_in": "5ms"}, *signals).faults
    known = asked({"host": "tcp://plc", "answers_in": "1ms"}, *signals)
    assert (known.faults, known.warnings) == ((), ())


@pytest.mark.parametrize(
    ("keys", "more", "words"),
    [
        ({"unit": {"9": {"timeout": "1s"}}}, {}, "unit.9: no signal is of unit 9"),
        ({}, {"together": "lonely"}, 'a.total: nothing else is to be read together as "lonely"'),
        ({"answers_in": "220ms"}, {}, "the line is in use for 88% of its time"),
    ],
)
def test_what_is_doubtful_is_said(keys: dict[str, Any], more: dict[str, Any], words: str) -> None:
    found = asked({"host": "tcp://plc", **keys}, signal("a.total", "u16", 0.25, holding=0, **more))
    assert found.faults == ()
    assert any(words in warning for warning in found.warnings)


def test_looking_for_the_dead_too_often_is_said() -> None:
    found = asked(
        {"port": "/dev/ttyS9", "probe_every": "5s"},
        *(signal(f"s{unit}.total", "u16", 1, unit=unit, holding=0) for unit in (1, 2)),
    )
    assert any("a unit that is dead takes 17" in warning for warning in found.warnings)


def test_the_devices_own_places_are_part_of_the_plan() -> None:
    found = asked(
        {"host": "tcp://plc", "unit": {"1": {"uptime": {"holding": 4, "as": "u32", "words": "big"}}}},
        signal("a.total", "u16", 10, holding=0),
    )
    assert "unit 1 holding 0 to 5  6 registers, 3 wanted  every 10s" in found.lines[1]


def test_what_a_device_says_of_itself_keeps_to_its_limits_too() -> None:
    own = {"max_registers": 6, "serial": {"holding": 10, "as": "text", "length": 8}}
    found = asked({"host": "tcp://plc", "unit": {"1": own}}, signal("a.total", "u16", 1, holding=0))
    (fault,) = found.faults
    assert (fault.key, fault.signal) == ("unit.1", "")
    assert "unit 1 serial: 8 registers in one piece, 10 to 17" in fault.what


def written(width: int, **keys: Any) -> Target[modbus.Write]:
    place = modbus.Write.model_validate({"holding": 20, "as": "text", "length": width, **keys})
    return Target("press.order", place, timedelta(seconds=1))


def test_what_is_wider_than_one_request_reads_is_not_written() -> None:
    narrow = {"host": "tcp://plc", "max_registers": 100, "unit": {"3": {"max_registers": 4}}}
    [refused] = survey(settings(**narrow), (), (), [written(5, unit=3)]).faults
    assert refused.what == (
        "press.order is written in 5 registers, and could not be read back: max_registers lets unit 3 give 4 "
        "at once"
    )
    for fits in (written(4, unit=3), written(5)):
        assert survey(settings(**narrow), (), (), [fits]).faults == ()


def test_a_gateway_s_own_timeout_is_pointed_at_where_none_is_said() -> None:
    two = [signal("a.total", "u16", 1, unit=1, holding=0), signal("b.total", "u16", 1, unit=2, holding=0)]
    [warning] = asked({"host": "tcp://plc"}, *two).warnings
    assert "2 units behind one host, as of a gateway: timeout has to be longer than the gateway's" in warning
    assert asked({"host": "tcp://plc", "timeout": "2s"}, *two).warnings == ()
    assert asked({"host": "tcp://plc"}, two[0]).warnings == ()


@pytest.mark.parametrize(
    ("signals", "hint"),
    [
        (
            [signal(f"s{at}", "u16", 0.2, holding=at) for at in range(100)],
            "read less often or fewer values",
        ),
        (
            [signal(f"s{at}", "u16", 0.05, unit=unit, holding=at) for unit in (1, 2) for at in (0, 50)],
            "read less often, fewer values, longer requests (max_registers, max_gap) or some of the units on "
            "another line",
        ),
        (
            [signal("a", "u16", 0.04, holding=0), signal("b", "u16", 10, unit=2, holding=0)],
            "read it less often",
        ),
        (
            [
                signal("a", "u16", 0.04, holding=0),
                *(signal(f"b{at}", "u16", 10, unit=2, holding=at) for at in range(40)),
            ],
            "read it less often, or a smaller max_registers for unit 2",
        ),
    ],
)
def test_the_cure_is_one_that_helps(signals: list[Signal[modbus.Address]], hint: str) -> None:
    faults = asked({"port": "/dev/ttyS9", "baud": 9600, "answers_in": "5ms"}, *signals).faults
    assert faults[0].hint == hint


def test_no_unit_is_assumed_to_answer_before_it_can_know_that_the_request_has_ended() -> None:
    """3.5 bytes of silence at 1200 baud are more than what is assumed at other speeds."""
    slow = asked({"port": "/dev/ttyS9", "baud": 1200}, signal("a", "u16", 0.15, holding=0))
    assert "units begin their answer within 32.1 ms" in slow.lines[0]
    [fault] = slow.faults
    share = slow.lines[-2].split("in use for ")[1].split()[0]
    assert f"1 request would take {share} of the line's time" in fault.what


# --- a whole file ---------------------------------------------------------------------------------

LINE = """
[line]
name = "line-1"
[source.bus-1]
type = "modbus"
port = "{port}"
baud = 9600
[source.bus-1.unit.3]
timeot = "300ms"
max_gap = 500
[source.bus-1.unit.9]
timeout = "300ms"
[source.bus-1.unit.x]
[source.bus-2]
type = "modbus"
port = "/dev/ttyS8"
[[station]]
name = "press"
ideal_cycle = "2s"
total = {{ source = "bus-1", unit = 3, holding = 100, as = "u16", every = "20ms" }}
reject = {{ source = "bus-2", unit = 250, holding = 100, as = "u16", every = "5ms" }}
[telemetry.oven]
source = "bus-2"
every = "1s"
label = {{ holding = 0, as = "text", length = 120 }}
"""


def test_all_faults_of_all_sources_come_at_once_and_nothing_is_opened(tmp_path: Path) -> None:
    port = tmp_path / "port"
    os.mkfifo(port)  # to open it would wait for ever
    file = tmp_path / "line.toml"
    file.write_text(LINE.format(port=port), encoding="utf-8")
    found = CliRunner().invoke(app, ["check", str(file)])
    assert found.exit_code == 1
    for words in (
        "source.bus-1.unit.3.max_gap: input should be less than or equal to 121",
        'source.bus-1.unit.3.timeot: is not a key here (did you mean "timeout"?)',
        "source.bus-1.unit.x: is no unit",
        "station[press].reject: is of unit 250",
        "telemetry.oven.label: telemetry/oven/label: 120 registers in one piece",
        "source.bus-2: even if every unit answers at once, the periods cannot be kept",
    ):
        assert words in found.output
    assert "source.bus-1: even" not in found.output, "its settings have faults"


def test_a_mended_file_shows_the_plan_and_what_is_doubtful(tmp_path: Path) -> None:
    mended = LINE.format(port="/dev/ttyS7").replace("max_gap = 500", "").replace("[source.bus-1.unit.x]", "")
    for wrong, right in (
        ("timeot", "timeout"), ("20ms", "200ms"), ("5ms", "500ms"), ("250", "7"), ("120", "8")
    ):  # fmt: skip
        mended = mended.replace(wrong, right)
    file = tmp_path / "line.toml"
    file.write_text(mended, encoding="utf-8")
    found = CliRunner().invoke(app, ["check", str(file)])
    assert found.exit_code == 0, found.output
    assert "warning: source.bus-1: unit.9: no signal is of unit 9" in found.output
    assert "\n      unit 3 holding 100  1 register, up to 1 more along  every 200ms" in found.output
    assert "\n      unit 1 holding 0 to 7" in found.output
