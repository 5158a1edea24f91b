"""How long a line's requests take: by hand, by `lineside check`, and on a line as slow as its baud rate."""

import asyncio
import os
import statistics
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters import modbus
from adapters._modbus.budget import Cost, cost_of, costs_of, dead_units, load, pace_of, tight, usual
from adapters._modbus.lines import Parity, RtuTcpLine, SerialLine, TcpLine, octet_s
from adapters._modbus.plan import Block, Limits, plan_by_period
from adapters._modbus.points import point_of
from adapters._modbus.survey import survey
from adapters._modbus.units import Manner
from edge.cli import app
from edge.contract import Signal, Survey, Target
from tests.adapters.modbus_support import build_device, collecting, device, settings, signal, traced
from tests.support.intake import MemoryIntake

AT_ONCE = Manner(1.0, 2.0, 0.0, 0.001)
UNKNOWN = Manner(1.0, 2.0, 0.0, None)
BUS = SerialLine("/dev/ttyS9", 9600, "even", 1)


def block(count: int, table: Any = "holding", every_s: float = 1.0, unit: int = 1) -> Block:
    return Block((), unit, table, 0, count, every_s)


def cost(every_s: float, takes_s: float, unit: int = 1, lost_s: float = 1.0) -> Cost:
    return Cost(block(1, every_s=every_s, unit=unit), takes_s, takes_s, lost_s)


def asked(keys: dict[str, Any], *signals: Signal[modbus.Address]) -> Survey:
    return survey(settings(**keys), signals, (), ())


# --- one request ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parity", "stop_bits", "bits"),
    [("none", 1, 10), ("none", 2, 11), ("even", 1, 11), ("odd", 1, 11), ("even", 2, 12)],
)
def test_a_byte_has_as_many_bits_as_the_line_sends(parity: Parity, stop_bits: int, bits: int) -> None:
    assert octet_s(9600, parity, stop_bits) == pytest.approx(bits / 9600)


def test_a_request_takes_silence_bytes_and_the_unit_s_time() -> None:
    """8 bytes there, 5 and the data back; 3.5 characters before: at 9600 baud a byte takes 1.1458 ms."""
    pace = pace_of(BUS)
    for one, octets in ((block(10), 8 + 25), (block(1), 8 + 7), (block(17, "coil"), 8 + 8)):
        expected_s = (3.5 + octets) * 11 / 9600 + 0.001
        assert cost_of(one, pace, AT_ONCE).usual_s == pytest.approx(expected_s)
        assert cost_of(one, pace, AT_ONCE).least_s == pytest.approx(expected_s)
    guessed = cost_of(block(10), pace, UNKNOWN)
    assert guessed.usual_s - guessed.least_s == pytest.approx(0.010 - 3.5 * 11 / 9600)
    assert guessed.lost_s == pytest.approx((3.5 + 33) * 11 / 9600 + 1.0 + 2.0)


def test_above_19200_baud_the_silence_stays_and_a_device_may_need_more() -> None:
    fast = SerialLine("/dev/ttyS9", 115200, "none", 2)
    octets_s = 33 * 11 / 115200
    assert cost_of(block(10), pace_of(fast), AT_ONCE).usual_s == pytest.approx(0.00175 + octets_s + 0.001)
    slow = Manner(1.0, 2.0, 0.020, 0.001)
    assert cost_of(block(10), pace_of(fast), slow).usual_s == pytest.approx(0.020 + octets_s + 0.001)


def test_on_the_network_a_request_is_a_round_trip_and_behind_a_device_server_both() -> None:
    assert cost_of(block(100), pace_of(TcpLine("plc", 502)), UNKNOWN).usual_s == pytest.approx(0.005)
    behind = pace_of(RtuTcpLine("plc", 4001, 9600, "even", 1))
    on_the_bus = cost_of(block(100), pace_of(BUS), UNKNOWN).usual_s
    assert cost_of(block(100), behind, UNKNOWN).usual_s == pytest.approx(on_the_bus + 0.005)


def test_what_is_read_along_to_tell_answers_apart_is_counted_and_the_time_where_nothing_can_be() -> None:
    blocks = [Block((), 1, "holding", at, 1, 1.0) for at in (0, 50, 90)]
    roomy = costs_of(blocks, BUS, lambda unit: AT_ONCE, Limits(100, 8))
    assert [one.along for one in roomy] == [3, 4, 5], "0 and 3 in turn, 1 and 4, 2 and 5"
    assert roomy[0].usual_s == pytest.approx((3.5 + 15 + 3) * 11 / 9600 + 0.001)
    assert roomy[2].usual_s - roomy[0].usual_s == pytest.approx(4 * 11 / 9600)
    strict = costs_of(blocks, BUS, lambda unit: AT_ONCE, Limits(100, 0))
    apart_s = 2 * (15 * 11 / 9600 + 0.001)
    assert [one.wait_s for one in strict] == pytest.approx([apart_s] * 3)
    by_tcp = costs_of(blocks, TcpLine("plc", 502), lambda unit: AT_ONCE, Limits(100, 0))
    assert not any(one.along or one.wait_s for one in by_tcp)


