"""Whether a line as slow as its baud rate takes what the budget says."""

import asyncio
import os
import statistics
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from adapters import modbus
from adapters._modbus.budget import Cost, cost_of, costs_of, pace_of
from adapters._modbus.lengths import plan_by_period
from adapters._modbus.lines import octet_s
from adapters._modbus.points import point_of
from adapters._modbus.survey import survey
from tests.adapters.modbus_support import build_device, collecting, device, settings, signal, traced
from tests.support.intake import MemoryIntake


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


async def test_requests_that_can_only_be_alike_keep_a_period_in_which_nothing_could_be_listened_for(
    program: Path, tmp_path: Path
) -> None:
    """Eight units give four registers at once, and two values of four are wanted of each."""
    places = [(unit, at) for unit in range(1, 9) for at in (0, 100)]
    signals = [signal(f"s{unit}.{at}", "u64", 0.7, unit=unit, holding=at, words="big") for unit, at in places]
    trace, intake = tmp_path / "trace", MemoryIntake("plc")
    times = {"answers_in": "1ms", "timeout": "80ms", "worst_answer": "60ms"}
    with slow_line(octet_s(9600, "none", 1)) as (far, near):
        async with device(program, "rtu", far, "1,2,3,4,5,6,7,8") as plc:
            await plc.tell(f"trace {trace}")
            how = settings(port=near, baud=9600, parity="none", max_registers=4, **times)
            found = survey(how, signals, (), ())
            assert found.faults == ()
            assert "the line is in use for 61% of its time" in "".join(found.lines)
            async with collecting(how, signals, intake), asyncio.timeout(30):
                while len(traced(trace)) < 4 * len(places):
                    await asyncio.sleep(0.05)
    requests = traced(trace)
    lasted_s = (requests[-1].at_ns - requests[0].at_ns) / 1e9
    assert lasted_s == pytest.approx(3.6 * 0.7, abs=0.35), "none was left out, and none asked twice"


def _with_length(cost: Cost, count: int, how: modbus.Settings) -> float:
    """A line that is not known yet is read with two lengths in turn; the budget is of one that is."""
    read, manner = cost.block, how.manner(cost.block.unit)
    return cost.wait_s + cost_of(read, pace_of(how.line()), manner, count - read.count).usual_s
