"""Units that answer, are busy, fail now and then or are gone; registers that are refused: what is decided."""

import logging
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._modbus.counts import Counts
from adapters._modbus.lengths import plan_by_period
from adapters._modbus.plan import Block, Limits, Point
from adapters._modbus.points import point_of
from adapters._modbus.refusals import AGAIN_S, BUSY_TIMES, FIRST_S, Next, Refusals
from adapters._modbus.roll import BUSY_LONGEST_S, BUSY_S, SHARE, Memory, Roll
from adapters._modbus.told import LOG_EVERY_S, Teller
from tests.adapters.modbus_support import signal
from tests.support.intake import MemoryIntake

LIMITS = Limits(100, 8)


def point(at: int, unit: int = 1, every: float = 1.0, kind: str = "u16") -> Point:
    order = {} if kind == "u16" else {"words": "big"}
    return point_of(signal(f"u{unit}s{at}", kind, every, unit=unit, holding=at, **order))


# --- the roll -----------------------------------------------------------------------------------


def test_a_unit_is_lost_after_two_failures_in_a_row_and_only_then() -> None:
    roll = Roll([1, 2], 60.0, Memory())
    assert not roll.failed(1, 0.0, "silence")
    assert not roll.answered(1)
    assert not roll.failed(1, 1.0, "silence")
    assert roll.failed(1, 2.0, "silence")
    assert roll.is_lost(1)
    assert roll.why(1) == "unit 1 is lost: silence"
    assert roll.why(2) == ""
    assert not roll.all_lost()
    assert roll.failed(2, 3.0, "silence") is False
    assert roll.failed(2, 3.0, "silence")
    assert roll.all_lost()


@given(st.integers(1, 8), st.floats(0.01, 5.0), st.floats(1.0, 60.0))
@settings(max_examples=60, deadline=None)
def test_lost_units_together_cost_one_timeout_in_each_probe_every(
    dead: int, cost_s: float, probe_every_s: float
) -> None:
    roll, now = Roll(range(dead + 1), probe_every_s, Memory()), 0.0
    for unit in range(dead):
        for _ in range(2):
            roll.failed(unit, now, "silence")
            now += cost_s
            roll.cost(unit, now, cost_s)
    begin, spent_s, asked = now, 0.0, set[int]()
    while now < begin + 20 * (probe_every_s + cost_s):
        at = roll.probe_at()
        assert at is not None
        now = max(now, at)
        probed = roll.probe(now)
        assert probed is not None
        roll.failed(probed, now, "silence")
        now += cost_s
        spent_s += cost_s
        asked.add(probed)
        roll.cost(probed, now, cost_s)
    assert spent_s <= (1 + (now - begin) / probe_every_s) * cost_s
    assert asked == set(range(dead)), "they are asked in turn"


def test_when_one_is_back_the_next_is_asked_at_once() -> None:
    roll = Roll([1, 2, 3], 60.0, Memory())
    for unit in (1, 2):
        roll.failed(unit, 0.0, "silence")
        roll.failed(unit, 0.0, "silence")
    assert roll.probe(59.0) is None
    assert roll.probe(60.0) == 1
    assert roll.answered(1)
    assert roll.probe(60.0) == 2
    roll.failed(2, 60.0, "silence")
    assert roll.probe(61.0) is None


@given(st.lists(st.booleans(), min_size=50, max_size=400), st.floats(0.05, 3.0))
@settings(max_examples=60, deadline=None)
def test_a_unit_that_fails_now_and_then_takes_its_share_and_no_more(
    answers: list[bool], cost_s: float
) -> None:
    roll, now, spent_s = Roll([1, 2], 60.0, Memory()), 0.0, 0.0
    for does_answer in answers:
        now = max(now, roll.rests_until(1)) + 0.01
        if does_answer or roll.is_lost(1):
            roll.answered(1)
            continue
        roll.failed(1, now, "silence")
        now += cost_s
        spent_s += cost_s
        roll.cost(1, now, cost_s)
    # A burst at the beginning, and one failure that was allowed when the debt was paid back.
    assert spent_s <= SHARE * now + 3 * cost_s


