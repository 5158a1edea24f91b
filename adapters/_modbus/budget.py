"""What a line's requests take of its time, before any of them is made. Decisions without I/O; seconds.

A request on a serial line takes: the silence before it, its 8 bytes, the time in which the unit begins
its answer, the 5 bytes of the answer and its data ("MODBUS over Serial Line V1.02", section 2.5.1), also of
the cells that are read along to tell it from others. On Modbus TCP it is one round trip: the bytes take no
time that counts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from adapters._modbus.codec import BIT_TABLES
from adapters._modbus.frames import READS, data_size
from adapters._modbus.lines import RtuTcpLine, SerialLine, TcpLine
from adapters._modbus.names import Names, Read, Trust
from adapters._modbus.plan import Block, Limits, Use
from adapters._modbus.roll import TRIES
from adapters._modbus.units import Manner

ANSWERS_IN_S = 0.010
"""Assumed of a unit on a serial line that nothing is said of; at a low speed it is the silence before it."""
ROUND_TRIP_S = 0.005
"""Assumed of a host on the network that nothing is said of: to a PLC that answers between two cycles."""
QUICKEST_TRIP_S = 0.0005
"""No host that is not on this machine answers faster."""

_SETTLED = 4
"""Times after which each request has its lengths."""
_LATER_S = 1e6
"""A time long after nothing was asked."""
_REQUEST, _FRAME = 8, 5
"""Bytes of a request on a serial line; of an answer without its data."""


Line = TcpLine | RtuTcpLine | SerialLine


@dataclass(frozen=True, slots=True)
class Pace:
    """What a kind of line takes for bytes, silences and answers."""

    octet_s: float
    gap_s: float
    """The silence between two frames."""
    usual_s: float
    """Assumed: how long a unit takes to begin its answer."""
    least_s: float
    """How long it takes at the very least."""
    drains: bool
    """After an answer that did not come the line is listened to for the unit's worst answer."""


