"""How long a line's requests take, by hand."""

from typing import Any

import pytest

from adapters._modbus.budget import Cost, cost_of, costs_of, dead_units, load, pace_of, tight, usual
from adapters._modbus.lines import Parity, RtuTcpLine, SerialLine, TcpLine, octet_s
from adapters._modbus.plan import Block, Limits
from adapters._modbus.units import Manner

AT_ONCE = Manner(1.0, 2.0, 0.0, 0.001)
UNKNOWN = Manner(1.0, 2.0, 0.0, None)
BUS = SerialLine("/dev/ttyS9", 9600, "even", 1)


def block(count: int, table: Any = "holding", every_s: float = 1.0, unit: int = 1) -> Block:
    return Block((), unit, table, 0, count, every_s)


def cost(every_s: float, takes_s: float, unit: int = 1, lost_s: float = 1.0) -> Cost:
    return Cost(block(1, every_s=every_s, unit=unit), takes_s, takes_s, lost_s)


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