def test_what_the_probes_of_a_lost_unit_cost_is_no_debt_of_those_that_live() -> None:
    roll, now = Roll([1, 2], 60.0, Memory()), 0.0
    for _ in range(12):  # two failures, and ten probes
        roll.failed(2, now, "silence")
        now += 2.0
        roll.cost(2, now, 2.0)
    roll.failed(1, now, "silence")
    roll.cost(1, now + 0.1, 0.1)
    rest_s = roll.rests_until(1) - now
    assert rest_s < 4 * 2.0 / SHARE, "the debt is of the two failures, and of this one"


def test_a_busy_unit_rests_longer_each_time_and_short_again_after_it_was_not() -> None:
    roll, now, pauses = Roll([1], 60.0, Memory()), 0.0, []
    told = []
    for _ in range(8):
        told.append(roll.busy(1, now))
        pauses.append(roll.rests_until(1) - now)
        now = roll.rests_until(1)
    assert pauses[:3] == pytest.approx([BUSY_S, 2 * BUSY_S, 4 * BUSY_S])
    assert max(pauses) == pytest.approx(BUSY_LONGEST_S)
    assert told == [False] + [True] * 7
    roll.not_busy(1)
    assert not roll.is_busy(1)
    roll.busy(1, now)
    assert roll.rests_until(1) - now == pytest.approx(BUSY_S)


def test_who_was_lost_is_lost_on_the_next_connection_and_not_asked_sooner() -> None:
    memory = Memory()
    before = Roll([1, 2, 3], 60.0, memory)
    for unit in (2, 3):
        before.failed(unit, 10.0, "silence")
        before.failed(unit, 10.0, "silence")
    after = Roll([1, 2, 3], 60.0, memory)
    assert after.lost == [2, 3]
    assert after.probe(69.0) is None
    assert after.probe(70.0) == 2
    assert Roll([2, 4], 60.0, memory).lost == [2], "another file's units are not mixed up"


def test_where_all_were_lost_each_is_asked_once_on_the_next_connection() -> None:
    memory = Memory()
    before = Roll([1, 2], 60.0, memory)
    for unit in (1, 2, 1, 2):
        before.failed(unit, 0.0, "silence")
    after = Roll([1, 2], 60.0, memory)
    assert after.lost == []
    assert after.failed(1, 1.0, "silence")


# --- what is refused ----------------------------------------------------------------------------


class Device:
    """Refuses a request that touches one of some registers, or is longer than it takes."""

    def __init__(self, bad: Iterable[int], most: int = 125) -> None:
        self.bad = set(bad)
        self.most = most
        self.asked = 0

    def refuses(self, block: Block) -> bool:
        self.asked += 1
        return block.count > self.most or bool(self.bad & set(range(block.start, block.start + block.count)))


class Loop:
    """The sampler's part, in time that is only reckoned."""

    def __init__(self, points: list[Point], device: Device, probe_every_s: float = 60.0) -> None:
        self.points = points
        self.device = device
        self.refusals = Refusals(probe_every_s)
        self.now = 0.0
        self.due = [(0.0, block) for block in plan_by_period(points, LIMITS)]
        self.read: dict[str, float] = {}
        """When each signal was read last."""
        self.told: dict[str, float] = {}

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.due:
            self.due.sort(key=lambda one: one[0])
            at, block = self.due[0]
            if at > until:
                break
            self.now = max(self.now, at)
            del self.due[0]
            self.poll(block)
        self.now = until

    def poll(self, block: Block) -> None:
        if self.device.refuses(block):
            after = self.refusals.refused(block, 2)
            if after.is_told:
                self.told |= {one.signal: self.now for one in block.points}
            self.put(after, block.unit)
            return
        self.read |= {one.signal: self.now for one in block.points}
        for one in block.points:
            self.told.pop(one.signal, None)
        if self.refusals.worked(block):
            self.plan(block.unit, soon=True)
        else:
            self.due.append((self.now + block.every_s, block))

    def put(self, after: Next, unit: int) -> None:
        if after.is_found:
            self.plan(unit, soon=False)
        else:
            self.due += [(self.now + after.after_s, part) for part in after.blocks]

    def plan(self, unit: int, *, soon: bool) -> None:
        kept = self.refusals.anew(unit, self.points)
        self.due = [(self.now, block) for block in plan_by_period(kept, LIMITS, self.refusals.cuts)]
        alone = self.refusals.alone(unit)
        self.due += [(self.now + (0.0 if soon else after_s), block) for block, after_s in alone]

    @property
    def requests(self) -> list[Block]:
        """Those of now that are polled at the usual pace."""
        return sorted((block for _, block in self.due if block.every_s == 1.0), key=lambda one: one.start)