def pace_of(line: Line) -> Pace:
    """A serial unit knows the end of a request by the silence after it: no answer begins before that."""
    if isinstance(line, TcpLine):
        return Pace(0.0, 0.0, ROUND_TRIP_S, QUICKEST_TRIP_S, drains=False)
    trip_s, quickest_s = (ROUND_TRIP_S, QUICKEST_TRIP_S) if isinstance(line, RtuTcpLine) else (0.0, 0.0)
    usual_s, least_s = max(ANSWERS_IN_S, line.gap_s) + trip_s, line.gap_s + quickest_s
    return Pace(line.octet_s, line.gap_s, usual_s, least_s, drains=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request takes."""

    block: Block
    usual_s: float
    """As the units do by what the file says, or else by what is assumed."""
    least_s: float
    """The same where the file says it; else with the fastest unit that there can be."""
    lost_s: float
    """Where no answer comes: until the line can be used again."""
    silence_s: float = 0.0
    """Before it, as long as the unit needs it."""
    along: int = 0
    """Cells that are read along at the most, so that no answer of the unit that may come has this length."""
    wait_s: float = 0.0
    """Of `usual_s`: where one with an answer of the same length can be met, a second one is listened for."""
    least_wait_s: float = 0.0
    """The same of `least_s`."""
    is_alike: bool = False
    """Another may have an answer of the same length: one of them is listened for where they can meet."""

    @property
    def every_s(self) -> float:
        return self.block.every_s

    def waited(self, seconds: "Seconds") -> float:
        """How much of it is listening for a second answer."""
        return self.wait_s if seconds is usual else self.least_wait_s

    def answer(self, seconds: "Seconds") -> float:
        """From the request to the end of the answer."""
        return seconds(self) - self.silence_s


def costs_of(
    blocks: Sequence[Block], line: Line, manner: Callable[[int], Manner], limits: Limits
) -> list[Cost]:
    """What each request takes, in the order of the requests."""
    pace = pace_of(line)
    if not pace.drains:
        return [cost_of(block, pace, manner(block.unit)) for block in blocks]
    turns = [_named(blocks, manner, limits, turn) for turn in range(2)]
    costs = []
    for block, reads in zip(blocks, zip(*turns, strict=True), strict=True):
        each = [cost_of(block, pace, manner(block.unit), read.count - block.count) for read in reads]
        costs.append(_in_turn(*each))
    known = [
        replace(cost, is_alike=not all(read.is_alone for read in reads))
        for cost, reads in zip(costs, zip(*turns, strict=True), strict=True)
    ]
    return _with_listening(known, _Rounds(limits, manner))


def _in_turn(one: Cost, other: Cost) -> Cost:
    """A request differs in length from its last time: what it takes on the average."""
    usual_s, least_s, lost_s = (
        (a + b) / 2
        for a, b in (
            (one.usual_s, other.usual_s), (one.least_s, other.least_s), (one.lost_s, other.lost_s),
        )
    )  # fmt: skip
    along = max(one.along, other.along)
    return replace(one, usual_s=usual_s, least_s=least_s, lost_s=lost_s, along=along)


class _Rounds:
    """Which requests may meet: of one period they go out one after the other, in an order that stays."""

    def __init__(self, limits: Limits, manner: Callable[[int], Manner]) -> None:
        self._limits = limits
        self._manner = manner

    def meets(self, costs: Sequence[Cost], number: int) -> bool:
        """Whether an answer to one that is as long may still come when this one is asked."""
        block, every_s = costs[number].block, costs[number].every_s
        manner = self._manner(block.unit)
        window_s = manner.timeout_s + manner.worst_answer_s
        rivals = [at for at, one in enumerate(costs) if at != number and self._may_be_alike(one.block, block)]
        if any(costs[at].every_s != every_s for at in rivals):
            return True
        row = [at for at, one in enumerate(costs) if one.every_s == every_s]
        row.sort(key=lambda at: (costs[at].block.priority, costs[at].block.turn))
        place = {at: position for position, at in enumerate(row)}
        before_s = [0.0, *accumulate(costs[at].least_s - costs[at].least_wait_s for at in row)]
        mine = place[number]
        late_s = within(every_s, costs, usual)
        for at in rivals:
            since_s = before_s[mine] - before_s[place[at] + 1]
            if place[at] > mine:  # in the round before, as late as it may be then
                since_s = before_s[mine] + every_s - late_s
            if since_s < window_s:
                return True
        return False

    def _may_be_alike(self, other: Block, block: Block) -> bool:
        """Whether the other may be read by the length that this one has with nothing read along."""
        if (other.unit, other.table) != (block.unit, block.table):
            return False
        per = 16 if block.table in BIT_TABLES else 1
        longest = other.count + 2 * per * self._limits.of(block.unit).max_gap
        return other.count - per < block.count < longest + per


def _with_listening(costs: Sequence[Cost], rounds: _Rounds) -> list[Cost]:
    """With the time in which a second answer is listened for: after those that are alike and may meet.

    Listening itself makes others late, so that more of them may meet.
    """
    found, alike = list(costs), {at for at, one in enumerate(costs) if one.is_alike}
    while True:
        more = [at for at in alike if not found[at].wait_s and rounds.meets(found, at)]
        if not more:
            return found
        for at in more:
            unit = costs[at].block.unit
            found[at] = _listened(costs[at], [one for one in costs if one.block.unit == unit])


def _listened(cost: Cost, of_unit: Sequence[Cost]) -> Cost:
    """After an answer that may be another's, a second one is waited for: twice the unit's longest answer."""
    usual_s, least_s = (2 * max(one.answer(seconds) for one in of_unit) for seconds in (usual, least))
    return replace(
        cost, usual_s=cost.usual_s + usual_s, least_s=cost.least_s + least_s, wait_s=usual_s,
        least_wait_s=least_s,
    )  # fmt: skip


def _named(blocks: Sequence[Block], manner: Callable[[int], Manner], limits: Limits, turn: int) -> list[Read]:
    """The lengths with which the wire reads them once it trusts the line, and all were asked before."""

    def window_s(unit: int) -> float:
        return manner(unit).timeout_s + manner(unit).worst_answer_s

    names = Names(limits, window_s)
    names.trust = Trust.TRUSTED
    reads: list[Read] = []
    for before in range(_SETTLED + turn):
        reads = []
        for number, block in enumerate(blocks):
            now = _LATER_S + 1e-6 * (before * len(blocks) + number)
            reads.append(names.choose(block, now))
            names.asked(block, reads[-1], now)
    return reads


def cost_of(block: Block, pace: Pace, manner: Manner, along: int = 0) -> Cost:
    """What one request takes that is alone with its length."""
    octets = _REQUEST + _FRAME + data_size(READS[block.table], block.count + along)
    known, silence_s = manner.answers_in_s, max(pace.gap_s, manner.delay_s)
    usual_s, least_s = (pace.usual_s, pace.least_s) if known is None else (known, known)
    wire_s = silence_s + octets * pace.octet_s
    after_s = manner.worst_answer_s if pace.drains else 2 * pace.usual_s
    lost_s = wire_s + manner.timeout_s + after_s
    return Cost(block, wire_s + usual_s, wire_s + least_s, lost_s, silence_s, along)


def use_of(blocks: Sequence[Block], line: Line, manner: Callable[[int], Manner], limits: Limits) -> Use:
    """What requests take of a serial line, as a rule."""
    costs = costs_of(blocks, line, manner, limits)
    return Use(load(costs, usual), [cost.is_alike for cost in costs])


Seconds = Callable[[Cost], float]


def usual(cost: Cost) -> float:
    return cost.usual_s


def least(cost: Cost) -> float:
    return cost.least_s


@dataclass(frozen=True, slots=True)
class Tight:
    """A period that cannot be kept."""

    every_s: float
    requests: Sequence[Cost]
    """Those with this period."""
    needed_s: float
    """What must be done within the period at the worst."""
    in_the_way: Cost | None
    """The longest request of a longer period: it may have begun just before."""


def load(costs: Iterable[Cost], seconds: Seconds) -> float:
    """The part of its time for which the line is in use."""
    return sum(seconds(cost) / cost.every_s for cost in costs)


def within(every_s: float, costs: Sequence[Cost], seconds: Seconds) -> float:
    """How long it takes at the worst until all that is due in a period is done."""
    needed_s = sum(_times(every_s, cost) * seconds(cost) for cost in costs if cost.every_s <= every_s)
    return needed_s + max((seconds(cost) for cost in costs if cost.every_s > every_s), default=0.0)


def tight(costs: Sequence[Cost], seconds: Seconds) -> list[Tight]:
    """The periods that are missed at times, although the line as a whole has the time.

    Within each period all requests up to that period have to be done, after the longest of the others
    that has just begun: nothing takes it back (Jeffay, Stanat and Martel, "On non-preemptive scheduling
    of periodic and sporadic tasks", 1991, with the nearest deadline first).
    """
    found = []
    for every_s in sorted({cost.every_s for cost in costs}):
        longer = [cost for cost in costs if cost.every_s > every_s]
        in_the_way = max(longer, key=seconds, default=None)
        needed_s = within(every_s, costs, seconds)
        if needed_s > every_s:
            requests = [cost for cost in costs if cost.every_s == every_s]
            found.append(Tight(every_s, requests, needed_s, in_the_way))
    return found


def _times(every_s: float, cost: Cost) -> int:
    """How often a request is due in a period; a hair more than a whole number of times is that number."""
    return int(every_s / cost.every_s * (1 + 1e-9))


@dataclass(frozen=True, slots=True)
class Dead:
    """What so many units that do not answer take from the others, whichever they are."""

    units: int
    minute_s: float
    """Of each minute, in the long run."""
    pause_s: float
    """The longest time at a stretch in which no other unit is asked."""
    first_s: float
    """In all, before every one of them is given up."""
    cycle_s: float
    """All requests to the units that are left once, and one to a dead one."""
    shortest_s: float
    """The same with the requests of the shortest period alone: until each of these was asked at the worst."""
    load: float
    """Of the line, with the units that are left."""


def dead_units(costs: Sequence[Cost], probe_every_s: float) -> list[Dead]:
    """For one unit up to all but one. One lost unit is asked in each `probe_every_s`, in turn.

    The dead are those that cost the most, and the living those that do.
    """
    of_unit = [[cost for cost in costs if cost.block.unit == unit] for unit in _units(costs)]
    lost = sorted((max(cost.lost_s for cost in some) for some in of_unit), reverse=True)
    loads = sorted(load(some, usual) for some in of_unit)
    every_s = min((cost.every_s for cost in costs), default=0.0)
    hasty = [[cost for cost in some if cost.every_s == every_s] for some in of_unit]
    cycles, shortest = (
        sorted(sum(cost.usual_s for cost in some) for some in each) for each in (of_unit, hasty)
    )
    found = []
    for dead in range(1, len(of_unit)):
        look_s = sum(lost[:dead]) / dead
        share = look_s / (probe_every_s + look_s)
        first_s, cycle_s = TRIES * sum(lost[:dead]), sum(cycles[dead:]) + lost[0]
        shortest_s = sum(shortest[dead:]) + lost[0]
        in_use = sum(loads[dead:]) + share
        found.append(Dead(dead, 60 * share, lost[0], first_s, cycle_s, shortest_s, in_use))
    return found


def _units(costs: Iterable[Cost]) -> list[int]:
    return sorted({cost.block.unit for cost in costs})