def test_requests_of_one_unit_are_planned_with_lengths_of_their_own() -> None:
    points = [point_of(signal(f"s{at}", "u16", 10.0, holding=at)) for at in range(500)]
    planned = plan_by_period(points, Limits(100, 8, by_length=True))
    assert [one.count for one in planned] == [100, 99, 98, 97, 96, 10]
    assert len(plan_by_period(points, Limits(100, 8))) == 5
    costs = costs_of(planned, BUS, lambda unit: AT_ONCE, Limits(100, 8))
    assert not any(one.wait_s for one in costs)


def test_a_refusal_for_the_listening_says_so_and_what_helps() -> None:
    """Controllers that give four registers at once, and texts of four: nothing can be longer or shorter."""
    known = {"port": "/dev/ttyS9", "baud": 9600, "parity": "none", "answers_in": "300ms", "max_registers": 4}
    texts = [
        signal(f"t{unit}.{name}", "text", 10, unit=unit, holding=at, length=count)
        for unit in range(1, 9)
        for name, at, count in (("pv", 0, 4), ("al", 100, 4))
    ]
    [refused] = asked(known, *texts).faults
    assert "16 requests would take 15" in refused.what
    listening = ": 16 requests, such as unit 1 holding 0 to 3, as long as another of the unit, and"
    assert listening in refused.what
    assert refused.hint.startswith("let no two requests to one unit be equally long: one value less")
    shorter = [
        signal(f"t{unit}.{name}", "text", 10, unit=unit, holding=at, length=count)
        for unit in range(1, 9)
        for name, at, count in (("pv", 0, 4), ("al", 100, 3))
    ]
    mended = asked(known, *shorter)
    assert mended.faults == ()
    assert not any("is listened to" in line for line in mended.lines)


def test_what_can_be_divided_is_asked_by_lengths_of_its_own() -> None:
    places = (*range(4), *range(100, 104))
    points = [point_of(signal(f"s{at}", "u16", 10.0, holding=at)) for at in places]
    limits = Limits(4, 0, by_length=True)
    planned = plan_by_period(points, limits)
    assert sorted(one.count for one in planned) == [1, 3, 4]
    assert not any(one.wait_s for one in costs_of(planned, BUS, lambda unit: AT_ONCE, limits))


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


# --- all of them ----------------------------------------------------------------------------------


def test_a_period_is_too_short_for_its_requests_and_the_longest_other() -> None:
    assert tight([cost(0.1, 0.04), cost(0.1, 0.05), cost(10, 0.009)], usual) == []
    (one,) = tight([cost(0.1, 0.04), cost(0.1, 0.05), cost(10, 0.02)], usual)
    assert one.every_s == 0.1
    assert one.needed_s == pytest.approx(0.11)
    assert one.in_the_way is not None
    assert one.in_the_way.every_s == 10
    short, middle = tight([cost(0.1, 0.04), cost(0.3, 0.09), cost(10, 0.1)], usual)
    assert short.needed_s == pytest.approx(0.04 + 0.1)
    assert middle.needed_s == pytest.approx(3 * 0.04 + 0.09 + 0.1), "the shorter period comes three times"


def test_the_load_is_the_part_of_the_time() -> None:
    assert load([cost(0.1, 0.02), cost(1, 0.3)], usual) == pytest.approx(0.5)


def test_dead_units_cost_one_look_in_a_while_however_many_they_are() -> None:
    """Three units that take 10, 20 and 30 % of the time, and 2, 3 and 4 s when they do not answer."""
    costs = [cost(1, 0.1 * unit, unit, 1.0 + unit) for unit in (1, 2, 3)]
    one, two = dead_units(costs, 60)
    assert (one.units, one.pause_s, one.first_s) == (1, 4, 8)
    assert one.minute_s == pytest.approx(60 * 4 / 64)
    assert one.load == pytest.approx(0.5 + 4 / 64)
    assert one.cycle_s == pytest.approx(0.5 + 4)
    assert (two.units, two.pause_s, two.first_s) == (2, 4, 14)
    assert two.minute_s == pytest.approx(60 * 3.5 / 63.5)
    assert dead_units(costs[:1], 60) == []


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


def test_requests_that_nothing_tells_apart_are_named() -> None:
    found = asked(
        {"port": "/dev/ttyS9", "baud": 9600, "answers_in": "1ms", "max_gap": 0},
        *(signal(f"s{at}.total", "u16", 1, holding=at) for at in (0, 50)),
    )
    words = (
        "2 requests as long as another of the unit: after each of them the line is listened to for up to 36"
    )
    assert any(words in line for line in found.lines)


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


# --- the estimate on a line -----------------------------------------------------------------------


@contextmanager
def slow_line(one_s: float) -> Iterator[tuple[str, str]]:
    """A pair of serial ports between which each byte takes its time, as on a wire: the device's and ours."""
    ends = [os.openpty() for _ in range(2)]
    for _, far in ends:
        tty.setraw(far)
    names = [os.ttyname(far) for _, far in ends]
    threads = [
        threading.Thread(target=_carry, args=(ends[at][0], ends[1 - at][0], one_s), daemon=True)
        for at in range(2)
    ]
    for thread in threads:
        thread.start()
    try:
        yield names[0], names[1]
    finally:
        for _, far in ends:
            os.close(far)
        for thread in threads:
            thread.join(5)
        for near, _ in ends:
            os.close(near)