@given(
    st.sets(st.integers(0, 60), min_size=1, max_size=25),
    st.sets(st.integers(0, 62), max_size=6),
    st.integers(4, 125),
)
@settings(max_examples=150, deadline=None)
def test_every_register_that_is_given_is_read_and_every_other_is_told(
    places: set[int], bad: set[int], most: int
) -> None:
    loop = Loop([point(at) for at in sorted(places)], Device(bad, most))
    loop.run(30.0)
    good = {f"u1s{at}" for at in places - bad}
    assert loop.told.keys() == {f"u1s{at}" for at in places & bad} == loop.refusals.signals
    assert loop.read.keys() == good
    assert all(loop.now - at <= 2.0 for at in loop.read.values())
    before = loop.device.asked
    loop.run(10.0)
    assert loop.device.asked - before <= 10 * len(loop.requests) + len(places & bad)


def test_around_one_refused_register_two_requests_remain() -> None:
    loop = Loop([point(at) for at in range(12)], Device({5}))
    loop.run(20.0)
    assert [(one.start, one.count) for one in loop.requests] == [(0, 5), (6, 6)]


def test_a_register_that_comes_back_is_read_with_the_others_again() -> None:
    loop = Loop([point(at) for at in range(12)], Device({5, 9}), probe_every_s=60.0)
    loop.run(100.0)
    loop.device.bad.clear()
    loop.run(61.0)
    assert not loop.refusals.signals
    assert [(one.start, one.count) for one in loop.requests] == [(0, 12)]


def test_a_gap_that_is_refused_is_not_read_again() -> None:
    loop = Loop([point(0), point(4)], Device({2}))
    loop.run(5.0)
    assert not loop.told
    assert [(one.start, one.count) for one in loop.requests] == [(0, 1), (4, 1)]


def test_a_device_that_takes_shorter_requests_only_is_found_out() -> None:
    loop = Loop([point(at) for at in range(64)], Device((), most=20))
    loop.run(20.0)
    assert not loop.told
    assert [one.count for one in loop.requests] == [16, 16, 16, 16]


def test_what_worked_is_asked_a_second_time_before_it_is_taken_apart() -> None:
    loop = Loop([point(at) for at in range(40)], Device(()))
    loop.run(10.0)
    loop.device.bad = set(range(40))  # it restarts
    before = loop.device.asked
    loop.run(1.2)
    loop.device.bad.clear()
    loop.run(3.0)
    assert not loop.told
    assert loop.device.asked - before <= 6
    assert AGAIN_S < 1.2


def test_a_device_that_refused_all_for_long_is_whole_again_soon_after() -> None:
    loop = Loop([point(at) for at in range(40)], Device(()))
    loop.run(10.0)
    loop.device.bad = set(range(40))
    loop.run(20.0)
    assert len(loop.told) == 40
    loop.device.bad.clear()
    loop.run(2 * FIRST_S * 4)
    assert [(one.start, one.count) for one in loop.requests] == [(0, 40)]


def test_a_device_that_refuses_all_now_and_then_is_read_in_one_request_again_each_time() -> None:
    loop = Loop([point(at) for at in range(40)], Device(()))
    for _ in range(5):
        loop.device.bad = set(range(40))
        loop.run(20.0)
        loop.device.bad.clear()
        loop.run(130.0)
        assert [(one.start, one.count) for one in loop.requests] == [(0, 40)]


def test_a_device_that_was_off_may_take_longer_requests_now() -> None:
    loop = Loop([point(at) for at in range(64)], Device((), most=20))
    loop.run(20.0)
    loop.device.most = 125
    assert loop.refusals.forgive(1)
    loop.plan(1, soon=True)
    loop.run(5.0)
    assert [one.count for one in loop.requests] == [64]
    assert not loop.refusals.forgive(1)


def test_what_stands_alone_is_tried_ever_more_rarely() -> None:
    loop = Loop([point(3)], Device({3}), probe_every_s=60.0)
    loop.run(600.0)
    assert 10 <= loop.device.asked <= 15