def _carry(source: int, target: int, one_s: float) -> None:
    """Until the source hangs up. A byte is there when the time of the one before it, and its own, is over."""
    free_at = 0.0
    while True:
        try:
            data = os.read(source, 4096)
        except OSError:
            return
        free_at = max(free_at, time.monotonic()) + len(data) * one_s
        time.sleep(max(0.0, free_at - time.monotonic()))
        os.write(target, data)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_device(tmp_path_factory.mktemp("device"))


@pytest.mark.parametrize(
    ("baud", "max_gap"),
    [
        (9600, 8),
        pytest.param(9600, 0, marks=pytest.mark.long),
        pytest.param(1200, 8, marks=pytest.mark.long),
        pytest.param(19200, 8, marks=pytest.mark.long),
        pytest.param(19200, 0, marks=pytest.mark.long),
    ],
)
async def test_the_estimate_is_what_a_line_takes(
    program: Path, tmp_path: Path, baud: int, max_gap: int
) -> None:
    """With more to do than can be done: the device says when each request reached it."""
    keys: dict[str, Any] = {"baud": baud, "parity": "none", "answers_in": "1ms", "max_gap": max_gap}
    places = [(1, 0), (1, 20), (1, 100), (2, 0), (2, 58), *((2, at) for at in range(100, 130))]
    signals = [signal(f"s{unit}.{at}", "u16", 0.01, unit=unit, holding=at) for unit, at in places]
    trace, intake = tmp_path / "trace", MemoryIntake("plc")
    with slow_line(octet_s(baud, "none", 1)) as (far, near):
        async with device(program, "rtu", far, "1,2") as plc:
            await plc.tell(f"trace {trace}")
            how = settings(port=near, **keys)
            blocks = plan_by_period([point_of(one) for one in signals], how.limits())
            costs = costs_of(blocks, how.line(), how.manner, how.limits())
            async with collecting(how, signals, intake), asyncio.timeout(90):
                while len(traced(trace)) < 12 * len(blocks):
                    await asyncio.sleep(0.05)
    requests = traced(trace)[2 * len(blocks) :]
    by_place = {(one.block.unit, one.block.start): one for one in costs}
    estimated_s = [_with_length(by_place[one.unit, one.start], one.count, how) for one in requests[:-1]]
    measured_s = [(after.at_ns - before.at_ns) / 1e9 for before, after in pairwise(requests)]
    # The middle one: a busy machine holds some up. Where time tells answers apart, the slowest so far counts.
    ratio = statistics.median(is_s / was_s for is_s, was_s in zip(measured_s, estimated_s, strict=True))
    assert ratio == pytest.approx(1, rel=0.1 if max_gap else 0.2)
    assert sum(one.usual_s for one in costs) < 1.1 * statistics.mean(measured_s) * len(blocks)


@pytest.mark.long
async def test_a_line_keeps_what_check_accepts(program: Path, tmp_path: Path) -> None:
    """Three quarters of the time of 9600 baud, in four periods: no request goes out too seldom."""
    periods = {(1, 0): 0.12, (1, 100): 0.2, (2, 0): 0.2, (2, 100): 0.26, (3, 0): 0.26, (1, 200): 1.0}
    periods |= {(3, 100): 1.0}
    signals = [
        signal(f"s{unit}.{at}", "u16", every, unit=unit, holding=at) for (unit, at), every in periods.items()
    ]
    signals += [signal(f"t{at}", "u16", 1.0, unit=3, holding=at) for at in range(101, 130)]
    trace, intake = tmp_path / "trace", MemoryIntake("plc")
    with slow_line(octet_s(9600, "none", 1)) as (far, near):
        async with device(program, "rtu", far, "1,2,3") as plc:
            await plc.tell(f"trace {trace}")
            how = settings(port=near, baud=9600, parity="none", answers_in="5ms")
            found = survey(how, signals, (), ())
            assert found.faults == ()
            async with collecting(how, signals, intake), asyncio.timeout(60):
                while len(traced(trace)) < 300:
                    await asyncio.sleep(0.05)
    requests = traced(trace)
    lasted_s = (requests[-1].at_ns - requests[0].at_ns) / 1e9
    for (unit, at), every in periods.items():
        times = sum((one.unit, one.start) == (unit, at) for one in requests)
        assert times == pytest.approx(lasted_s / every, abs=2), f"unit {unit} {at}\n" + "\n".join(found.lines)


def _with_length(cost: Cost, count: int, how: modbus.Settings) -> float:
    """A line that is not known yet is read with two lengths in turn; the budget is of one that is."""
    read, manner = cost.block, how.manner(cost.block.unit)
    return cost.wait_s + cost_of(read, pace_of(how.line()), manner, count - read.count).usual_s