@pytest.mark.parametrize("code", [4, 7, 8, 99])
def test_an_exception_that_is_not_about_the_address_is_told_and_asked_again_first(code: int) -> None:
    refusals = Refusals(60.0)
    [block] = plan_by_period([point(0), point(1)], LIMITS)
    first = refusals.refused(block, code)
    assert first == Next((block,), AGAIN_S, is_told=True, is_odd=True)
    second = refusals.refused(block, code)
    assert [part.count for part in second.blocks] == [1, 1]
    assert not second.is_told


def test_a_place_is_to_blame_only_where_its_unit_answered_something_else() -> None:
    refusals = Refusals(60.0)
    [whole], [other] = plan_by_period([point(0), point(1)], LIMITS), plan_by_period([point(50)], LIMITS)
    for _ in range(5):
        assert not refusals.unanswered(whole).blocks
    assert refusals.needs_another(whole)
    refusals.worked(other)
    parts = refusals.unanswered(whole).blocks
    assert [part.start for part in parts] == [0, 1]
    refusals.worked(parts[0])
    assert not refusals.unanswered(parts[1]).blocks, "what was read along may be to blame"
    assert refusals.unanswered(parts[1]).is_found
    assert refusals.signals == {"u1s1"}
    assert [one.start for one, _ in refusals.alone(1)] == [1]
    refusals.reconnected([point(0), point(1), point(50)])
    assert refusals.signals == {"u1s1"}
    refusals.reconnected([point(0), point(50)])
    assert not refusals.signals


def test_a_place_that_is_always_busy_is_asked_ever_more_rarely_and_then_left_out() -> None:
    refusals = Refusals(60.0)
    [busy], [other] = plan_by_period([point(0)], LIMITS), plan_by_period([point(50)], LIMITS)
    pauses, told = [], []
    for _ in range(BUSY_TIMES):
        after = refusals.busy(busy)
        refusals.worked(other)
        pauses.append(after.after_s)
        told.append(after.is_told)
    assert pauses == pytest.approx([BUSY_S, 2 * BUSY_S, 4 * BUSY_S, FIRST_S])
    assert told == [False, True, True, True]
    assert refusals.is_alone(busy)
    assert refusals.busy(busy).after_s == pytest.approx(2 * FIRST_S)


def test_where_a_unit_may_be_asked_for_something_else_it_is_not_lost_before_that_failed() -> None:
    roll = Roll([1, 2], 60.0, Memory())
    for _ in range(3):
        assert not roll.failed(1, 0.0, "silence", "holding 72", has_other=True)
    assert roll.failed(1, 0.0, "silence", "holding 50", has_other=True)
    roll.answered(1)
    roll.cost(1, 10.0, 1.0, "holding 72")
    roll.cost(1, 10.0, 1.0, "holding 72")
    roll.cost(1, 10.0, 1.0, "holding 72")
    assert roll.rests_until(1, "holding 72") > 10.0
    assert roll.rests_until(1, "holding 50") < 10.0


# --- the log ------------------------------------------------------------------------------------


def test_the_log_has_one_sentence_an_hour_and_only_where_something_went_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "lineside.source")
    intake, counts = MemoryIntake("bus"), Counts()
    roll = Roll(range(1, 9), 60.0, Memory())
    teller = Teller(intake, counts, roll, Refusals(60.0), 0.0)
    teller.look(LOG_EVERY_S + 1)
    assert not caplog.messages
    for unit in range(1, 8):
        counts.of(unit).timeouts += unit
    counts.of(3).crc_errors += 1000
    counts.of(3).requests += 5
    teller.missed(2, 4)
    counts.note("the far end closes the connection after each answer")
    for now in range(int(LOG_EVERY_S) + 2, int(2 * LOG_EVERY_S) + 10):
        teller.look(float(now))
    assert caplog.messages[0] == "bus: the far end closes the connection after each answer"
    assert caplog.messages[1:] == [
        "bus: in the last hour: unit 3: 3 timeouts, 1,000 checksum errors; unit 7: 7 timeouts; "
        "unit 2: 2 timeouts, 4 missed slots; unit 6: 6 timeouts; unit 5: 5 timeouts; 2 more units with less"
    ]
